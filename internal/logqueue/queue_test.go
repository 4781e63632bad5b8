package logqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// patience is longer than any test takes.
const patience = time.Minute

// gate is a writer that lets a Write through for each value of pass, which says what becomes of it.
type gate struct {
	pass chan outcome

	mu      sync.Mutex
	written bytes.Buffer
}

type outcome struct {
	n   int // bytes to take; -1: all
	err error
}

func newGate() *gate { return &gate{pass: make(chan outcome)} }

func (g *gate) Write(b []byte) (int, error) {
	o, open := <-g.pass
	n := len(b)
	if open && o.n >= 0 {
		n = min(n, o.n)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written.Write(b[:n])
	return n, o.err
}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.written.String()
}

func write(t *testing.T, q *Queue, lines ...string) {
	t.Helper()
	for _, line := range lines {
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			if n, err := io.WriteString(q, line+"\n"); n != len(line)+1 || err != nil {
				t.Errorf("Write of %q: %d, %v", line, n, err)
			}
		}()
		select {
		case <-wrote:
		case <-time.After(patience):
			t.Fatalf("Write of %q waits", line)
		}
	}
}

// TestOrder: everything is written, in the order in which it came, before Close returns.
func TestOrder(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	q := New(&out, Options{})
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprint("line ", i)
		write(t, q, line)
		want.WriteString(line + "\n")
	}
	if !q.Close(nil, patience) {
		t.Error("Close says that something is not written")
	}
	if out.String() != want.String() {
		t.Errorf("%d bytes were written, want %d", out.Len(), want.Len())
	}
}

// TestNobodyReads: no Write waits for a writer that is stuck; what does not fit is counted, and is
// told of where it is missing, once the writer writes again.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newGate()
		q := New(out, Options{
			Bytes: 3 * (2 + lineOverhead),
			Lost:  func(n uint64) []byte { return fmt.Appendf(nil, "(%d)\n", n) },
		})
		write(t, q, "a")
		synctest.Wait() // the writer has a, and is stuck with it
		write(t, q, "b", "c", "d", "e", "f")
		out.pass <- outcome{n: -1} // a
		synctest.Wait()            // it has b now: there is room for one
		write(t, q, "g", "h")
		close(out.pass)
		synctest.Wait()
		if want := "a\nb\nc\nd\n(2)\ng\n(1)\n"; out.text() != want {
			t.Errorf("written is %q, want %q", out.text(), want)
		}
		write(t, q, "i")
		if !q.Close(nil, patience) || out.text() != "a\nb\nc\nd\n(2)\ng\n(1)\ni\n" {
			t.Errorf("written is %q", out.text())
		}
		if n := q.LostLines(); n != 3 {
			t.Errorf("%d lines are said to be lost, want 3", n)
		}
	})
}

// TestTooLong: a line that never fits is dropped alone.
func TestTooLong(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	q := New(&out, Options{Bytes: 100})
	write(t, q, strings.Repeat("x", 100), "short")
	if !q.Close(nil, patience) || out.String() != "1 lines lost\nshort\n" {
		t.Errorf("written is %q", out.String())
	}
}

// TestCloseIsBounded: Close waits so long and no longer for a writer that is stuck.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newGate()
		q := New(out, Options{})
		write(t, q, "a", "b")
		began := time.Now()
		if q.Close(nil, 100*time.Millisecond) {
			t.Error("Close says that everything is written")
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("it took %v, want 100ms", took)
		}
		write(t, q, "c") // and nothing waits after Close either
		close(out.pass)
		<-q.done
		if out.text() != "a\n" { // nobody waited for b any more
			t.Errorf("written is %q", out.text())
		}
		if q.Close(nil, 0) {
			t.Error("a second Close says that everything is written")
		}
	})
}

// TestLastLine: the line that says why a process ends has room where no other has.
func TestLastLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newGate()
		q := New(out, Options{Bytes: 2 + lineOverhead})
		write(t, q, "a")
		synctest.Wait()
		write(t, q, "b", "c")
		close(out.pass)
		if !q.Close([]byte("the reason\n"), patience) || out.text() != "a\nb\n1 lines lost\nthe reason\n" {
			t.Errorf("written is %q", out.text())
		}
	})
}

// TestErrors: after an error the line is lost, counted, and told of at the next that is written. A
// line of which a part was written is ended first.
func TestErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newGate()
		q := New(out, Options{Lost: func(n uint64) []byte { return fmt.Appendf(nil, "(%d)\n", n) }})
		full := errors.New("no space left on device")
		write(t, q, "a")
		out.pass <- outcome{0, full}
		write(t, q, "b")
		out.pass <- outcome{0, full} // of "(1)"
		write(t, q, "cc")
		out.pass <- outcome{n: -1}   // "(2)"
		out.pass <- outcome{1, full} // of "cc"
		write(t, q, "d")
		close(out.pass)
		if !q.Close(nil, patience) {
			t.Error("Close says that something is not written")
		}
		if want := "(2)\nc\n(1)\nd\n"; out.text() != want {
			t.Errorf("written is %q, want %q", out.text(), want)
		}
		if n := q.LostLines(); n != 3 {
			t.Errorf("%d lines are said to be lost, want 3", n)
		}
	})
}

// TestWouldBlock: a writer that would block is asked again, and goes on where it was.
func TestWouldBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := newGate()
		q := New(out, Options{})
		write(t, q, "hello")
		for range 20 {
			out.pass <- outcome{0, fmt.Errorf("write: %w", syscall.EAGAIN)}
		}
		out.pass <- outcome{2, syscall.EAGAIN}
		close(out.pass)
		time.Sleep(retryMax)
		if out.text() != "hello\n" {
			t.Errorf("written is %q", out.text())
		}
		if !q.Close(nil, patience) {
			t.Error("Close says that something is not written")
		}
	})
}

// TestWouldBlockForEver: Close ends the asking.
func TestWouldBlockForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := New(wouldBlock{}, Options{})
		write(t, q, "a")
		if q.Close(nil, time.Second) {
			t.Error("Close says that everything is written")
		}
		<-q.done
	})
}

type wouldBlock struct{}

func (wouldBlock) Write([]byte) (int, error) { return 0, syscall.EAGAIN }

// TestManyWriters is for the race detector.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	q := New(&out, Options{Bytes: 1000})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				io.WriteString(q, "line\n")
			}
		})
	}
	wg.Wait()
	if !q.Close(nil, patience) {
		t.Error("Close says that something is not written")
	}
	lines, lost := 0, 0
	for line := range strings.Lines(out.String()) {
		var n int
		if line == "line\n" {
			lines++
		} else if _, err := fmt.Sscanf(line, "%d lines lost\n", &n); err != nil {
			t.Fatalf("%q is neither a line nor a number of lost ones: %v", line, err)
		}
		lost += n
	}
	if lines+lost != 4000 {
		t.Errorf("%d lines and %d lost, want 4000 together", lines, lost)
	}
}
