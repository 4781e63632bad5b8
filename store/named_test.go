package store

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// TestNamed: an error of the system that bbolt has no file to says which file it is about, and is
// no want of room, for it is that of a sync.
func TestNamed(t *testing.T) {
	t.Parallel()
	f := &snapshotFile{path: "data/counters.db"}
	for _, system := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		if err := f.named(system); !errors.Is(err, system) || !strings.Contains(err.Error(), f.path) || roomless(err) {
			t.Errorf("%v became %v, for want of room: %t", system, err, roomless(err))
		}
	}
	for _, err := range []error{
		nil, errors.New("other"), &fs.PathError{Op: "write", Path: "data/counters.db", Err: syscall.ENOSPC},
	} {
		if got := f.named(err); got != err {
			t.Errorf("%v became %v", err, got)
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
