package wal

import (
	"errors"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// FuzzOpen reads two segments of arbitrary bytes: no panic, no write, memory bounded by the files,
// and what opens also starts, takes records and opens again with the same ones.
func FuzzOpen(f *testing.F) {
	disk := vfstest.NewMem()
	l := create(f, testOptions(disk))
	appendSizes(f, l, 100, 4000, 1, 3000, 1000, 60, 200)
	seed := freeze(disk)
	one, two := seed[segmentName(1)], seed[segmentName(2)]
	f.Add(one, two)
	f.Add(one, []byte(nil))
	f.Add(two, one)
	f.Add(one[:100], two)
	for _, at := range []int{8, 50, 64, 68, 72, 80, 96, 100, 104, 300} {
		broken := append([]byte(nil), two...)
		broken[at] ^= 0x41
		f.Add(one, broken)
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		dir := frozen{segmentName(1): one}
		if len(two) > 0 {
			dir[segmentName(2)] = two
		}
		before := dir.clone()
		l, err := Open(testDir, testOptions(dir))
		if errors.Is(err, errFrozen) || !dir.equal(before) {
			t.Fatal("Open wrote")
		}
		if err != nil {
			return
		}
		recs, err := read(l, l.First())
		if err != nil || uint64(len(recs)) != l.Last()+1-l.First() {
			t.Fatalf("%d records from %d to %d: %v", len(recs), l.First(), l.Last(), err)
		}
		disk := dir.thaw(t)
		l = start(t, testOptions(disk))
		appendSizes(t, l, 10, 4000, 4000)
		last := l.Last()
		if l = start(t, testOptions(disk.Crash(vfstest.Crash{}))); l.Last() != last {
			t.Fatalf("ends with %d, want %d", l.Last(), last)
		}
	})
}
