package store

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestSnapshotIsWrittenAside: the entries are written at the least priority, so that nobody who
// counts waits for the processor.
func TestSnapshotIsWrittenAside(t *testing.T) {
	t.Parallel()
	var first atomic.Int64 // the policy of the thread that writes the first transaction, and one
	s := openStore(t, t.TempDir(),
		Options{SnapshotInterval: -1, SnapshotBytes: -1, hooks: snapshot.Hooks{NoSync: true}})
	// however long it gets no processor; the snapshotter looks when it is asked for a snapshot
	s.snapshot.asideTime = 1 << 62
	s.file.Hooks.BeforeCommit = func() {
		a, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			return
		}
		first.CompareAndSwap(0, int64(a.Policy)+1)
	}
	runOps(t, s, []core.Op{count("orders", 1)})
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := first.Load() - 1; got != unix.SCHED_IDLE {
		t.Errorf("the policy is %d, want %d", got, unix.SCHED_IDLE)
	}
}
