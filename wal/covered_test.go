package wal

import (
	"errors"
	"fmt"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// TestCovered: of segments wholly at or below Options.Covered only the headers matter to Open, of
// all others every record, and the last segment is never one of the former.
func TestCovered(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	appendSizes(t, l, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000) // three in a segment
	segs := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(segs) != 4 || segs[3].Last != 11 {
		t.Fatalf("segments %+v", segs)
	}
	for damaged, seg := range segs {
		for covered := range uint64(14) {
			t.Run(fmt.Sprintf("segment %d, covered %d", damaged+1, covered), func(t *testing.T) {
				t.Parallel()
				disk := disk.Clone()
				b, err := disk.ReadFile(seg.Path)
				if err != nil {
					t.Fatal(err)
				}
				b[segmentHeaderSize+recordHeaderSize+100] ^= 1
				if err := disk.WriteFile(seg.Path, b); err != nil {
					t.Fatal(err)
				}
				o := testOptions(disk)
				o.Covered = covered
				l, err := Open(testDir, o)
				if may := damaged < len(segs)-1 && seg.Last <= covered; may != (err == nil) {
					t.Fatalf("opened: %t, want %t: %v", err == nil, may, err)
				}
				var damage *CorruptionError
				if err != nil {
					if !errors.As(err, &damage) || damage.File != seg.Path {
						t.Error(err)
					}
					return
				}
				if l.First() != 1 || l.Last() != 11 {
					t.Errorf("records %d to %d", l.First(), l.Last())
				}
				if recs, err := read(l, covered+1); err != nil || len(recs) != max(0, 11-int(covered)) {
					t.Errorf("%d records that are not covered, %v", len(recs), err)
				}
				if _, err := read(l, seg.First); !errors.As(err, &damage) || damage.File != seg.Path {
					t.Errorf("whoever reads covered records hears of the damage: %v", err)
				}
			})
		}
	}
}

// TestCoveredHeaders: what can be told from headers is refused, covered or not.
func TestCoveredHeaders(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	appendSizes(t, l, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000)
	segs := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i, seg := range segs {
		for _, at := range []int{0, 8, 20, 33, 41, 50, 57, 61} {
			disk := disk.Clone()
			b, err := disk.ReadFile(seg.Path)
			if err != nil {
				t.Fatal(err)
			}
			b[at] ^= 1
			if err := disk.WriteFile(seg.Path, b); err != nil {
				t.Fatal(err)
			}
			o := testOptions(disk)
			o.Covered = 9
			if _, err := Open(testDir, o); err == nil {
				t.Errorf("opened with byte %d of the header of segment %d changed", at, i+1)
			}
		}
	}
	if err := disk.Remove(segs[1].Path); err != nil {
		t.Fatal(err)
	}
	o := testOptions(disk)
	o.Covered = 9
	if _, err := Open(testDir, o); err == nil {
		t.Error("opened without a segment between two others")
	}
}
