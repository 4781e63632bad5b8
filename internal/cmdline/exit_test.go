package cmdline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestSay: what a command says at its end waits for its reader, but not once it was interrupted.
func TestSay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var read bytes.Buffer
		ended, end := context.WithCancel(t.Context())
		end()
		Say(ended, &read, []byte("gcd: interrupted\n"))
		if read.String() != "gcd: interrupted\n" {
			t.Errorf("said %q", read.String())
		}

		r, w := io.Pipe()
		ctx, interrupt := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Hour, interrupt)
		Say(ctx, w, []byte("nobody reads this"))
		if took := time.Since(began); took != time.Hour+lastWords {
			t.Errorf("it waited for %v, want %v after the interruption", took, lastWords)
		}
		r.Close() // which ends the writing
	})
}

// TestOneLine: a cause that several steps of a work end with is said once, in its place.
func TestOneLine(t *testing.T) {
	t.Parallel()
	full := errors.New("store: no space left")
	for _, test := range []struct {
		err  error
		want string
	}{
		{full, "no space left"},
		{errors.Join(full, full), "no space left"},
		{errors.Join(full, errors.Join(errors.New("tools: closing"), full)), "no space left; closing"},
		{errors.Join(full, errors.New("wal: no space left")), "no space left"},
		{fmt.Errorf("copying: %w", errors.Join(full, full)), "copying: store: no space left"},
		{errors.Join(full, fmt.Errorf("closing: %w", full)), "closing: store: no space left"},
	} {
		if got := OneLine(test.err, "store", "tools", "wal"); got != test.want {
			t.Errorf("%q is %q, want %q", test.err, got, test.want)
		}
	}
}
