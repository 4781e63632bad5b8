package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gcd/store/snapshot"
)

// Open calls Locked once, when the directory is locked and nothing in it was read; an error of it
// gives the lock back.
func TestLockedComesBeforeReading(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop := errors.New("stop")
	calls := 0
	_, err := open(t, dir, Options{Locked: func() error {
		calls++
		if _, err := open(t, dir, Options{LockWait: -1}); err == nil {
			t.Error("the directory was not locked")
		}
		if _, err := os.Lstat(filepath.Join(dir, snapshot.FileName)); err == nil {
			t.Error("the snapshot was made before")
		}
		return stop
	}})
	if !errors.Is(err, stop) || calls != 1 {
		t.Fatalf("%v after %d calls", err, calls)
	}
	s, err := open(t, dir, Options{LockWait: -1})
	if err != nil {
		t.Fatal("the lock was kept:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
