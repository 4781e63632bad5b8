package wal

import (
	"errors"
	"fmt"
	"path"
	"syscall"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs/vfstest"
)

// TestErrorAfterAnError lets one operation of a run fail and then another one after it: while the
// first is put right, and later. What was acknowledged is there after the power loss that follows,
// what was refused is not, and after an error that is final nothing is written.
func TestErrorAfterAnError(t *testing.T) {
	t.Parallel()
	ways := map[string]func(vfstest.Op) vfstest.Outcome{
		"an error":          func(vfstest.Op) vfstest.Outcome { return vfstest.Fail(nil) },
		"works, says error": func(vfstest.Op) vfstest.Outcome { return vfstest.FailAfter(nil) },
		"no room":           func(vfstest.Op) vfstest.Outcome { return vfstest.Fail(syscall.ENOSPC) },
		"room for a part":   func(op vfstest.Op) vfstest.Outcome { return vfstest.Short(op.Len/2, syscall.ENOSPC) },
		"works, says full":  func(vfstest.Op) vfstest.Outcome { return vfstest.FailAfter(syscall.ENOSPC) },
	}
	for firstName, first := range ways {
		t.Run(firstName, func(t *testing.T) {
			t.Parallel()
			for _, secondName := range []string{"an error", "works, says error", "no room"} {
				second := ways[secondName]
				for n, more := 1, true; more; n += 3 * thin.Step(4) {
					for _, after := range []int{1, 2, 4} {
						what := fmt.Sprintf("%s at operation %d, %s %d after it", firstName, n, secondName, after)
						more = errorAfter(t, what, n, n+after, first, second)
						if t.Failed() {
							return
						}
					}
				}
			}
		})
	}
}

// errorAfter runs with the n-th operation that changes something and the m-th one failing. It
// returns false when there was no n-th.
func errorAfter(t *testing.T, what string, n, m int, first, second func(vfstest.Op) vfstest.Outcome) bool {
	t.Helper()
	disk := vfstest.NewMem()
	var l *Log
	seen, final := 0, 0
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if l == nil || !changes(op.Kind) {
			return vfstest.Outcome{}
		}
		if l.Err() != nil {
			final++
		}
		way := first
		switch seen++; seen {
		case n:
		case m:
			way = second
		default:
			return vfstest.Outcome{}
		}
		out := way(op)
		if op.Kind == vfstest.KindSync && path.Base(op.Name) != markName {
			if err := disk.FailSync(op.Name); err != nil && path.Base(op.Name) != spareName {
				t.Error(err)
			}
			out = vfstest.Fail(syscall.EIO)
		}
		return out
	})
	h := &history{marked: true, each: true}
	l = create(t, h.options(fault))
	for i := range 14 {
		p := payload(100*uint64(i)+l.Last(), 500+150*i)
		_, err := l.Append(typeBatch, p)
		if err == nil || !errors.Is(err, ErrFull) {
			h.payloads = append(h.payloads, p)
		}
		if err == nil && l.Sync() == nil {
			h.synced = l.Last()
		}
		switch i % 4 {
		case 0:
			_ = l.PrepareSpare()
		case 1:
			_ = l.Resume()
		case 2:
			if l.TurnMark() {
				l.SyncMark()
			}
		}
		if i == 9 {
			h.released = h.synced // even if it says no
			_ = l.Release(h.synced)
		}
	}
	if final > 0 {
		t.Errorf("%s: %d changes after the final error %v", what, final, l.Err())
	}
	_ = l.Close()
	torn := disk.Crash(vfstest.Crash{Seed: uint64(n), Keep: 0.5, Garbage: true})
	for _, after := range []*vfstest.Mem{disk.Crash(vfstest.Crash{}), torn, disk.Clone()} {
		if err := recoverTwice(after, h, false); err != nil {
			t.Errorf("%s: the log that is left: %v", what, err)
		}
	}
	return seen >= n
}
