package store

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// TestFailedSyncIsNoWantOfRoom: whatever the system says of it.
func TestFailedSyncIsNoWantOfRoom(t *testing.T) {
	t.Parallel()
	for op, want := range map[string]bool{"sync": false, "write": true} {
		if got := roomless(&fs.PathError{Op: op, Path: "data/counters.db", Err: syscall.ENOSPC}); got != want {
			t.Errorf("a %s for which there is no room is want of room: %t", op, got)
		}
	}
}

// TestReserveThatMayNotBeOpened: one of another user's is replaced: its bytes mean nothing, and the
// directory is ours.
func TestReserveThatMayNotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed := true
	o := Options{Reserve: true}
	o.files = vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
		if op.Name != ReservePath(dir) {
			return vfstest.Outcome{}
		}
		if op.Kind == vfstest.KindRemove {
			closed = false
		}
		if op.Kind == vfstest.KindOpen && closed {
			return vfstest.Fail(syscall.EACCES)
		}
		return vfstest.Outcome{}
	})
	r := newReserve(dir, o.withDefaults())
	put(t, ReservePath(dir), "another user's")
	if err := r.find(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("found: %v", err)
	}
	if err := r.hold(0, 0); err != nil || r.held.Load() < reserveSize(0) {
		t.Errorf("%v, and %d bytes are held", err, r.held.Load())
	}
}
