package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// history is what a scripted run has done so far.
type history struct {
	payloads [][]byte // handed to Append, from index 1 on; the last one may be under way
	synced   uint64   // the last index whose Sync returned
	released uint64   // the highest index handed to Release

	segment int64  // bytes of a segment; 0: the least
	marked  bool   // it keeps a mark
	each    bool   // and syncs each record before the next
	proved  uint64 // what the mark says of it after any power loss, at least; 0: nothing
}

// options are those of a log with this history.
func (h *history) options(fsys vfs.FS) Options {
	o := testOptions(fsys)
	if h.marked {
		o = markedOptions(fsys, h.each)
	}
	if h.segment > 0 {
		o.SegmentSize = h.segment
	}
	return o
}

// check compares a recovered log with the history.
func (h *history) check(l *Log) error {
	if err := compare(l, h.payloads); err != nil {
		return err
	}
	if l.Last() < h.synced {
		return fmt.Errorf("the log ends with record %d, record %d was synced", l.Last(), h.synced)
	}
	if mark := l.Mark(); h.marked && h.proved > 0 && (mark.State != MarkSound || mark.Index < h.proved) {
		return fmt.Errorf("the mark is %+v, record %d was in it durably", mark, h.proved)
	}
	if l.First() > h.released+1 {
		return fmt.Errorf("the log begins with record %d, records up to %d were released", l.First(), h.released)
	}
	return nil
}

// script does all that a log does: create, appends of many sizes, syncs now and then, rotations
// with and without a spare, releases. Its errors are those of the disk.
func (h *history) script(o Options, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	if err := Create(testDir, testID, 1, o); err != nil {
		return err
	}
	l, err := Open(testDir, o)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Start(); err != nil {
		return err
	}
	turned := uint64(0) // what is in the slot that is to be synced; 0: none
	for i := range uint64(24) {
		sizes := []int{1 + r.IntN(60), 1 + r.IntN(60), 200 + r.IntN(1500), l.MaxRecord()}
		p := payload(i+1, sizes[r.IntN(len(sizes))])
		h.payloads = append(h.payloads, p)
		if _, err := l.Append(typeBatch, p); err != nil {
			return err
		}
		h.synced = max(h.synced, l.Durable()) // a rotation syncs
		if h.each || r.IntN(3) > 0 {
			if err := l.Sync(); err != nil {
				return err
			}
			h.synced = l.Last()
		}
		if turned > 0 && r.IntN(2) == 0 { // records were synced meanwhile
			l.SyncMark()
			h.proved, turned = max(h.proved, turned), 0
		}
		if turned == 0 && r.IntN(2) == 0 && l.TurnMark() {
			turned = h.synced
		}
		if r.IntN(6) == 0 {
			if err := l.PrepareSpare(); err != nil {
				return err
			}
		}
		if r.IntN(6) == 0 {
			h.released = max(h.released, h.synced-uint64(r.IntN(int(min(h.synced, 4)+1))))
			if err := l.Release(h.released); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestCrashAtEveryOperation cuts the power before every file operation of a scripted run, in many
// ways, and in the middle of the recovery from it.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6 / thin.Step(2)) {
		h := &history{marked: seed%3 > 0, each: seed%3 == 2}
		name := fmt.Sprintf("seed %d, with a mark %t, each record synced %t", seed, h.marked, h.each)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, points := vfstest.NewMem(), 0
			fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
				if op.Kind == vfstest.KindRead || op.Kind == vfstest.KindSize || op.Kind == vfstest.KindClose ||
					t.Failed() {
					return vfstest.Outcome{}
				}
				if points++; points%thin.Step(3) != 0 {
					return vfstest.Outcome{}
				}
				where := fmt.Sprintf("seed %d, before operation %d (%s %s %d+%d)",
					seed, op.N, op.Kind, op.Name, op.Off, op.Len)
				n := uint64(op.N)
				crashes := []vfstest.Crash{
					{Keep: 0}, {Keep: 1},
					{Seed: n, Keep: 0.3}, {Seed: n, Keep: 0.7},
					{Seed: n, Keep: 0.5, Garbage: true}, {Seed: n, Keep: 0.9, Garbage: true},
				}
				for _, c := range crashes {
					if err := recoverTwice(disk.Crash(c), h, c.Garbage); err != nil {
						t.Errorf("%s, power loss %+v: %v", where, c, err)
					}
				}
				if err := recoverTwice(disk.Clone(), h, false); err != nil {
					t.Errorf("%s, process killed: %v", where, err)
				}
				return vfstest.Outcome{}
			})
			if err := h.script(h.options(fault), seed); err != nil {
				t.Fatal(err)
			}
			if points < 80 {
				t.Errorf("only %d crash points", points)
			}
		})
	}
}

// recoverTwice recovers from a crash, goes on, loses power again and looks whether all is there. If
// nested, it also cuts the power before each operation of the recovery.
func recoverTwice(disk *vfstest.Mem, h *history, nested bool) error {
	again := *h
	if nested {
		if err := crashInRecovery(disk, h); err != nil {
			return err
		}
	}
	l, err := h.reopen(disk)
	if err != nil {
		return err
	}
	if err := h.check(l); err != nil {
		return err
	}
	again.payloads = append([][]byte(nil), h.payloads[:l.Last()]...)
	for _, size := range []int{30, 1000} {
		p := payload(l.Last()+1000, size) // not what the first life wrote at this index
		again.payloads = append(again.payloads, p)
		if _, err := l.Append(typeBatch, p); err != nil {
			return err
		}
		if err := l.Sync(); err != nil {
			return err
		}
	}
	again.synced = l.Last()
	l, err = h.reopen(disk.Crash(vfstest.Crash{}))
	if err != nil {
		return fmt.Errorf("after the second power loss: %w", err)
	}
	if err := again.check(l); err != nil {
		return fmt.Errorf("after the second power loss: %w", err)
	}
	if tail := l.Tail(); tail.Length != 0 {
		return fmt.Errorf("something after the tail survived a recovery: %+v", tail)
	}
	return nil
}

func reopen(disk vfs.FS) (*Log, error) { return (&history{}).reopen(disk) }

// reopen is what a start does, the interrupted first start included.
func (h *history) reopen(disk vfs.FS) (*Log, error) {
	o := h.options(disk)
	l, err := Open(testDir, o)
	if errors.Is(err, ErrNoLog) || err == nil && l.Last() == 0 {
		if err := Create(testDir, testID, 1, o); err != nil {
			return nil, fmt.Errorf("second Create: %w", err)
		}
		l, err = Open(testDir, o)
	}
	if err != nil {
		return nil, err
	}
	return l, l.Start()
}

// crashInRecovery recovers a copy of disk and cuts the power before each operation of that: the
// next recovery finds the same.
func crashInRecovery(disk *vfstest.Mem, h *history) error {
	first, err := h.reopen(disk.Clone())
	if err != nil {
		return err
	}
	copied := disk.Clone()
	var failed error
	fault := vfstest.NewFault(copied, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindRead || op.Kind == vfstest.KindSize || op.Kind == vfstest.KindClose || failed != nil {
			return vfstest.Outcome{}
		}
		for _, c := range []vfstest.Crash{{}, {Seed: uint64(op.N), Keep: 0.5, Garbage: true}} {
			l, err := h.reopen(copied.Crash(c))
			if err == nil {
				err = h.check(l)
			}
			if err == nil && l.Last() != first.Last() {
				err = fmt.Errorf("ends with record %d, the first recovery with %d", l.Last(), first.Last())
			}
			if err != nil {
				failed = fmt.Errorf("power loss %+v before operation %d (%s) of the recovery: %w",
					c, op.N, op.Kind, err)
			}
		}
		return vfstest.Outcome{}
	})
	if _, err := h.reopen(fault); err != nil {
		return err
	}
	return failed
}
