//go:build unix

package dirlock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%v, want %v", err, target)
	}
}

// newDir is a directory with a log's in it.
func newDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.MkdirAll(filepath.Join(dir, LogName), 0o700))
	return dir
}

func taken(t *testing.T, dir string, o Options) *Lock {
	t.Helper()
	l, err := Own(t.Context(), dir, o)
	must(t, err)
	t.Cleanup(func() { must(t, l.Release()) })
	return l
}

// inTime fails a test that waits.
func inTime(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal(what + " waits")
	}
}

// What is done to LOCK beside a server lets nobody in.
func TestServerKeepsOthersOut(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file string) error{
		"untouched": func(string) error { return nil },
		"removed":   os.Remove,
		"replaced": func(file string) error {
			if err := os.WriteFile(file+".new", nil, 0o600); err != nil {
				return err
			}
			return os.Rename(file+".new", file)
		},
	} {
		dir := newDir(t)
		taken(t, dir, Options{Server: true})
		must(t, spoil(filepath.Join(dir, FileName)))
		for _, o := range []Options{{Server: true, Wait: time.Hour}, {Wait: time.Hour}} {
			inTime(t, name, func() {
				if _, err := Own(t.Context(), dir, o); !errors.Is(err, ErrLocked) {
					t.Errorf("%s, %+v: Own returned %v, want ErrLocked", name, o, err)
				}
			})
		}
		if l, err := Read(dir); l != nil || err != nil {
			t.Errorf("%s: a reader has it: %v", name, err)
		}
	}
}

// A tool is waited for, and said to be one.
func TestToolIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	tool, err := Own(t.Context(), dir, Options{})
	must(t, err)
	_, err = Own(t.Context(), dir, Options{Server: true})
	want(t, err, ErrBusy)
	began := 0
	l := taken(t, dir, Options{Server: true, Wait: time.Hour, Waiting: func() { began++; must(t, tool.Release()) }})
	if began != 1 {
		t.Errorf("told %d times", began)
	}
	must(t, l.Check())
}

// Who waits looks again who it is: a server that was still starting is one when it has its log.
func TestWaitingEndsAtServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o700))
	starting := taken(t, dir, Options{Server: true})
	_, err := Own(t.Context(), dir, Options{Server: true, Wait: time.Hour, Waiting: func() {
		must(t, os.Mkdir(filepath.Join(dir, LogName), 0o700))
		must(t, starting.TakeLog(t.Context()))
	}})
	want(t, err, ErrLocked)
}

func TestWaitingEndsWithContext(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	taken(t, dir, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Own(ctx, dir, Options{Wait: time.Hour, Waiting: cancel})
	want(t, err, context.Canceled)
}

// An older version locks LOCK and nothing else.
func TestOlderVersion(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	file, err := os.Create(filepath.Join(dir, FileName))
	must(t, err)
	defer file.Close()
	if free, err := lock(file, exclusive); !free || err != nil {
		t.Fatal(free, err)
	}
	for _, o := range []Options{{Server: true, Wait: time.Hour}, {Wait: time.Hour}} {
		inTime(t, "beside an older version", func() {
			_, err := Own(t.Context(), dir, o)
			want(t, err, ErrLocked)
			if err != nil && !strings.Contains(err.Error(), file.Name()) {
				t.Errorf("%v does not name %s", err, file.Name())
			}
		})
	}
	if l, err := Read(dir); l != nil || err != nil {
		t.Errorf("a reader has it: %v", err)
	}
	must(t, file.Close())
	l := taken(t, dir, Options{})
	if file, err = os.Open(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	if free, err := lock(file, exclusive); free || err != nil {
		t.Errorf("LOCK is not locked: %v", err)
	}
	must(t, l.Check())
}

// Readers do not keep each other out, but who changes; they make no file.
func TestRead(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	for range 2 { // without LOCK, and with it
		a, err := Read(dir)
		must(t, err)
		b, err := Read(dir)
		must(t, err)
		if a == nil || b == nil {
			t.Fatal("two readers are in each other's way")
		}
		_, err = Own(t.Context(), dir, Options{})
		want(t, err, ErrBusy)
		must(t, errors.Join(a.Release(), b.Release()))
		must(t, taken(t, dir, Options{}).Release())
	}
	must(t, os.Remove(filepath.Join(dir, FileName)))
	l, err := Read(dir)
	must(t, err)
	must(t, l.Release())
	if _, err := os.Lstat(filepath.Join(dir, FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a reader made LOCK")
	}
}

// Whoever waits for a directory that another takes the place of gets the lock of the other one.
func TestWaitingFollowsTheName(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	old, err := Own(t.Context(), dir, Options{})
	must(t, err)
	built := newDir(t)
	l := taken(t, dir, Options{Server: true, Wait: time.Hour, Waiting: func() {
		must(t, os.Rename(dir, dir+".aside"))
		must(t, os.Rename(built, dir))
		want(t, old.Check(), ErrMoved)
		must(t, old.Release())
	}})
	must(t, l.Check())
	if _, err := os.Lstat(filepath.Join(dir, FileName)); err != nil {
		t.Error("LOCK was made elsewhere:", err)
	}
}

// A directory that is exchanged for another one while its locks are taken: what was found and made
// counts for nothing.
func TestExchangedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, admit := range []error{nil, errors.New("not this one")} {
		dir, built := newDir(t), newDir(t)
		calls := 0
		l := taken(t, dir, Options{Server: true, Admit: func() error {
			if calls++; calls > 1 {
				return nil
			}
			must(t, os.Rename(dir, dir+".aside"))
			must(t, os.Rename(built, dir))
			return admit
		}})
		must(t, l.Check())
		if calls != 2 {
			t.Errorf("asked %d times", calls)
		}
		if r, err := Read(dir); r != nil || err != nil {
			t.Errorf("the other one is not locked: %v", err)
		}
	}
}

// A directory that goes while somebody waits is not made again.
func TestWaitingMakesNothing(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	old, err := Own(t.Context(), dir, Options{})
	must(t, err)
	_, err = Own(t.Context(), dir, Options{Wait: 50 * time.Millisecond, Waiting: func() {
		must(t, old.Release())
		must(t, os.RemoveAll(dir))
	}})
	want(t, err, ErrMoved)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it was made again")
	}
}

// Two that begin at the same moment: one has it, the other one not.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	file := filepath.Join(dir, FileName)
	for range 50 {
		var mu sync.Mutex
		var have []*Lock
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				_ = os.Remove(file)
				l, err := Own(t.Context(), dir, Options{Server: true})
				if err != nil && !errors.Is(err, ErrLocked) && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					have = append(have, l)
				}
			})
		}
		all.Wait()
		if len(have) > 1 {
			t.Fatalf("%d have it", len(have))
		}
		for _, l := range have {
			must(t, l.Release())
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		spoil func(dir string) error
		moved bool
	}{
		{"untouched", func(string) error { return nil }, false},
		{"removed", os.RemoveAll, true},
		{"renamed", func(dir string) error { return os.Rename(dir, dir+".old") }, true},
		{"replaced", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.MkdirAll(filepath.Join(dir, LogName), 0o700))
		}, true},
		{"log removed", func(dir string) error { return os.RemoveAll(filepath.Join(dir, LogName)) }, true},
		{"log replaced", func(dir string) error {
			return errors.Join(os.Rename(dir+"/wal", dir+"/old"), os.Mkdir(dir+"/wal", 0o700))
		}, true},
		{"emptied", func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) }, true},
		{"above is gone", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(dir)), os.WriteFile(filepath.Dir(dir), nil, 0o600))
		}, true},
		{"LOCK removed", func(dir string) error { return os.Remove(filepath.Join(dir, FileName)) }, false},
		{"opened to all", func(dir string) error { return os.Chmod(dir, 0o755) }, false},
	} {
		dir := filepath.Join(t.TempDir(), "above", "data")
		must(t, os.MkdirAll(filepath.Join(dir, LogName), 0o700))
		l := taken(t, dir, Options{Server: true})
		must(t, row.spoil(dir))
		if err := l.Check(); errors.Is(err, ErrMoved) != row.moved || err != nil && !row.moved {
			t.Errorf("%s: Check returned %v, want ErrMoved if the directory is another, else nothing", row.name, err)
		}
	}
}

// LOCK that was removed or replaced is taken again, so that an older version stays out; unless such
// a one was quicker.
func TestRenew(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	file := filepath.Join(dir, FileName)
	l := taken(t, dir, Options{Server: true})
	for _, again := range []bool{false, true, false} {
		if again {
			must(t, os.Remove(file))
		}
		if renewed, err := l.Renew(t.Context()); renewed != again || err != nil {
			t.Fatal(renewed, err)
		}
	}
	older, err := os.Open(file)
	must(t, err)
	defer older.Close()
	if free, err := lock(older, exclusive); free || err != nil {
		t.Errorf("LOCK is free: %v", err)
	}
	must(t, os.Remove(file))
	if older, err = os.Create(file); err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	if free, err := lock(older, exclusive); !free || err != nil {
		t.Fatal(free, err)
	}
	_, err = l.Renew(t.Context())
	want(t, err, ErrLocked)
}

// A server whose directory was taken away has its log still: where that is put no other one starts.
func TestLogElsewhere(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	taken(t, dir, Options{Server: true})
	must(t, os.Rename(dir, dir+".old"))
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Rename(filepath.Join(dir+".old", LogName), filepath.Join(dir, LogName)))
	_, err := Own(t.Context(), dir, Options{})
	want(t, err, ErrLocked)
	if l, err := Read(dir); l != nil || err != nil {
		t.Errorf("a reader has it: %v", err)
	}
}

// Admit is asked before anything is made.
func TestAdmit(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	no := errors.New("no")
	_, err := Own(t.Context(), dir, Options{Admit: func() error { return no }})
	want(t, err, no)
	if _, err := os.Lstat(filepath.Join(dir, FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("LOCK was made")
	}
	taken(t, dir, Options{})
}

// LOCK that is a pipe does not make anybody wait.
func TestLockIsAPipe(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	must(t, syscall.Mkfifo(filepath.Join(dir, FileName), 0o600))
	inTime(t, "opening LOCK", func() {
		if _, err := Own(t.Context(), dir, Options{}); err == nil {
			t.Error("it was taken")
		}
		if _, err := Read(dir); err == nil {
			t.Error("it was read")
		}
	})
}

// filesAlone is a system that locks no directory.
func filesAlone(f *os.File, how mode) (free bool, err error) {
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return false, errors.Join(err, errors.ErrUnsupported)
	}
	return lock(f, how)
}

// Where a directory cannot be locked LOCK is all there is: it keeps others out, of whatever kind,
// at once.
func TestFilesAlone(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	server := Options{Server: true, Wait: time.Hour, system: filesAlone}
	tool := Options{Wait: time.Hour, system: filesAlone}
	for _, first := range []Options{server, tool} {
		l, err := Own(t.Context(), dir, first)
		must(t, err)
		if !l.Alone() {
			t.Error("it has the directory")
		}
		must(t, l.Check())
		for _, second := range []Options{server, tool} {
			_, err := Own(t.Context(), dir, second)
			want(t, err, ErrLocked)
		}
		if r, err := read(dir, filesAlone); r != nil || err != nil {
			t.Errorf("a reader has it: %v", err)
		}
		must(t, l.Release())
	}
	a, err := read(dir, filesAlone)
	must(t, err)
	b, err := read(dir, filesAlone)
	must(t, err)
	if a == nil || b == nil {
		t.Fatal("two readers are in each other's way")
	}
	_, err = Own(t.Context(), dir, server)
	want(t, err, ErrLocked)
	must(t, errors.Join(a.Release(), b.Release()))

	l, err := Own(t.Context(), dir, server)
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, FileName))) // and comes back, while nobody has it
	if renewed, err := l.Renew(t.Context()); !renewed || err != nil {
		t.Error(renewed, err)
	}
	_, err = Own(t.Context(), dir, server)
	want(t, err, ErrLocked)
	must(t, os.Rename(dir, dir+".old"))
	want(t, l.Check(), ErrMoved)
	must(t, l.Release())
}

// TestLockErrorsNameWhatWasLocked: an error of the system says of which file or directory it is.
func TestLockErrorsNameWhatWasLocked(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", FileName, LogName} {
		for _, server := range []bool{true, false} {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, LogName), 0o700); err != nil {
				t.Fatal(err)
			}
			broken := filepath.Join(dir, name)
			failing := func(f *os.File, how mode) (bool, error) {
				if f.Name() == broken {
					return false, syscall.EIO
				}
				return lock(f, how)
			}
			_, err := Own(t.Context(), dir, Options{Server: server, system: failing})
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), broken+":") {
				t.Errorf("%q, server %t: %v", name, server, err)
			}
		}
	}
}
