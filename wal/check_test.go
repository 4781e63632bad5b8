package wal

import (
	"errors"
	"path"
	"slices"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// A directory that is not the log's any more: no segment is begun, made or removed there, and
// nothing is appended after that.
func TestCheckComesBeforeNames(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	moved := errors.New("moved")
	var gone error
	o := Options{FS: disk, SegmentSize: minSegmentSize, Check: func() error { return gone }}
	if err := Create("/d/log", ID{1}, 1, o); err != nil {
		t.Fatal(err)
	}
	l, err := Open("/d/log", o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	for len(l.Segments()) < 2 {
		if _, err := l.Append(typeBatch, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	list := func() []string {
		names, err := disk.ReadDir("/d/log")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	was := list()
	gone = moved
	if err := l.PrepareSpare(); !errors.Is(err, moved) {
		t.Errorf("a spare: %v", err)
	}
	if err := l.Release(l.Segments()[0].Last); !errors.Is(err, moved) {
		t.Errorf("a removal: %v", err)
	}
	for range minSegmentSize / 500 { // more than what is left of the segment
		if err == nil {
			_, err = l.Append(typeBatch, make([]byte, 1000))
		}
	}
	if !errors.Is(err, moved) {
		t.Errorf("a rotation: %v", err)
	}
	gone = nil
	if _, err := l.Append(typeBatch, []byte("x")); !errors.Is(err, moved) {
		t.Errorf("after that: %v", err)
	}
	if now := list(); !slices.Equal(was, now) {
		t.Errorf("%q became %q", was, now)
	}
}

func TestContents(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	contents := func(want bool, wantOthers ...string) {
		t.Helper()
		segments, others, err := Contents(disk, "/d/log")
		if segments != want || !slices.Equal(others, wantOthers) || err != nil {
			t.Errorf("Look found segments: %t, others: %q, %v; want %t and %q", segments, others, err, want, wantOthers)
		}
	}
	contents(false)
	if err := disk.MkdirAll("/d/log"); err != nil {
		t.Fatal(err)
	}
	contents(false)
	for _, row := range []struct {
		name   string
		want   bool
		others []string
	}{
		{"spare", false, nil},
		{"0-0.wal", false, []string{"0-0.wal"}},
		{"0000000000000001.seg", true, []string{"0-0.wal"}},
	} {
		f, err := disk.Create(path.Join("/d/log", row.name))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		contents(row.want, row.others...)
	}
}
