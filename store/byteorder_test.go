package store

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"gcd/store/snapshot"
)

// TestOtherByteOrder: a file of a machine of the other byte order is told from a damaged one, also
// if one of bbolt's first two pages is damaged, and nothing of it is changed.
func TestOtherByteOrder(t *testing.T) {
	t.Parallel()
	page := int64(os.Getpagesize())
	swap := func(b []byte) { // magic, version, size of pages, flags
		for i := 0; i < 16; i += 4 {
			slices.Reverse(b[16+i : 16+i+4])
		}
	}
	for _, damaged := range []int64{-1, 0, page} {
		dir := t.TempDir()
		if _, _, err := Init(t.Context(), dir, Options{SegmentSize: 8192}); err != nil {
			t.Fatal(err)
		}
		path := SnapshotPath(dir)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		swap(b)
		swap(b[page:])
		if damaged >= 0 {
			clear(b[damaged : damaged+page])
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir, Options{}); !errors.Is(err, snapshot.ErrByteOrder) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("page at %d damaged: %v, want %v", damaged, err, snapshot.ErrByteOrder)
		}
		if _, err := snapshot.At(path).Meta(); !errors.Is(err, snapshot.ErrByteOrder) {
			t.Errorf("page at %d damaged: %v, want %v", damaged, err, snapshot.ErrByteOrder)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
			t.Errorf("it was changed, %v", err)
		}
	}
}
