package wal

import (
	"errors"
	"os"
	"testing"
)

// A last segment that was removed or replaced is noticed; one that a rotation has left behind does
// not matter.
func TestInPlace(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path+".new", b, 0o600), os.Rename(path+".new", path))
		},
	} {
		dir := t.TempDir()
		o := Options{SegmentSize: minSegmentSize}
		if err := Create(dir, ID{1}, 1, o); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := l.InPlace(); !ok {
			t.Error("before it was started")
		}
		if err := l.Start(); err != nil {
			t.Fatal(err)
		}
		for len(l.Segments()) < 3 {
			if _, err := l.Append(typeBatch, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(l.Segments()[0].Path); err != nil {
			t.Fatal(err)
		}
		last := l.Segments()[2].Path
		if path, ok := l.InPlace(); !ok || path != last {
			t.Errorf("InPlace returned %s, %t, want the last segment, in its place", path, ok)
		}
		if err := spoil(last); err != nil {
			t.Fatal(err)
		}
		if path, ok := l.InPlace(); ok || path != last {
			t.Errorf("%s: InPlace returned %s, %t, want the last segment, not in its place", name, path, ok)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
