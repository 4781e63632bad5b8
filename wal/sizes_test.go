package wal

import (
	"errors"
	"slices"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// TestNewLogIsSmall: the first segment of a new log is a few pages, the next ones grow, and none is
// longer than it may be.
func TestNewLogIsSmall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		size    int64
		payload int
		want    []int64
	}{
		{"less than the first", 8 << 10, 3000, []int64{8 << 10, 8 << 10, 8 << 10}},
		{"the first", 16 << 10, 7000, []int64{16 << 10, 16 << 10}},
		{"less than the second", 64 << 10, 7000, []int64{16 << 10, 64 << 10, 64 << 10}},
		{"between", 5 << 20, 1 << 20, []int64{16 << 10, 4 << 20, 5 << 20, 5 << 20}},
		{"all steps", 20 << 20, 1 << 20, []int64{16 << 10, 4 << 20, 16 << 20, 20 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewMem()
			o := testOptions(disk)
			o.SegmentSize = c.size
			l := create(t, o)
			var payloads [][]byte
			for len(l.Segments()) < len(c.want) {
				payloads = append(payloads, appendSizes(t, l, min(c.payload, l.MaxRecord()))...)
				if len(payloads)%3 == 0 { // with and without a spare
					if err := l.PrepareSpare(); err != nil {
						t.Fatal(err)
					}
				}
			}
			var sizes []int64
			for _, seg := range l.Segments() {
				sizes = append(sizes, seg.Size)
			}
			if !slices.Equal(sizes, c.want) {
				t.Errorf("segments of %d bytes, want %d", sizes, c.want)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = start(t, o)
			if err := compare(l, payloads); err != nil {
				t.Error(err)
			}
			surveys, err := Survey(testDir, ID{}, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range surveys {
				if len(s.Damage) > 0 {
					t.Errorf("segment %d: %v", s.Number, s.Damage)
				}
			}
			if err := l.Release(l.Last()); err != nil {
				t.Fatal(err)
			}
			if segs := l.Segments(); len(segs) != 1 {
				t.Errorf("%d segments are left", len(segs))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestLongFirstRecord: a record that the whole first segment has no room for begins the second one,
// of which it is the first all the same.
func TestLongFirstRecord(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.SegmentSize = DefaultSegmentSize
	l := create(t, o)
	if l.MaxRecord() != maxPayload {
		t.Errorf("the longest record has %d bytes, want %d", l.MaxRecord(), maxPayload)
	}
	payloads := appendSizes(t, l, l.MaxRecord(), 10)
	for _, crashed := range []*vfstest.Mem{disk.Clone(), disk.Crash(vfstest.Crash{})} {
		o.FS = crashed
		l = start(t, o)
		if err := compare(l, payloads); err != nil {
			t.Error(err)
		}
		segs := l.Segments()
		if len(segs) != 2 || segs[0].Last != 0 || segs[1].First != 1 || segs[1].Last != 2 {
			t.Errorf("segments %+v", segs)
		}
		n := 0
		for _, err := range Scan(testDir, o) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != len(payloads) {
			t.Errorf("%d records, want %d", n, len(payloads))
		}
		if err := Create(testDir, testID, 1, o); !errors.Is(err, ErrExists) {
			t.Errorf("a log with records was made again: %v", err)
		}
		if err := l.Release(0); err != nil || len(l.Segments()) != 1 {
			t.Errorf("the empty segment is kept: %v", err)
		}
	}
}

// TestCreateCost: what a new log costs, so that a new store is ready at once.
func TestCreateCost(t *testing.T) {
	t.Parallel()
	written := 0
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite {
			written += op.Len
		}
		return vfstest.Outcome{}
	})
	o := testOptions(fault)
	o.SegmentSize = 0
	l := create(t, o)
	defer l.Close()
	if syncs := fault.Count(vfstest.KindSync) + fault.Count(vfstest.KindSyncDir); syncs > 5 || written > 32<<10 {
		t.Errorf("%d syncs and %d bytes written", syncs, written)
	}
}
