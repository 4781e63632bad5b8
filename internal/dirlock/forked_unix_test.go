//go:build unix && !aix && !solaris

package dirlock

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestReleaseBesideAFork: a directory is free when it was released, also while a process that was
// forked before has the descriptors still, as each has until it executes its program.
func TestReleaseBesideAFork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := Own(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []held{l.dir, l.file} {
		copied, err := unix.Dup(int(h.open.Fd())) // shares the lock as a forked process's does
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(copied)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	l, err = Own(t.Context(), dir, Options{})
	if err != nil {
		t.Fatalf("it was released, but: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}
