package wal

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs/vfstest"
)

func changes(k vfstest.Kind) bool {
	switch k {
	case vfstest.KindCreate, vfstest.KindWrite, vfstest.KindSync, vfstest.KindRename, vfstest.KindRemove,
		vfstest.KindSyncDir, vfstest.KindMkdirAll:
		return true
	}
	return false
}

// TestErrorAtEveryOperation lets each operation of a run fail, alone, in each way. What was
// acknowledged is there after the power loss that follows, and after an error that is final nothing
// is acknowledged and nothing written.
func TestErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	ways := map[string]func(op vfstest.Op) vfstest.Outcome{
		"fails":                 func(vfstest.Op) vfstest.Outcome { return vfstest.Fail(nil) },
		"works and says no":     func(vfstest.Op) vfstest.Outcome { return vfstest.FailAfter(nil) },
		"is short with error":   func(op vfstest.Op) vfstest.Outcome { return vfstest.Short(op.Len/2, syscall.EIO) },
		"is short without word": func(op vfstest.Op) vfstest.Outcome { return vfstest.Short(op.Len/2, nil) },
	}
	for name, way := range ways {
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, with a mark %t", name, marked), func(t *testing.T) {
				t.Parallel()
				onMark := 0
				for n, more := 1, true; more; n += thin.Step(3) {
					var file string
					if more, file = errorAt(t, n, marked, way); file == markName {
						onMark++
					}
				}
				if marked != (onMark > 0) {
					t.Errorf("%d of the operations were on the mark", onMark)
				}
			})
		}
	}
}

// errorAt runs with the n-th operation after Start failing. It returns false when there was no
// n-th, and the name of the file that it was on.
func errorAt(t *testing.T, n int, marked bool, way func(vfstest.Op) vfstest.Outcome) (bool, string) {
	disk := vfstest.NewMem()
	var l *Log
	var failed vfstest.Op
	var failure error
	// Operations after the error that is final; files that were not there.
	started, seen, final, missing := false, 0, 0, 0
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if !started {
			return vfstest.Outcome{}.Then(func(err error) {
				if (op.Kind == vfstest.KindOpen || op.Kind == vfstest.KindOpenRead) && err != nil {
					missing++
				}
			})
		}
		if l.Err() != nil && changes(op.Kind) {
			final++
		}
		if seen++; seen == n {
			failed = op
			return way(op).Then(func(err error) { failure = err })
		}
		return vfstest.Outcome{}
	})
	h := &history{marked: marked, each: marked}
	l = create(t, h.options(fault))
	started = true
	where := func() string {
		return fmt.Sprintf("operation %d (%s %s at %d)", n, failed.Kind, failed.Name, failed.Off)
	}

	for i := range 16 {
		p := payload(uint64(len(h.payloads))+1, 700+100*i)
		index, err := l.Append(typeBatch, p)
		if err == nil || !errors.Is(err, ErrFull) {
			h.payloads = append(h.payloads, p)
		}
		if err == nil {
			if index != uint64(len(h.payloads)) {
				t.Fatalf("%s: record %d is number %d", where(), len(h.payloads), index)
			}
			if err = l.Sync(); err == nil {
				h.synced = index
			}
		}
		if (l.Err() != nil) != (err != nil && !errors.Is(err, ErrFull)) {
			t.Fatalf("%s: append or sync says %v, Err says %v", where(), err, l.Err())
		}
		if i%5 == 2 {
			_ = l.PrepareSpare()
		}
		if i%3 == 1 && l.TurnMark() {
			l.SyncMark()
		}
		if i%7 == 6 {
			h.released = h.synced // even if it says no
			_ = l.Release(h.synced)
		}
		if errors.Is(err, ErrFull) && l.PrepareSpare() == nil { // the operation that failed works now
			if _, err := l.Append(typeBatch, p); err != nil {
				t.Fatalf("%s: append after a spare was made: %v", where(), err)
			}
			h.payloads = append(h.payloads, p)
		}
	}
	if err := l.Err(); err != nil {
		if !errors.Is(err, syscall.EIO) && !strings.Contains(err.Error(), "short write") {
			t.Errorf("%s: the log's final error is %v, want the disk's", where(), err)
		}
		for name, call := range map[string]func() error{
			"Sync":         l.Sync,
			"Append":       func() error { _, err := l.Append(typeBatch, []byte{1}); return err },
			"PrepareSpare": l.PrepareSpare,
			"Release":      func() error { return l.Release(h.synced) },
		} {
			if got := call(); got == nil || got.Error() != err.Error() {
				t.Errorf("%s: then %s says %v, want %v", where(), name, got, err)
			}
		}
		if final > 0 {
			t.Errorf("%s: %d changes after the final error", where(), final)
		}
	}
	if final := failed.Kind == vfstest.KindWrite && path.Base(failed.Name) == segmentName(1); final && l.Err() == nil {
		t.Errorf("%s: not final", where())
	}
	if path.Base(failed.Name) == markName && l.Err() != nil {
		t.Errorf("%s: an error of the mark ended the log: %v", where(), l.Err())
	}
	_ = l.Close()
	opened := fault.Count(vfstest.KindCreate) + fault.Count(vfstest.KindOpen) + fault.Count(vfstest.KindOpenRead)
	if failed.Kind == vfstest.KindCreate && failure != nil {
		opened--
	}
	opened -= missing
	if closed := fault.Count(vfstest.KindClose); closed != opened {
		t.Errorf("%s: %d files opened, %d closed", where(), opened, closed)
	}
	for _, after := range []*vfstest.Mem{disk.Crash(vfstest.Crash{}), disk.Clone()} {
		if err := recoverTwice(after, h, false); err != nil {
			t.Errorf("%s: the log that is left: %v", where(), err)
		}
	}
	return failed.N > 0, path.Base(failed.Name)
}

func TestFirstSyncErrorIsFinal(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	failing := false
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if failing && op.Kind == vfstest.KindSync {
			failing = false // the second one would "work"
			return vfstest.Fail(syscall.EIO)
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	appendSizes(t, l, 10)
	if _, err := l.Append(typeBatch, []byte("x")); err != nil {
		t.Fatal(err)
	}
	failing = true
	err := l.Sync()
	if !errors.Is(err, syscall.EIO) || l.Durable() != 1 {
		t.Fatalf("%v, durable %d", err, l.Durable())
	}
	writes, syncs := fault.Count(vfstest.KindWrite), fault.Count(vfstest.KindSync)
	if again := l.Sync(); !errors.Is(again, syscall.EIO) {
		t.Errorf("the second sync says %v", again)
	}
	if _, again := l.Append(typeBatch, []byte("x")); !errors.Is(again, syscall.EIO) {
		t.Errorf("an append says %v", again)
	}
	if l.Durable() != 1 || fault.Count(vfstest.KindWrite) != writes || fault.Count(vfstest.KindSync) != syncs {
		t.Error("the log went on")
	}
}

// TestOrderOfRotationAndRelease: header on disk before the name, name before any record, one
// durable removal after the other.
func TestOrderOfRotationAndRelease(t *testing.T) {
	t.Parallel()
	var ops []string
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		if changes(op.Kind) {
			s := string(op.Kind) + " " + strings.TrimSuffix(strings.TrimLeft(path.Base(op.Name), "0"), segmentSuffix)
			if op.Kind == vfstest.KindWrite {
				s += fmt.Sprint(" ", op.Off)
			}
			if op.Kind == vfstest.KindRename {
				s += " " + strings.TrimSuffix(strings.TrimLeft(path.Base(op.To), "0"), segmentSuffix)
			}
			ops = append(ops, s)
		}
		return vfstest.Outcome{}
	})
	took := func(f func()) string {
		ops = nil
		f()
		return strings.Join(ops, ", ")
	}
	l := create(t, testOptions(fault))
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, want)
		}
	}
	appendOne := func() {
		if _, err := l.Append(typeBatch, payload(1, 4000)); err != nil {
			t.Fatal(err)
		}
	}
	appendOne()
	appendOne()
	const fresh = "remove spare, create spare, write spare 0, sync spare"
	const begin = "write spare 0, sync spare, rename spare "
	expect("rotation without a spare, unsynced records", took(appendOne),
		"sync 1, "+fresh+", "+begin+"2, syncdir wal, write 2 64")
	expect("sync", took(func() { l.Sync() }), "sync 2")
	expect("sync of nothing", took(func() { l.Sync() }), "")
	expect("a spare", took(func() { l.PrepareSpare() }), fresh)
	expect("a second spare", took(func() { l.PrepareSpare() }), "")
	appendOne()
	l.Sync()
	expect("rotation with a spare", took(appendOne), begin+"3, syncdir wal, write 3 64")
	expect("release of nothing", took(func() { l.Release(1) }), "")
	expect("release", took(func() { l.Release(5) }), "remove 1, syncdir wal, remove 2, syncdir wal")
	expect("release of all", took(func() { l.Release(100) }), "")
}

func TestReleaseGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	for _, kind := range []vfstest.Kind{vfstest.KindRemove, vfstest.KindSyncDir} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			disk := vfstest.NewMem()
			failing, kinds := false, []vfstest.Kind(nil)
			fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
				if changes(op.Kind) {
					kinds = append(kinds, op.Kind)
				}
				if failing && op.Kind == kind {
					failing = false
					return vfstest.Fail(syscall.EIO)
				}
				return vfstest.Outcome{}
			})
			l := create(t, testOptions(fault))
			appendSizes(t, l, 4000, 4000, 4000, 4000, 4000)
			failing, kinds = true, nil
			if err := l.Release(4); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if err := l.Release(4); err != nil {
				t.Fatal(err)
			}
			const remove, syncDir = vfstest.KindRemove, vfstest.KindSyncDir
			want := []vfstest.Kind{remove, remove, syncDir, remove, syncDir}
			if kind == vfstest.KindSyncDir {
				want = []vfstest.Kind{remove, syncDir, syncDir, remove, syncDir}
			}
			if !slices.Equal(kinds, want) {
				t.Errorf("%v, want %v", kinds, want)
			}
			if l.Err() != nil || l.First() != 5 || len(l.Segments()) != 1 {
				t.Errorf("begins with %d, %d segments, error %v", l.First(), len(l.Segments()), l.Err())
			}
			appendSizes(t, l, 100)
		})
	}
}

// TestFullDisk: counting goes on until the segment is full, is refused without a write, and resumes
// when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	full := false
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if full && op.Kind == vfstest.KindWrite && path.Base(op.Name) == spareName {
			return vfstest.Short(100, syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	l := create(t, testOptions(fault))
	within(t, "the wish for a spare", l.NeedSpare())
	payloads := appendSizes(t, l, 3000)
	full = true
	if err := l.PrepareSpare(); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFull) {
		t.Fatalf("PrepareSpare on a full disk: %v", err)
	}
	if _, err := disk.ReadFile(path.Join(testDir, spareName)); err == nil {
		t.Error("half a spare was left")
	}
	payloads = append(payloads, appendSizes(t, l, 4000)...)
	for range 3 {
		before := fault.Total()
		if _, err := l.Append(typeBatch, payload(3, 2000)); !errors.Is(err, ErrFull) ||
			!errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append without room: %v", err)
		}
		if l.Last() != 2 || l.Err() != nil {
			t.Fatalf("last %d, error %v", l.Last(), l.Err())
		}
		if before > 0 && fault.Count(vfstest.KindCreate) > 3 {
			t.Error("each refused append tries to fill the disk again")
		}
	}
	select {
	case <-l.NeedSpare():
	default:
		t.Error("nobody was told that a spare is needed")
	}
	payloads = append(payloads, appendSizes(t, l, 900)...) // there is room for a small one
	full = false
	if _, err := l.Append(typeBatch, payload(4, 2000)); !errors.Is(err, ErrFull) {
		t.Errorf("append before PrepareSpare succeeded: %v", err)
	}
	if err := l.PrepareSpare(); err != nil {
		t.Fatal(err)
	}
	payloads = append(payloads, appendSizes(t, l, 2000)...)
	if err := recoverTwice(disk.Crash(vfstest.Crash{}), &history{payloads: payloads, synced: 4}, true); err != nil {
		t.Error(err)
	}
}

// TestStartThatFails leaves the log unusable and the records where they were.
func TestStartThatFails(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	payloads := appendSizes(t, create(t, testOptions(disk)), 100, 200, 300)
	h := &history{payloads: payloads, synced: 3}
	for n, more := 1, true; more; n++ {
		more = false
		copied, seen := disk.Clone(), 0
		started := false
		fault := vfstest.NewFault(copied, func(op vfstest.Op) vfstest.Outcome {
			if started && op.Kind != vfstest.KindClose {
				if seen++; seen == n {
					more = true
					return vfstest.Fail(nil)
				}
			}
			return vfstest.Outcome{}
		})
		l, err := Open(testDir, testOptions(fault))
		if err != nil {
			t.Fatal(err)
		}
		started = true
		err = l.Start()
		if more != (err != nil) || more && !errors.Is(err, syscall.EIO) {
			t.Errorf("operation %d: Start says %v", n, err)
		}
		if more {
			if _, appended := l.Append(typeBatch, []byte("x")); appended == nil || l.Start() == nil {
				t.Errorf("operation %d: the log works though Start failed", n)
			}
		}
		if err := l.Close(); err != nil {
			t.Errorf("operation %d: close: %v", n, err)
		}
		if err := recoverTwice(copied.Crash(vfstest.Crash{}), h, false); err != nil {
			t.Errorf("operation %d: %v", n, err)
		}
	}
}
