// Package atomicfile writes files that appear under their names whole and durable, or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"gcd/internal/vfs"
)

// ErrNotDurable says that the file has its name, whole, and that a power loss may still take the
// name back.
var ErrNotDurable = errors.New("it is there, but perhaps not durably")

// Write makes a file, mode 0600; write writes its content. When Write returns nil the file is
// there, whole and durable. It replaces what had its name, which must be an ordinary file. After an
// error what had the name is as it was, except after ErrNotDurable. An error of write is returned
// as it is. A file .NAME.*.part beside it is left only by a process that was killed.
func Write(name string, write func(io.Writer) error) error {
	return writeFile(vfs.OS{}, name, write)
}

func writeFile(fsys vfs.FS, name string, write func(io.Writer) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there, and it is no ordinary file", name)
	}
	part, f, err := create(fsys, name)
	if err != nil {
		return err
	}
	err = write(io.NewOffsetWriter(f, 0))
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = fsys.Rename(part, name)
	}
	if err != nil {
		_ = fsys.Remove(part) // what cannot be removed is left under its other name
		return err
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrNotDurable, err)
	}
	return nil
}

// create makes the file that is written, under a name that no other file has.
func create(fsys vfs.FS, name string) (part string, f vfs.File, err error) {
	dir, base := filepath.Split(name)
	for {
		part = filepath.Join(dir, fmt.Sprintf(".%s.%d.part", base, rand.Uint32()))
		if f, err = fsys.Create(part); !errors.Is(err, fs.ErrExist) {
			return part, f, err
		}
	}
}
