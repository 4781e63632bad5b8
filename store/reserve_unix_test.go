//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestReserveIsNoLink: what a link in the place of the reserve leads to is somebody else's, and is
// never written to.
func TestReserveIsNoLink(t *testing.T) {
	t.Parallel()
	const precious = "somebody else's"
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte(precious), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Reserve: true, SnapshotInterval: -1, SnapshotBytes: -1}
	dir := t.TempDir()
	s := openStore(t, dir, o)
	awaitReserve(t, s, reserveSize(0))
	if err := errors.Join(os.Remove(ReservePath(dir)), os.Symlink(victim, ReservePath(dir))); err != nil {
		t.Fatal(err)
	}
	larger := int64(1 << 20)
	if err := s.reserve.hold(larger, larger); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a link was taken for the reserve: %v", err)
	}
	if err := s.reserve.hold(larger, larger); err != nil {
		t.Errorf("it is not made in the place of the link: %v", err)
	}
	if info, err := os.Lstat(ReservePath(dir)); err != nil || !info.Mode().IsRegular() || info.Size() < larger {
		t.Errorf("the reserve is %v, %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if err := errors.Join(os.Remove(ReservePath(dir)), os.Symlink(victim, ReservePath(dir))); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, o)
	awaitReserve(t, s, reserveSize(0))
	if got, err := os.ReadFile(victim); err != nil || string(got) != precious {
		t.Errorf("what the link leads to has %d bytes now: %v", len(got), err)
	}
}
