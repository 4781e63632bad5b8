package cmdline

import (
	"context"
	"io"
	"os"
	"time"
)

// lastWords is how long an interrupted command waits for whoever reads what it says.
const lastWords = 100 * time.Millisecond

// An output is a writer of a command that may be interrupted: stdout, or stderr. A pipe that is
// full and a terminal that is stopped hold a Write up for as long as nobody reads. That is right
// while the command goes on, but an interruption must not wait for it.
type output struct {
	ctx context.Context
	w   io.Writer

	text    []byte     // what is being written; the caller may use his own again
	written chan error // of the Write under way; has room for it
	left    bool       // one was left alone: it may still write
}

// interruptible makes an output of w. When ctx has ended, a Write waits for no more than lastWords,
// and then fails as ctx did; so do later ones. A ctx that never ends needs no output of its own.
func interruptible(ctx context.Context, w io.Writer) io.Writer {
	if ctx.Done() == nil {
		return w
	}
	return &output{ctx: ctx, w: w, written: make(chan error, 1)}
}

func (o *output) Write(b []byte) (int, error) {
	if o.left {
		return 0, o.ctx.Err()
	}
	o.text = append(o.text[:0], b...)
	go func() { // it ends with the process at the latest
		_, err := o.w.Write(o.text)
		o.written <- err
	}()
	select {
	case err := <-o.written:
		return done(b, err)
	case <-o.ctx.Done():
	}
	late := time.NewTimer(lastWords)
	defer late.Stop()
	select {
	case err := <-o.written:
		return done(b, err)
	case <-late.C:
		o.left = true
		return 0, o.ctx.Err()
	}
}

// done is what a Write returns that has ended.
func done(b []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Say writes what a command says at its end. When ctx ends, the command was interrupted: it is not
// left waiting then for a reader that does not come.
func Say(ctx context.Context, w io.Writer, text []byte) {
	if len(text) > 0 {
		_, _ = interruptible(ctx, w).Write(text) // there is no other place to say that it failed
	}
}

// fileOf is the file that w writes to; nil if it is none.
func fileOf(w io.Writer) *os.File {
	if o, ok := w.(*output); ok {
		w = o.w
	}
	file, _ := w.(*os.File)
	return file
}
