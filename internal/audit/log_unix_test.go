//go:build unix

package audit

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gcd/internal/logqueue"
	"gcd/internal/vfs"
)

// TestNotRegular: a line could wait for ever in what is no file.
func TestNotRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	must(t, syscall.Mkfifo(pipe, 0o600))
	must(t, os.Symlink("nothing", link))
	for _, path := range []string{pipe, link, dir, os.DevNull} {
		done := make(chan error, 1)
		go func() {
			l, err := Open(path, Options{})
			if err == nil {
				l.Close(0)
			}
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, vfs.ErrNotRegular) {
				t.Errorf("of %s it says %v", path, err)
			}
		case <-time.After(patience):
			t.Fatalf("opening %s waits for %v", path, patience)
		}
	}
}

// TestStuck: a file whose writes hang holds up neither who writes, nor who opens it anew, nor for
// long who closes it. A pipe that nobody reads is such a file.
func TestStuck(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	must(t, err)
	defer reader.Close()
	path := filepath.Join(t.TempDir(), "audit")
	out := &output{path: path}
	out.file.Store(writer)
	queue := logqueue.New(out, logqueue.Options{Lost: lostLine})
	l := &Log{lines: queue, out: out, queue: queue}

	within := func(what string, do func()) {
		done := make(chan struct{})
		go func() { defer close(done); do() }()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("%s waits for %v", what, patience)
		}
	}
	within("Write", func() {
		for l.LostLines() == 0 {
			l.Write(Record{Event: Denied})
		}
	})
	before := l.LostLines()
	within("Reopen", func() { must(t, l.Reopen()) })
	closeAll(t, l)
	if n := l.LostLines(); n != before {
		t.Errorf("%d lines are lost, want those %d that did not fit: the one under way goes on in the new file", n,
			before)
	}
	all := lines(t, path)
	if len(all) == 0 {
		t.Fatal("the new file has no lines")
	}
	if last := all[len(all)-1]; last.Event != Lost || last.Lines == 0 {
		t.Errorf("the last line is %+v, want one that says how many are lost", last)
	}
}

// TestCloseIsBounded: what is stuck for good is left.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	must(t, err)
	out := &output{}
	out.file.Store(writer)
	queue := logqueue.New(out, logqueue.Options{Bytes: 1 << 20, Lost: lostLine})
	l := &Log{lines: queue, out: out, queue: queue}
	for l.LostLines() == 0 {
		l.Write(Record{Event: Denied})
	}
	done := make(chan bool)
	go func() { done <- l.Close(time.Millisecond) }()
	select {
	case whole := <-done:
		if whole {
			t.Error("Close says that everything is written")
		}
	case <-time.After(patience):
		t.Fatalf("Close waits for %v", patience)
	}
	must(t, reader.Close()) // so the Write ends
	must(t, writer.Close())
}
