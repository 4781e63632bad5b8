package cmdline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestOutput: what a command writes waits for its reader, but not once the command was interrupted;
// an interrupted one may still say something to who reads.
func TestOutput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read bytes.Buffer
		ended, end := context.WithCancel(t.Context())
		end()
		if n, err := interruptible(ended, &read).Write([]byte("as it was\n")); n != 10 || err != nil ||
			read.String() != "as it was\n" {
			t.Errorf("wrote %d bytes, %v, %q", n, err, read.String())
		}

		r, w := io.Pipe()
		ctx, interrupt := context.WithCancel(t.Context())
		out := interruptible(ctx, w)
		began := time.Now()
		time.AfterFunc(time.Hour, interrupt)
		if n, err := out.Write([]byte("nobody reads this")); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		if took := time.Since(began); took != time.Hour+lastWords {
			t.Errorf("it waited for %v, want %v after the interruption", took, lastWords)
		}
		began = time.Now()
		if _, err := out.Write([]byte("nor this")); !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("the next one: %v after %v, want %v at once", err, time.Since(began), context.Canceled)
		}
		r.Close() // which ends the writing
	})
}

// TestOutputGoesOn: what is written is whole, in its order, whatever the caller does with his
// bytes afterwards; an error comes back as it is.
func TestOutputGoesOn(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var read bytes.Buffer
	out := interruptible(ctx, &read)
	b := make([]byte, 1)
	for i := range 100 {
		b[0] = byte(i)
		if n, err := out.Write(b); n != 1 || err != nil {
			t.Fatalf("byte %d: %d, %v", i, n, err)
		}
	}
	for i, got := range read.Bytes() {
		if got != byte(i) {
			t.Fatalf("byte %d is %d", i, got)
		}
	}
	r, w := io.Pipe()
	r.Close()
	if _, err := interruptible(ctx, w).Write(b); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("to a pipe that is closed: %v", err)
	}
	if interruptible(context.Background(), w) != io.Writer(w) {
		t.Error("what nothing interrupts is not the writer itself")
	}
}
