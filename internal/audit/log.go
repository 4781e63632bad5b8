// Package audit writes down who did what that cannot be undone, or tried to: one JSON object a
// line. docs/security.md describes the lines. Nobody waits for them: what does not fit, or meets a
// full disk, is lost and counted.
package audit

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"gcd/internal/logqueue"
	"gcd/internal/vfs"
)

// fileMode is that of a file which is made: a group may read it, such as that of what ships logs.
const fileMode fs.FileMode = 0o640

// Options of a Log. The zero value works.
type Options struct {
	Bytes int // of lines that may wait; default logqueue.DefaultBytes
}

// Log takes records, and writes them to a file on a goroutine of its own, in their order. All of
// its methods may be called from any goroutine.
type Log struct {
	lines io.Writer // never waits
	out   *output   // nil, as queue is, where the lines go to a log of somebody else
	queue *logqueue.Queue
}

// Open makes a log that goes to the end of a file, and makes the file if it is not there. Nothing
// but a regular file is taken.
func Open(path string, o Options) (*Log, error) {
	file, err := vfs.OpenAppend(path, fileMode)
	if err != nil {
		return nil, err
	}
	out := &output{path: path}
	out.file.Store(file)
	queue := logqueue.New(out, logqueue.Options{Bytes: o.Bytes, Lost: lostLine})
	return &Log{lines: queue, out: out, queue: queue}, nil
}

// To makes a log whose lines go to a writer that never waits, such as the queue of another log,
// which also counts what it loses.
func To(w io.Writer) *Log { return &Log{lines: w} }

// Write takes a record. It never waits.
func (l *Log) Write(r Record) { _, _ = l.lines.Write(r.line(time.Now())) }

// Reopen opens the file anew, by its name: another program may have renamed the old one. If it
// cannot be opened, the old one goes on. It does not wait for a Write.
func (l *Log) Reopen() error {
	if l.out == nil {
		return nil
	}
	return l.out.reopen()
}

// LostLines is how many records could not be written so far.
func (l *Log) LostLines() uint64 {
	if l.queue == nil {
		return 0
	}
	return l.queue.LostLines()
}

// Close waits until everything is written, but at most for timeout, and says whether everything is.
// Nothing is synced.
func (l *Log) Close(timeout time.Duration) bool {
	if l.queue == nil {
		return true
	}
	if !l.queue.Close(nil, timeout) {
		return false // a Write may have the file, for ever: the caller is about to end the process
	}
	return l.out.close() == nil
}

// output is a file that may be opened anew while it is written to.
type output struct {
	path string
	file atomic.Pointer[os.File] // nil once it is closed
}

// Write writes to the file that is open. A Write that has begun ends in the file that it began in.
func (o *output) Write(text []byte) (int, error) {
	for {
		file := o.file.Load()
		if file == nil {
			return 0, os.ErrClosed
		}
		n, err := file.Write(text)
		if n > 0 || !errors.Is(err, os.ErrClosed) || file == o.file.Load() {
			return n, err
		}
		// The file was closed before the Write began, and there is another one now.
	}
}

func (o *output) reopen() error {
	file, err := vfs.OpenAppend(o.path, fileMode)
	if err != nil {
		return err
	}
	return o.replace(file)
}

func (o *output) close() error { return o.replace(nil) }

// replace closes the file that was open, after the Write that has it.
func (o *output) replace(file *os.File) error {
	old := o.file.Swap(file)
	if old == nil { // closed already, and so it stays
		o.file.Store(nil)
		if file != nil {
			return errors.Join(os.ErrClosed, file.Close())
		}
		return nil
	}
	return old.Close()
}
