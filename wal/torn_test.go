package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"gcd/internal/vfs/vfstest"
)

var segment1 = path.Join(testDir, segmentName(1))

// TestTornTail tears the last record at every byte, with zeros and with garbage after the cut: the
// log ends before it, goes on from there, and nothing of the old tail ever comes back.
func TestTornTail(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	payloads := appendSizes(t, l, 20, 100, 33, 150)
	whole, _ := disk.ReadFile(segment1)
	begin, end := int(l.off)-int(recordSize(150)), int(l.off)
	r := rand.New(rand.NewPCG(1, 2))
	for cut := begin; cut < end-2; cut++ { // the last two bytes are padding
		for _, fill := range []string{"zeros", "ones", "garbage", "garbage to the end"} {
			b := bytes.Clone(whole)
			switch fill {
			case "zeros":
				clear(b[cut:end])
			case "ones":
				for i := cut; i < end; i++ {
					b[i] = 0xff
				}
			case "garbage":
				for i := cut; i < end; i++ {
					b[i] = byte(r.Uint32())
				}
				b[end-3] ^= whole[end-3] ^ b[end-3] ^ 0x55 // surely different
			case "garbage to the end":
				for i := cut; i < len(b); i++ {
					b[i] = byte(r.Uint32())
				}
			}
			if bytes.Equal(b, whole) {
				continue
			}
			disk := vfstest.NewMem()
			if err := disk.WriteFile(segment1, b); err != nil {
				t.Fatal(err)
			}
			h := &history{payloads: payloads, synced: 3}
			if err := recoverTwice(disk, h, false); err != nil {
				t.Fatalf("%s from offset %d of the record on: %v", fill, cut-begin, err)
			}
			if l, err := Open(testDir, testOptions(disk)); err != nil || l.Last() != 5 {
				t.Fatalf("%s from offset %d of the record on: second life ends with %d (%v)",
					fill, cut-begin, l.Last(), err)
			}
		}
	}
}

// unsyncedRun returns a disk with 4 records, of which the first ones were synced, each on its own;
// with the payloads and the records' offsets.
func unsyncedRun(t *testing.T, synced int) (*vfstest.Mem, [][]byte, []int64) {
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	var payloads [][]byte
	var offsets []int64
	for i := range 4 {
		p := payload(l.Last()+1, 500)
		payloads, offsets = append(payloads, p), append(offsets, l.off)
		if _, err := l.Append(typeBatch, p); err != nil {
			t.Fatal(err)
		}
		if i < synced {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return disk.Crash(vfstest.Crash{Keep: 1}), payloads, offsets
}

func TestIslandAfterAHoleIsNotReplayed(t *testing.T) {
	t.Parallel()
	disk, payloads, offsets := unsyncedRun(t, 1)
	b, _ := disk.ReadFile(segment1)
	clear(b[offsets[1]:offsets[2]])
	if err := disk.WriteFile(segment1, b); err != nil {
		t.Fatal(err)
	}
	l, err := Open(testDir, testOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	want := Tail{File: segment1, Offset: offsets[1], Length: offsets[3] + recordSize(500) - offsets[1]}
	if l.Tail() != want || l.Last() != 1 {
		t.Errorf("tail %+v after record %d, want %+v after record 1", l.Tail(), l.Last(), want)
	}
	if err := recoverTwice(disk, &history{payloads: payloads, synced: 1}, true); err != nil {
		t.Error(err)
	}
}

func TestHoleBeforeARecordThatSawItDurableIsDamage(t *testing.T) {
	t.Parallel()
	disk, _, offsets := unsyncedRun(t, 2) // record 3 says that 2 was durable
	before := freeze(disk)
	for _, zero := range []int64{offsets[2], offsets[1] + 100, offsets[1] + 1} {
		f := before.clone()
		clear(f[segmentName(1)][offsets[1]:zero])
		_, err := Open(testDir, testOptions(f))
		var damage *CorruptionError
		if !errors.As(err, &damage) {
			t.Fatalf("zeros up to %d: %v, want damage", zero, err)
		}
		if damage.File != segment1 || damage.Offset != offsets[1] || damage.Index != 2 {
			t.Errorf("zeros up to %d: %+v, want offset %d and record 2", zero, damage, offsets[1])
		}
	}
}

// TestOldLifeDoesNotComeBack: a recovery zeroes the tail but its sync fails, so the old tail is on
// the disk under zeros in the cache. The next recovery sees the zeros, new records go over a part
// of it, and then the power goes.
func TestOldLifeDoesNotComeBack(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	toSector := int(2*512 - l.off - recordHeaderSize) // the next record begins a sector
	payloads := appendSizes(t, l, toSector)
	// Records 2, 3, 4 of a life that nobody was told of.
	for _, size := range []int{512 - recordHeaderSize, 512 - recordHeaderSize, 300} {
		if _, err := l.Append(typeBatch, payload(l.Last()+1, size)); err != nil {
			t.Fatal(err)
		}
	}
	disk = disk.Crash(vfstest.Crash{Keep: 1})
	b, _ := disk.ReadFile(segment1)
	clear(b[1024:1536]) // record 2 did not reach the disk
	if err := disk.WriteFile(segment1, b); err != nil {
		t.Fatal(err)
	}

	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindSync {
			if err := disk.FailSync(op.Name); err != nil {
				t.Error(err)
			}
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	if _, err := reopen(fault); err == nil {
		t.Fatal("a start whose sync failed")
	}
	l = start(t, testOptions(disk))
	// as long as the old record 2, and other bytes
	payloads = append(payloads, appendSizes(t, l, 512-recordHeaderSize-1)...)

	disk = disk.Crash(vfstest.Crash{})
	b, _ = disk.ReadFile(segment1)
	if leading := bytes.IndexFunc(b[1536:], func(r rune) bool { return r != 0 }); leading != 0 {
		t.Fatal("the test is broken: record 3 of the old life is not on the disk")
	}
	if err := recoverTwice(disk, &history{payloads: payloads, synced: 2}, true); err != nil {
		t.Error(err)
	}
}

// TestTailIsRewrittenBeforeStartReturns: a sync failed, the cache shows records that the disk does
// not have, and the process is started again.
func TestTailIsRewrittenBeforeStartReturns(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	failing := false
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if failing && op.Kind == vfstest.KindSync {
			if err := disk.FailSync(op.Name); err != nil {
				t.Error(err)
			}
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	payloads := appendSizes(t, l, 100, 200)
	unsynced := l.off
	for _, size := range []int{700, 900} {
		p := payload(l.Last()+1, size)
		payloads = append(payloads, p)
		if _, err := l.Append(typeBatch, p); err != nil {
			t.Fatal(err)
		}
	}
	failing = true
	if err := l.Sync(); err == nil {
		t.Fatal("the sync did not fail")
	}
	if l.Durable() != 2 {
		t.Errorf("durable is %d after a sync that failed, want 2", l.Durable())
	}
	end := l.off

	var ops []string
	watch := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		switch op.Kind {
		case vfstest.KindWrite:
			ops = append(ops, fmt.Sprintf("write %d-%d", op.Off, op.Off+int64(op.Len)))
		case vfstest.KindSync, vfstest.KindSyncDir, vfstest.KindRemove:
			ops = append(ops, string(op.Kind))
		}
		return vfstest.Outcome{}
	})
	l = start(t, testOptions(watch))
	// Record 3 says that 2 was durable.
	want := fmt.Sprintf("write %d-%d sync syncdir remove", unsynced, end)
	if got := strings.Join(ops, " "); got != want {
		t.Errorf("Start did %q, want %q", got, want)
	}
	if l.Durable() != 4 {
		t.Errorf("durable is %d after Start, want 4", l.Durable())
	}
	after, err := reopen(disk.Crash(vfstest.Crash{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&history{payloads: payloads, synced: 4}).check(after); err != nil {
		t.Error(err)
	}
}

// TestImpossibleHeaderInATornTail: bytes that look like a later record, but cannot be one at this
// place, are no evidence of damage.
func TestImpossibleHeaderInATornTail(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	appendSizes(t, l, 100) // record 2 is missing
	for _, c := range []struct {
		index, durable uint64
		distance       int64
		damage         bool
	}{
		{3, 2, smallestRecord, true},
		{3, 2, smallestRecord - alignment, false},
		{5, 2, 3 * smallestRecord, true},
		{6, 2, 3 * smallestRecord, false},
		{1 << 60, 1<<60 - 1, 5 * smallestRecord, false},
		{3, 3, smallestRecord, false},
		{3, 1 << 60, smallestRecord, false},
	} {
		f := freeze(disk)
		b := f[segmentName(1)][l.off+c.distance:]
		encodeRecord(b[:smallestRecord], typeBatch, l.seed, 0, c.index, c.durable, 0, []byte("x"))
		opened, err := Open(testDir, testOptions(f))
		var damage *CorruptionError
		if errors.As(err, &damage) != c.damage || err == nil && opened.Last() != 1 {
			t.Errorf("index %d, durable %d, %d bytes after it: %v, want damage: %v",
				c.index, c.durable, c.distance, err, c.damage)
		}
	}
}
