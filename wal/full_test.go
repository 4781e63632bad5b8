package wal

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// noRoom are the ways in which a full disk says no to a write.
var noRoom = map[string]func(op vfstest.Op) vfstest.Outcome{
	"nothing written":          func(vfstest.Op) vfstest.Outcome { return vfstest.Fail(syscall.ENOSPC) },
	"over the quota":           func(vfstest.Op) vfstest.Outcome { return vfstest.Fail(syscall.EDQUOT) },
	"some bytes written":       func(op vfstest.Op) vfstest.Outcome { return vfstest.Short(op.Len/3, syscall.ENOSPC) },
	"nearly all written":       func(op vfstest.Op) vfstest.Outcome { return vfstest.Short(op.Len-1, syscall.ENOSPC) },
	"all written all the same": func(op vfstest.Op) vfstest.Outcome { return vfstest.FailAfter(syscall.ENOSPC) },
}

// TestNoRoomAtEveryWrite lets the disk be full at each write and rename of a run, for one such
// operation or for some in a row, and cuts the power before each operation after that. Nothing
// stops the log; what was refused is never found again, what was acknowledged always is.
func TestNoRoomAtEveryWrite(t *testing.T) {
	t.Parallel()
	for name, way := range noRoom {
		for i, length := range []int{1, 2, 4, 1, 4} {
			marked := i >= 3
			t.Run(fmt.Sprintf("%s, %d in a row, with a mark %t", name, length, marked), func(t *testing.T) {
				t.Parallel()
				for n, more := 1, true; more && !t.Failed(); n += thin.Step(5) {
					more = noRoomAt(t, n, length, marked, way)
				}
			})
		}
	}
}

// noRoomAt is a run whose n-th write or rename, and those after it up to so many, find no room. It
// returns false when there was no n-th.
func noRoomAt(t *testing.T, n, length int, marked bool, way func(vfstest.Op) vfstest.Outcome) bool {
	const crashes = 14 // operations after the first fault before which the power goes
	disk, h := vfstest.NewMem(), &history{marked: marked, each: marked}
	started, seen, after := false, 0, 0
	var first vfstest.Op
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if !started || op.Kind == vfstest.KindRead || op.Kind == vfstest.KindSize || op.Kind == vfstest.KindClose ||
			op.Kind == vfstest.KindReadDir || t.Failed() {
			return vfstest.Outcome{}
		}
		if first.N > 0 && after < crashes {
			after++
			for _, c := range []vfstest.Crash{{}, {Keep: 1}, {Seed: uint64(op.N), Keep: 0.5, Garbage: true}} {
				if err := recoverTwice(disk.Crash(c), h, false); err != nil {
					t.Errorf("full at operation %d (%s %s at %d), power loss %+v before operation %d (%s %s): %v",
						first.N, first.Kind, first.Name, first.Off, c, op.N, op.Kind, op.Name, err)
				}
			}
		}
		if op.Kind != vfstest.KindWrite && op.Kind != vfstest.KindRename {
			return vfstest.Outcome{}
		}
		if seen++; seen == n {
			first = op
		}
		if seen >= n && seen < n+length {
			return way(op)
		}
		return vfstest.Outcome{}
	})
	l := create(t, h.options(fault))
	started = true
	where := func() string {
		return fmt.Sprintf("full at operation %d (%s %s at %d)", first.N, first.Kind, first.Name, first.Off)
	}
	defer func() {
		_ = l.Close()
		// When it was made there was no mark to be opened.
		opened := fault.Count(vfstest.KindCreate) + fault.Count(vfstest.KindOpen) +
			fault.Count(vfstest.KindOpenRead) - 2
		if closed := fault.Count(vfstest.KindClose); closed != opened {
			t.Errorf("%s: %d files opened, %d closed", where(), opened, closed)
		}
	}()
	for i := range 9 {
		for attempt, done := 0, false; !done; attempt++ {
			if attempt > 2*length {
				t.Fatalf("%s: refused %d times", where(), attempt)
			}
			// Another record each time, so that one that was refused shows.
			p := payload(l.Last()+1+1000*uint64(attempt), []int{700, 2500, 40}[i%3]+100*attempt)
			h.payloads = append(h.payloads, p)
			index, err := l.Append(typeBatch, p)
			if final := l.Err(); final != nil {
				if strings.Contains(final.Error(), "take back a record") {
					return first.N > 0 // it is there, and nothing can be written: the outcome is not known
				}
				t.Fatalf("%s: a full disk stopped the log: %v", where(), final)
			}
			if errors.Is(err, ErrFull) {
				h.payloads = h.payloads[:len(h.payloads)-1]
				_ = l.PrepareSpare()
				for tries := 0; ; tries++ {
					resumed := l.Resume()
					if resumed == nil {
						break
					}
					if !errors.Is(resumed, ErrFull) || tries > 2*length {
						t.Fatalf("%s: Resume: %v", where(), resumed)
					}
					_ = l.PrepareSpare()
				}
				continue
			}
			if err == nil && index == uint64(len(h.payloads)) {
				err = l.Sync()
			}
			if err != nil || index != uint64(len(h.payloads)) {
				t.Fatalf("%s: append as %d: %v", where(), index, err)
			}
			h.synced, done = index, true
		}
		if i%4 == 2 {
			_ = l.PrepareSpare()
		}
		if i%3 == 1 && l.TurnMark() {
			l.SyncMark()
		}
	}
	for _, after := range []*vfstest.Mem{disk.Crash(vfstest.Crash{}), disk.Clone()} {
		if err := recoverTwice(after, h, false); err != nil {
			t.Errorf("%s: the log that is left: %v", where(), err)
		}
	}
	return first.N > 0
}

// TestZerosBeforeWhatComesNext: what a refused record left is put back to zeros and synced before
// another record is written, and before a new segment begins; while that has no room, nothing is
// written.
func TestZerosBeforeWhatComesNext(t *testing.T) {
	t.Parallel()
	var ops []string
	full := false
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		segment := strings.HasSuffix(op.Name, segmentSuffix)
		if op.Kind == vfstest.KindWrite && segment || op.Kind == vfstest.KindSync && segment ||
			op.Kind == vfstest.KindRename {
			ops = append(ops, fmt.Sprintf("%s %s %d+%d", op.Kind, strings.TrimLeft(path.Base(op.Name), "0"),
				op.Off, op.Len))
		}
		if full && op.Kind == vfstest.KindWrite && segment {
			return vfstest.Short(op.Len/2, syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	appendSizes(t, l, 3000, 2000)
	if err := l.PrepareSpare(); err != nil {
		t.Fatal(err)
	}
	expect := func(what, want string) {
		t.Helper()
		if got := strings.Join(ops, ", "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, want)
		}
		ops = nil
	}
	refused := func(size int) {
		t.Helper()
		if _, err := l.Append(typeBatch, payload(2, size)); !errors.Is(err, ErrFull) ||
			!errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append on a full disk: %v", err)
		}
	}
	ops, full = nil, true
	refused(2000)
	expect("the refusal", "write 1.seg 5144+2040, write 1.seg 5144+2040")
	refused(100)
	expect("another record", "write 1.seg 5144+2040")
	refused(4000) // does not fit: no new segment either
	expect("a record that needs a new segment", "write 1.seg 5144+2040")
	if err := l.Resume(); !errors.Is(err, ErrFull) {
		t.Fatalf("Resume on a full disk: %v", err)
	}
	full, ops = false, nil
	if _, err := l.Append(typeBatch, payload(3, 4000)); err != nil {
		t.Fatal(err)
	}
	expect("when there is room", "write 1.seg 5144+2040, sync 1.seg 0+0, rename spare 0+0, write 2.seg 64+4040")
	if l.Last() != 3 || l.Err() != nil {
		t.Errorf("last %d, error %v", l.Last(), l.Err())
	}
}

// TestRecordThatIsThereThoughRefused: a record of which only zeros are missing is there, and as
// long as it cannot be taken back nobody may be told that it is not.
func TestRecordThatIsThereThoughRefused(t *testing.T) {
	t.Parallel()
	full := false
	disk := vfstest.NewMem()
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if full && op.Kind == vfstest.KindWrite {
			return vfstest.Short(op.Len-8, syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	payloads := appendSizes(t, l, 10)
	full = true
	last := append(payload(2, 40), make([]byte, 8)...)
	if _, err := l.Append(typeBatch, last); err == nil || errors.Is(err, ErrFull) || l.Err() == nil {
		t.Fatalf("%v, and the log goes on: %v", err, l.Err())
	}
	if err := recoverTwice(disk.Clone(), &history{payloads: append(payloads, last), synced: 1}, false); err != nil {
		t.Error(err)
	}
}

// TestFailedSyncForWantOfRoomIsFinal, of each sync and directory sync that an append has a part in.
func TestFailedSyncForWantOfRoomIsFinal(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		seen, armed := 0, false
		fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
			if armed && (op.Kind == vfstest.KindSync || op.Kind == vfstest.KindSyncDir) {
				if seen++; seen == n {
					return vfstest.Fail(syscall.ENOSPC)
				}
			}
			return vfstest.Outcome{}
		})
		l := create(t, testOptions(fault))
		if err := l.PrepareSpare(); err != nil {
			t.Fatal(err)
		}
		armed = true
		for i := range uint64(4) {
			_, err := l.Append(typeBatch, payload(i, 3000))
			if err == nil {
				err = l.Sync()
			}
			if err != nil {
				break
			}
		}
		if seen < n {
			break
		}
		if err := l.Err(); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFull) {
			t.Errorf("sync %d: %v", n, err)
		}
		if err := l.Resume(); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("sync %d: then Resume says %v", n, err)
		}
	}
}

// TestStartWithoutRoom may be called again, and finds the same records, whichever of its writes
// and removals has no room.
func TestStartWithoutRoom(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	payloads := appendSizes(t, l, 100, 200)
	p := payload(3, 300)
	if _, err := l.Append(typeBatch, p); err != nil {
		t.Fatal(err)
	}
	h := &history{payloads: append(payloads, p), synced: 2}
	file, err := disk.Open(path.Join(testDir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("half a record"), 2000); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		copied, writes, began := disk.Clone(), 0, false
		fault := vfstest.NewFault(copied, func(op vfstest.Op) vfstest.Outcome {
			if began && (op.Kind == vfstest.KindWrite || op.Kind == vfstest.KindRemove) {
				if writes++; writes >= n && writes < n+3 {
					if op.Kind == vfstest.KindRemove {
						return vfstest.Fail(syscall.ENOSPC)
					}
					return vfstest.Short(op.Len/2, syscall.ENOSPC)
				}
			}
			return vfstest.Outcome{}
		})
		l, err := Open(testDir, testOptions(fault))
		if err != nil {
			t.Fatal(err)
		}
		began = true
		refused := 0
		for err = l.Start(); errors.Is(err, ErrFull); err = l.Start() {
			if refused++; refused > 3 {
				break
			}
			if _, err := l.Append(typeBatch, []byte("x")); !errors.Is(err, ErrNotStarted) {
				t.Fatalf("append before Start worked: %v", err)
			}
			if err := recoverTwice(copied.Crash(vfstest.Crash{Seed: uint64(n), Keep: 0.5}), h, true); err != nil {
				t.Fatalf("write %d: %v", n, err)
			}
		}
		if err != nil {
			t.Fatalf("write %d: Start says %v", n, err)
		}
		if err := h.check(l); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		if writes < n {
			if n < 3 {
				t.Errorf("Start wrote %d times", writes)
			}
			return
		}
		if refused == 0 {
			t.Errorf("write %d: Start found room where there was none", n)
		}
	}
}

// TestHistoryGoesBeforeACountIsRefused: segments that Cover names, the oldest first, each durably
// before the next, and no more than are needed.
func TestHistoryGoesBeforeACountIsRefused(t *testing.T) {
	t.Parallel()
	var ops []string
	disk := vfstest.NewMem()
	most := 5 // segments and spare, that the disk has room for
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindRemove && strings.HasSuffix(op.Name, segmentSuffix) ||
			op.Kind == vfstest.KindSyncDir {
			ops = append(ops, fmt.Sprintf("%s %s", op.Kind, strings.TrimLeft(path.Base(op.Name), "0")))
		}
		if op.Kind == vfstest.KindWrite && path.Base(op.Name) == spareName && op.Off == 0 &&
			op.Len > segmentHeaderSize && len(freeze(disk)) > most {
			return vfstest.Fail(syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	h := &history{payloads: appendSizes(t, l, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000)} // four segments
	l.Cover(5)                                                                                 // two of them
	add := func() error {
		p := payload(l.Last()+1, 4000)
		_, err := l.Append(typeBatch, p)
		if err == nil {
			h.payloads = append(h.payloads, p)
			err = l.Sync()
		}
		return err
	}
	for range 2 { // the fifth
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	if first := l.First(); first != 1 {
		t.Fatalf("history went while there was room: begins with %d", first)
	}
	ops = nil
	for range 4 { // the sixth and the seventh
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	const want = "remove 1.seg, syncdir wal, syncdir wal, remove 2.seg, syncdir wal, syncdir wal"
	if got := strings.Join(ops, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := add(); !errors.Is(err, ErrFull) || l.First() != 5 {
		t.Errorf("then %v, and it begins with %d", err, l.First())
	}
	h.synced, h.released = l.Last(), 4
	if err := recoverTwice(disk.Crash(vfstest.Crash{}), h, false); err != nil {
		t.Error(err)
	}
}

// TestNoSpareWithoutLeave: what Options.MakeSpare refuses is not begun, and an append that needs it
// is refused.
func TestNoSpareWithoutLeave(t *testing.T) {
	t.Parallel()
	var refusal error
	fault := vfstest.NewFault(vfstest.NewMem(), nil)
	o := testOptions(fault)
	o.MakeSpare = func(bytes int64) error {
		if bytes != minSegmentSize {
			t.Errorf("asked for %d bytes", bytes)
		}
		return refusal
	}
	l := create(t, o)
	appendSizes(t, l, 4000, 4000)
	created := fault.Count(vfstest.KindCreate)
	refusal = errors.New("the room is held")
	if err := l.PrepareSpare(); !errors.Is(err, refusal) {
		t.Errorf("PrepareSpare: %v", err)
	}
	if _, err := l.Append(typeBatch, payload(3, 4000)); !errors.Is(err, ErrFull) || !errors.Is(err, refusal) {
		t.Errorf("Append: %v", err)
	}
	if fault.Count(vfstest.KindCreate) != created {
		t.Error("a spare was begun")
	}
	refusal = nil
	if err := errors.Join(l.PrepareSpare(), l.Resume()); err != nil {
		t.Fatal(err)
	}
	appendSizes(t, l, 4000)
}

// TestSmallerSegmentWhereThereIsNoRoomForALargeOne, and larger ones again when there is.
func TestSmallerSegmentWhereThereIsNoRoomForALargeOne(t *testing.T) {
	t.Parallel()
	disk, free := vfstest.NewMem(), int64(10<<20)
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite && path.Base(op.Name) == spareName && op.Off+int64(op.Len) > free {
			return vfstest.Fail(syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	o := testOptions(fault)
	o.SegmentSize = 64 << 20
	l := create(t, o)
	h := &history{}
	for i, want := range []int64{firstSize, secondSize, secondSize, growth * secondSize} {
		if i == 2 {
			if err := l.PrepareSpare(); err != nil {
				t.Fatalf("a spare where %d bytes are free: %v", free, err)
			}
		}
		if i == 3 {
			free = 1 << 30
		}
		for last := len(l.Segments()); l.Segments()[len(l.Segments())-1].Size != want || len(l.Segments()) != i+1; {
			h.payloads = append(h.payloads, appendSizes(t, l, l.MaxRecord())...)
			if now := len(l.Segments()); now > i+1 || now > last+1 {
				t.Fatalf("segment %d has %d bytes, want %d", now, l.Segments()[now-1].Size, want)
			}
		}
	}
	h.synced = l.Last()
	if err := h.check(reopenAs(t, disk.Crash(vfstest.Crash{}), o)); err != nil {
		t.Error(err)
	}
}

func reopenAs(t *testing.T, disk vfs.FS, o Options) *Log {
	t.Helper()
	o.FS = disk
	l, err := Open(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
