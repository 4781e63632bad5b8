package tools

import (
	"context"
	"io"
	"strings"

	"gcd/internal/vfs"
)

// A pause is called between small pieces of a work. It rests, where a server must not be disturbed,
// and its error is that of the context, which ends the work. Every loop that may be long has one,
// or reads through something that has one.
type pause func() error

func newPause(ctx context.Context, rest func()) pause {
	return func() error {
		if rest != nil {
			rest()
		}
		return ctx.Err()
	}
}

// now pauses; nil never does.
func (p pause) now() error {
	if p == nil {
		return nil
	}
	return p()
}

// pausing is a file system on which reading the segments of a log pauses.
type pausing struct {
	vfs.FS
	pause pause
}

func (p pausing) OpenRead(name string) (vfs.File, error) {
	f, err := p.FS.OpenRead(name)
	if err != nil || !strings.HasSuffix(name, segmentSuffix) {
		return f, err
	}
	return pausingFile{f, p.pause}, nil
}

// segmentSuffix ends the name of a log's segment.
const segmentSuffix = ".seg"

type pausingFile struct {
	vfs.File
	pause pause
}

func (f pausingFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.pause.now(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

// pausingReader pauses before each read.
type pausingReader struct {
	from  io.Reader
	pause pause
}

func (r pausingReader) Read(b []byte) (int, error) {
	if err := r.pause.now(); err != nil {
		return 0, err
	}
	return r.from.Read(b)
}
