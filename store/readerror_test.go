package store

import (
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// failingReader fails the n-th read, of all that share the count.
type failingReader struct {
	io.ReaderAt
	count *atomic.Int64
	n     int64
}

func (r failingReader) ReadAt(b []byte, off int64) (int, error) {
	if r.count.Add(1) == r.n {
		return 0, &os.PathError{Op: "read", Path: "counters.db", Err: syscall.EIO}
	}
	return r.ReaderAt.ReadAt(b, off)
}

// notDamage checks that an error is the disk's, and names the file.
func notDamage(t *testing.T, what string, err error, file string, cause error) {
	t.Helper()
	switch {
	case err == nil || !errors.Is(err, cause):
		t.Errorf("%s: %v, want %v", what, err, cause)
	case errors.As(err, new(*wal.CorruptionError)):
		t.Errorf("%s: it is taken for damage: %v", what, err)
	case !strings.Contains(err.Error(), file):
		t.Errorf("%s: %v does not name %s", what, err, file)
	}
}

// closedDir is a store with a snapshot of many topics and a log after it, closed.
func closedDir(t *testing.T) string {
	t.Helper()
	s, dir := counted(t, Options{}, 3)
	var ops []core.Op
	for i := range 500 {
		ops = append(ops, count(strings.Repeat("topic ", 20)+string(rune('a'+i%26))+string(rune('a'+i/26)), 1))
	}
	runOps(t, s, ops)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("after", 1)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSnapshotThatCannotBeRead: a read error of the system is no damage, at whatever read of a
// start it comes, and changes nothing.
func TestSnapshotThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := closedDir(t)
	before := contents(t, dir)
	for n := int64(1); ; n++ {
		var reads, writes atomic.Int64
		disk := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
			if op.Kind == vfstest.KindWrite {
				writes.Add(1)
			}
			return vfstest.Outcome{}
		})
		o := Options{SegmentSize: 64 << 10, fs: disk,
			hooks: snapshot.Hooks{Reader: func(f *os.File) io.ReaderAt { return failingReader{f, &reads, n} }}}
		s, err := open(t, dir, o)
		if err == nil {
			done := reads.Load()
			if err := s.Close(); err != nil && done >= n {
				t.Fatal(err)
			}
			if done >= n || n < 20 {
				t.Errorf("it starts though read %d of %d failed", n, done)
			}
			return
		}
		notDamage(t, "a start", err, snapshot.FileName, syscall.EIO)
		if writes.Load() == 0 && !maps.Equal(before, contents(t, dir)) {
			t.Fatalf("read %d failed, and something was changed", n)
		}
		if t.Failed() {
			return
		}
	}
}

// TestLogThatCannotBeRead: likewise of the log; the mark is done without.
func TestLogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := closedDir(t)
	marks := 0
	for n := 1; ; n++ {
		dir := killed(t, dir)
		var mu sync.Mutex // guards what follows
		var failed vfstest.Op
		seen, started := 0, false
		fault := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
			switch op.Kind {
			case vfstest.KindRead, vfstest.KindOpenRead, vfstest.KindSize, vfstest.KindReadDir:
			default:
				return vfstest.Outcome{}
			}
			mu.Lock()
			defer mu.Unlock()
			if started {
				return vfstest.Outcome{}
			}
			if seen++; seen == n {
				failed = op
				return vfstest.Fail(nil)
			}
			return vfstest.Outcome{}
		})
		s, err := open(t, dir, Options{SegmentSize: 64 << 10, fs: fault})
		mu.Lock()
		started = true // so that failed is written no more
		mu.Unlock()
		switch {
		case err == nil && failed.N == 0:
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if marks == 0 || n < 10 {
				t.Errorf("%d reads, %d of the mark", n-1, marks)
			}
			return
		case err == nil && path.Base(failed.Name) == "mark":
			marks++
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		case err == nil:
			t.Fatalf("it starts though %s of %s failed", failed.Kind, failed.Name)
		default:
			notDamage(t, string(failed.Kind), err, path.Base(failed.Name), syscall.EIO)
		}
	}
}

// TestReadersOfWhatCannotBeRead: likewise of all that read a snapshot file: a file that is open for
// writing alone is one that the system does not let be read.
func TestReadersOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	path := SnapshotPath(closedDir(t))
	closed := func() (*os.File, error) { return os.OpenFile(path, os.O_WRONLY, 0) }
	_, err := (&snapshot.File{Path: path, Open: closed}).Read(func(snapshot.Meta, snapshot.Entry) error { return nil })
	notDamage(t, "reading", err, snapshot.FileName, syscall.EBADF)
	_, err = (&snapshot.File{Path: path, Open: closed}).Meta()
	notDamage(t, "reading meta", err, snapshot.FileName, syscall.EBADF)
	_, err = (&snapshot.File{Path: path, Open: closed}).Check(nil)
	notDamage(t, "checking", err, snapshot.FileName, syscall.EBADF)
	var reads atomic.Int64
	for n := int64(1); n < 30; n++ {
		reads.Store(0)
		file := snapshot.File{Path: path,
			Hooks: snapshot.Hooks{Reader: func(f *os.File) io.ReaderAt { return failingReader{f, &reads, n} }}}
		if _, err := file.Meta(); reads.Load() >= n {
			notDamage(t, "reading meta", err, snapshot.FileName, syscall.EIO)
		}
	}
}
