package wal

import (
	"errors"
	"path"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// markedRun is a log of ten records of 48 bytes, closed, with the offset of each.
func markedRun(t *testing.T, each bool) (*vfstest.Mem, []int64) {
	t.Helper()
	disk := vfstest.NewMem()
	l := create(t, markedOptions(disk, each))
	var offsets []int64
	for range 10 {
		offsets = append(offsets, l.off)
		appendSizes(t, l, 8)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, append(offsets, l.off)
}

// TestLogShorterThanItsMark: a log whose end is gone is refused, by every reader, with the file,
// the offset of its tail and the first record that is gone.
func TestLogShorterThanItsMark(t *testing.T) {
	t.Parallel()
	for _, each := range []bool{true, false} {
		disk, offsets := markedRun(t, each)
		intact := freeze(disk)
		for kept := range 11 {
			for _, note := range []MarkNote{MarkUnknown, MarkOld, MarkCurrent} {
				f := intact.clone()
				clear(f[segmentName(1)][offsets[kept]:])
				before := f.clone()
				o := markedOptions(f, each)
				o.Mark.Note = note
				_, err := Open(testDir, o)
				if kept == 10 {
					if err != nil {
						t.Errorf("the whole log: %v", err)
					}
					continue
				}
				var damage *CorruptionError
				if !errors.As(err, &damage) || damage.File != segment1 || damage.Offset != offsets[kept] ||
					damage.Index != uint64(kept)+1 {
					t.Fatalf("%d of 10 records, note %d: %v", kept, note, err)
				}
				if !f.equal(before) {
					t.Fatal("a refusal has changed something")
				}
				var scanned error
				n := 0
				for _, err := range Scan(testDir, o) {
					if scanned = err; err == nil {
						n++
					}
				}
				if n != kept || scanned == nil || scanned.Error() != err.Error() {
					t.Errorf("a scan gives %d of %d records, and then %v, want %v", n, kept, scanned, err)
				}
				found, surveyErr := Survey(testDir, ID{}, o, nil)
				if surveyErr != nil || len(found) != 1 || len(found[0].Damage) != 1 ||
					found[0].Damage[0].Error() != err.Error() || found[0].Ends {
					t.Errorf("a survey finds %+v, %v, want %v", found, surveyErr, err)
				}
			}
		}
		f := intact.clone()
		delete(f, segmentName(1))
		_, err := Open(testDir, markedOptions(f, each))
		var damage *CorruptionError
		if !errors.As(err, &damage) || damage.File != testDir || damage.Index != 10 {
			t.Errorf("no segment is left: %v", err)
		}
	}
}

// TestOlderLastSegment: the last segment was put back as it was, or is gone.
func TestOlderLastSegment(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, markedOptions(disk, true))
	appendSizes(t, l, 2000, 2000, 2000, 2000)
	older := freeze(disk)
	appendSizes(t, l, 2000)
	newer := freeze(disk)
	newest := segmentName(l.current.number)
	if l.current.number != 2 {
		t.Fatalf("%d segments", l.current.number)
	}
	var damage *CorruptionError
	f := newer.clone()
	f[newest] = older[newest]
	if _, err := Open(testDir, markedOptions(f, true)); !errors.As(err, &damage) ||
		damage.File != path.Join(testDir, newest) || damage.Index != 5 {
		t.Errorf("an older copy of the last segment: %v", err)
	}
	f = newer.clone()
	delete(f, newest)
	if _, err := Open(testDir, markedOptions(f, true)); !errors.As(err, &damage) || damage.File != segment1 ||
		damage.Index != 4 {
		t.Errorf("without the last segment: %v", err)
	}
}

// TestTornTailOfOneRecord: with a mark whose flags count a torn tail is one record at most.
func TestTornTailOfOneRecord(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, markedOptions(disk, true))
	appendSizes(t, l, 100)
	off := l.off
	for _, size := range []int{100, 200} { // nobody syncs them: two records where one could be
		if _, err := l.Append(typeBatch, payload(l.Last()+1, size)); err != nil {
			t.Fatal(err)
		}
	}
	two := freeze(disk)
	end := off + recordSize(100)
	for _, row := range []struct {
		name   string
		change func(b []byte)
		damage bool
	}{
		{"two whole records", func(b []byte) {}, false},
		{"the payload of the first of two", func(b []byte) { b[off+50] ^= 1 }, true},
		{"the payload of the first, and of the second only its last bytes",
			func(b []byte) { b[off+50] ^= 1; clear(b[end : end+232]) }, true},
		{"the payload of one", func(b []byte) { b[off+50] ^= 1; clear(b[end:]) }, false},
		{"one byte after one", func(b []byte) { clear(b[off+40:]); b[end] = 1 }, true},
		{"the last byte of one", func(b []byte) { clear(b[off+40:]); b[end-1] = 1 }, false},
		{"the header of one", func(b []byte) { b[off+9] ^= 1; clear(b[end:]) }, false},
		{"the header of the first, within the longest", func(b []byte) { b[off+9] ^= 1 }, false},
		{"the last byte of the segment, no header", func(b []byte) { clear(b[off:]); b[len(b)-1] = 1 }, false},
		{"the header of another index", func(b []byte) {
			clear(b[off:])
			encodeRecord(b[off:off+48], typeBatch, l.seed, l.link, 9, 1, 0, []byte("x"))
			b[off+48] = 1
		}, false},
	} {
		for _, counts := range []bool{true, false} {
			f := two.clone()
			row.change(f[segmentName(1)])
			o := markedOptions(f, true)
			if !counts {
				o.Mark.Note = MarkOld
			}
			_, err := Open(testDir, o)
			var damage *CorruptionError
			if want := row.damage && counts; errors.As(err, &damage) != want || want &&
				(damage.File != segment1 || damage.Offset != off || damage.Index != 2) {
				t.Errorf("%s, flags count %t: %v, want damage %t", row.name, counts, err, want)
			}
		}
	}
}

// TestTornTailAfterTheLongestRecord: where the header of the torn record is gone, it was at most
// as long as the longest.
func TestTornTailAfterTheLongestRecord(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := markedOptions(disk, true)
	o.SegmentSize = 4 << 20
	l := create(t, o)
	for l.current.number == 1 { // the first segment is small
		appendSizes(t, l, 1000)
	}
	last := segmentName(l.current.number)
	for at, want := range map[int64]bool{recordSize(maxPayload) - 1: false, recordSize(maxPayload): true,
		o.SegmentSize - l.off - 1: true} {
		f := freeze(disk)
		f[last][l.off+at] = 1
		o := markedOptions(f, true)
		_, err := Open(testDir, o)
		if errors.As(err, new(*CorruptionError)) != want {
			t.Errorf("a byte %d after the last record: %v, want damage %t", at, err, want)
		}
	}
}

// TestLeftoverIsNoSecondRecord: a torn record was zeroed by a start whose sync failed, so the disk
// still has it under zeros in the cache. What is torn before it later is no damage.
func TestLeftoverIsNoSecondRecord(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := func(fsys vfs.FS) Options {
		o := markedOptions(fsys, true)
		o.SegmentSize = 64 << 10
		return o
	}
	l := create(t, o(disk))
	appendSizes(t, l, int(2*512-l.off-recordHeaderSize)) // the next record begins a sector
	payloads := [][]byte{payload(1, int(2*512-segmentHeaderSize-recordHeaderSize))}
	// It is torn: its beginning does not reach the disk, its end does.
	if _, err := l.Append(typeBatch, payload(2, 5000)); err != nil {
		t.Fatal(err)
	}
	disk = disk.Crash(vfstest.Crash{Keep: 1})
	b, _ := disk.ReadFile(segment1)
	clear(b[1024:1536])
	if err := disk.WriteFile(segment1, b); err != nil {
		t.Fatal(err)
	}
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindSync && path.Base(op.Name) != markName {
			if err := disk.FailSync(op.Name); err != nil {
				t.Error(err)
			}
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	l, err := Open(testDir, o(fault))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err == nil {
		t.Fatal("a start whose sync failed")
	}
	l = start(t, o(disk))
	payloads = append(payloads, appendSizes(t, l, 512-recordHeaderSize)...)
	if _, err := l.Append(typeBatch, payload(3, 100)); err != nil {
		t.Fatal(err)
	}
	if err := l.file.Sync(); err != nil { // record 3 came to the disk by itself
		t.Fatal(err)
	}
	disk = disk.Crash(vfstest.Crash{})
	b, _ = disk.ReadFile(segment1)
	b[1536+50] ^= 1
	if err := disk.WriteFile(segment1, b); err != nil {
		t.Fatal(err)
	}
	l, err = Open(testDir, o(disk))
	if err != nil {
		t.Fatalf("a leftover of a torn record is taken for another one: %v", err)
	}
	if err := compare(l, payloads); err != nil || l.Last() != 2 {
		t.Errorf("ends with record %d, %v", l.Last(), err)
	}
}

// TestTornText: a start says that nobody was told of a torn tail only where the mark proves it.
func TestTornText(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		each   bool
		note   MarkNote
		mark   bool
		proved bool
	}{
		{"a mark", true, MarkCurrent, true, true},
		{"an older mark", true, MarkOld, true, false},
		{"records that were acknowledged before they were synced", false, MarkCurrent, true, false},
		{"no mark", true, MarkCurrent, false, false},
	} {
		disk := vfstest.NewMem()
		l := create(t, markedOptions(disk, row.each))
		appendSizes(t, l, 8)
		off := l.off
		if _, err := l.Append(typeBatch, payload(2, 100)); err != nil {
			t.Fatal(err)
		}
		f := freeze(disk)
		f[segmentName(1)][off+50] ^= 1
		if !row.mark {
			delete(f, markName)
		}
		var log lines
		o := markedOptions(f.thaw(t), row.each)
		o.Logger, o.Mark.Note = log.logger(), row.note
		start(t, o)
		if said := log.of("cut a torn tail off the log"); len(said) != 1 || strings.Contains(said[0],
			"nobody was told") != row.proved {
			t.Errorf("%s: about the tail it said %q, which is wrong about what was told", row.name, said)
		}
	}
}
