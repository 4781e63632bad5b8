package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// The tests of this file let hours pass, by a clock that is not the system's: each timer of a store
// fires, is set again, and goes on after an error.

// inTime runs a test of a store whose log is on a memory disk, in time that passes when nothing
// else is to be done.
func inTime(t *testing.T, o Options, test func(t *testing.T, s *Store, mem *vfstest.Mem)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMem()
		if o.fs == nil {
			o.fs = mem
		}
		o.logDir, o.hooks.NoSync = "log", true
		s := openStore(t, t.TempDir(), o)
		test(t, s, mem)
	})
}

// pass lets time pass and waits for what comes of it.
func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

// TestSyncTimer: with --sync interval the log is durable an interval after it was written, again
// and again, and is not synced when there is nothing to sync.
func TestSyncTimer(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{time.Millisecond, 0, 7 * time.Second} {
		want := interval
		if want == 0 {
			want = time.Second
		}
		o := Options{Sync: SyncInterval, SyncInterval: interval, SnapshotInterval: -1, SegmentSize: 64 << 10}
		inTime(t, o, func(t *testing.T, s *Store, mem *vfstest.Mem) {
			time.Sleep(want / 2) // so that no tick is at the same moment as a count
			for life := range uint64(5) {
				runOps(t, s, []core.Op{count("a", 1)})
				runOps(t, s, []core.Op{count("b", 1)})
				if got := s.wal.Durable(); got != 2*life {
					t.Errorf("interval %v: durable is %d at once, want %d", interval, got, 2*life)
				}
				pass(want)
				if got := s.wal.Durable(); got != 2*life+2 {
					t.Errorf("interval %v: durable is %d an interval later, want %d", interval, got, 2*life+2)
				}
				left, err := wal.Open("log", wal.Options{FS: mem.Crash(vfstest.Crash{})})
				if err != nil || left.Last() != 2*life+2 {
					t.Errorf("interval %v: a power loss leaves %v", interval, err)
				}
				syncs := s.wal.Stats().Syncs
				pass(10 * want)
				if now := s.wal.Stats().Syncs; now != syncs {
					t.Errorf("interval %v: %d syncs of nothing", interval, now-syncs)
				}
			}
		})
	}
}

// TestSyncTimerEndsAfterAnError: a sync at an interval that fails is final.
func TestSyncTimerEndsAfterAnError(t *testing.T) {
	t.Parallel()
	mem := vfstest.NewMem()
	var failing atomic.Bool
	fault := vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
		if failing.Load() && op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".seg") {
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	o := Options{fs: fault, Sync: SyncInterval, SnapshotInterval: -1, SegmentSize: 64 << 10}
	inTime(t, o, func(t *testing.T, s *Store, _ *vfstest.Mem) {
		runOps(t, s, []core.Op{count("a", 1)})
		failing.Store(true)
		pass(time.Second)
		if !errors.Is(s.Err(), syscall.EIO) {
			t.Errorf("a second after a sync that fails: %v", s.Err())
		}
		failing.Store(false)
		if op := runOps(t, s, []core.Op{count("a", 1)})[0]; !errors.Is(op.Err, core.ErrFailed) {
			t.Errorf("a count after it: %v", op.Err)
		}
	})
}

// TestSnapshotTimer: a snapshot is made an interval after the one before it, if something changed,
// whoever asked for that one.
func TestSnapshotTimer(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{0, 20 * time.Second} {
		want := interval
		if want == 0 {
			want = 5 * time.Minute
		}
		inTime(t, Options{SnapshotInterval: interval, SegmentSize: 64 << 10},
			func(t *testing.T, s *Store, _ *vfstest.Mem) {
				made := func(want uint64, when string) {
					t.Helper()
					if got := s.Stats().Snapshots; got != want {
						t.Errorf("interval %v: %d snapshots %s, want %d", interval, got, when, want)
					}
				}
				time.Sleep(time.Millisecond)
				for life := range uint64(4) {
					runOps(t, s, []core.Op{count("a", 1), count(fmt.Sprint(life), 1)})
					pass(want - 2*time.Millisecond)
					made(life, "before the interval is over")
					pass(2 * time.Millisecond)
					made(life+1, "when it is over")
					if got := snapshotHolds(t, s)["a"].Sum; got != life+1 {
						t.Errorf("interval %v: a is %d in the snapshot, want %d", interval, got, life+1)
					}
				}
				pass(3 * want)
				made(4, "though nothing changed")
				pass(want / 2)
				runOps(t, s, []core.Op{count("a", 1)})
				if err := s.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
				made(5, "when one was asked for")
				runOps(t, s, []core.Op{count("a", 1)})
				pass(want - time.Millisecond)
				made(5, "before an interval is over from that one on")
				pass(2 * time.Millisecond)
				made(6, "when that is over")
			})
	}
}

// TestSnapshotTimerOff: without an interval time alone makes no snapshot.
func TestSnapshotTimerOff(t *testing.T) {
	t.Parallel()
	inTime(t, Options{SnapshotInterval: -1, SegmentSize: 64 << 10}, func(t *testing.T, s *Store, _ *vfstest.Mem) {
		runOps(t, s, []core.Op{count("a", 1)})
		pass(2 * time.Hour)
		if n := s.Stats().Snapshots; n != 0 {
			t.Errorf("%d snapshots", n)
		}
	})
}

// TestSnapshotIsTriedAgain: one that could not be made is tried again ten seconds later, and not an
// interval later.
func TestSnapshotIsTriedAgain(t *testing.T) {
	t.Parallel()
	inTime(t, Options{SnapshotInterval: time.Hour, SegmentSize: 64 << 10},
		func(t *testing.T, s *Store, _ *vfstest.Mem) {
			runOps(t, s, []core.Op{count("a", 1)})
			tool, err := bolt.Open(s.file.Path, 0o600, &bolt.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			pass(time.Hour + time.Second)
			for range 3 {
				if s.Stats().Snapshots != 0 || !s.snapshot.failed.Load() {
					t.Error("a snapshot was made under a tool's lock")
				}
				pass(snapshotRetry + time.Second)
			}
			if err := tool.Close(); err != nil {
				t.Fatal(err)
			}
			pass(snapshotRetry + time.Second)
			if s.Stats().Snapshots != 1 || s.snapshot.failed.Load() {
				t.Error("no snapshot was made when the lock was free")
			}
			runOps(t, s, []core.Op{count("a", 1)})
			pass(time.Hour - time.Minute)
			if s.Stats().Snapshots != 1 {
				t.Error("after one that was made the next one came too early")
			}
			pass(time.Minute)
			if s.Stats().Snapshots != 2 {
				t.Error("the timer does not go on")
			}
		})
}

// TestRetentionTimer: what is kept for history goes when it is old enough, though nothing is
// counted any more.
func TestRetentionTimer(t *testing.T) {
	t.Parallel()
	o := Options{SnapshotInterval: time.Minute, SegmentSize: 8192, SnapshotBytes: -1,
		Retain: Retain{Age: 3 * time.Hour}}
	inTime(t, o, func(t *testing.T, s *Store, _ *vfstest.Mem) {
		for range 20 {
			runOps(t, s, []core.Op{count(strings.Repeat("x", 900), 1)})
		}
		segments := s.Stats().Segments
		if segments < 3 {
			t.Fatalf("%d segments", segments)
		}
		pass(2 * time.Hour)
		if now := s.Stats().Segments; now != segments || s.Stats().Snapshots != 1 {
			t.Errorf("after two hours %d segments of %d, %d snapshots", now, segments, s.Stats().Snapshots)
		}
		pass(time.Hour + 2*time.Minute)
		if now := s.Stats().Segments; now != 1 {
			t.Errorf("after three hours there are still %d segments", now)
		}
	})
}

// TestRetentionIsTriedAgain: segments that could not be removed are removed ten seconds later.
func TestRetentionIsTriedAgain(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	failing.Store(true)
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		if failing.Load() && op.Kind == vfstest.KindRemove && strings.HasSuffix(op.Name, ".seg") {
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	o := Options{fs: fault, SnapshotInterval: time.Hour, SegmentSize: 8192, SnapshotBytes: -1}
	inTime(t, o, func(t *testing.T, s *Store, _ *vfstest.Mem) {
		for range 20 {
			runOps(t, s, []core.Op{count(strings.Repeat("x", 900), 1)})
		}
		segments := s.Stats().Segments
		pass(time.Hour)
		pass(snapshotRetry)
		if now := s.Stats().Segments; now != segments || s.Err() != nil {
			t.Errorf("%d segments of %d, %v", now, segments, s.Err())
		}
		failing.Store(false)
		pass(snapshotRetry)
		if now := s.Stats().Segments; now != 1 {
			t.Errorf("%d segments when they can be removed again", now)
		}
	})
}

// TestLookTimer: that the directory is gone is noticed within a second, however long the store has
// been open.
func TestLookTimer(t *testing.T) {
	t.Parallel()
	for _, before := range []time.Duration{0, lookEvery, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			o := Options{fs: vfstest.NewMem(), logDir: "log", SnapshotInterval: -1, SegmentSize: 64 << 10,
				hooks: snapshot.Hooks{NoSync: true}}
			s := openStore(t, dir, o)
			pass(before + lookEvery/2)
			if s.Err() != nil {
				t.Fatal(s.Err())
			}
			if err := os.Rename(dir, dir+".old"); err != nil {
				t.Fatal(err)
			}
			pass(lookEvery)
			if !errors.Is(s.Err(), ErrMoved) {
				t.Errorf("%v after the start the directory went, and a second later the store says %v", before, s.Err())
			}
		})
	}
}

// TestRoomTimer: a store that has no room looks for it again and again, at most five seconds apart,
// and goes on counting by itself, as often as that happens.
func TestRoomTimer(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		if full.Load() && (op.Kind == vfstest.KindWrite || op.Kind == vfstest.KindCreate) {
			return vfstest.Fail(syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	o := Options{fs: fault, SnapshotInterval: -1, SnapshotBytes: -1, SegmentSize: 64 << 10}
	inTime(t, o, func(t *testing.T, s *Store, _ *vfstest.Mem) {
		sum := uint64(0)
		for _, length := range []time.Duration{0, 50 * time.Millisecond, time.Second, time.Hour} {
			full.Store(true)
			if op := runOps(t, s, []core.Op{count("a", 1)})[0]; !errors.Is(op.Err, core.ErrLogFull) {
				t.Fatalf("on a full disk: %v", op.Err)
			}
			pass(length)
			if op := runOps(t, s, []core.Op{count("a", 1)})[0]; !errors.Is(op.Err, core.ErrLogFull) {
				t.Fatalf("on a disk that is full still: %v", op.Err)
			}
			full.Store(false)
			pass(5 * time.Second)
			op := runOps(t, s, []core.Op{count("a", 1)})[0]
			if sum++; op.Err != nil || op.Sum != sum {
				t.Fatalf("five seconds after there was room again, which was %v later: %d, %v; want %d", length,
					op.Sum, op.Err, sum)
			}
		}
	})
}

// TestMarkTimerGoesOn: the mark is made durable each second in which it moved, also after errors
// of its writing and of its sync, and as long as the store is open.
func TestMarkTimerGoesOn(t *testing.T) {
	t.Parallel()
	mem := vfstest.NewMem()
	var failing atomic.Value // of type vfstest.Kind
	failing.Store(vfstest.Kind(""))
	fault := vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == failing.Load() && filepath.Base(op.Name) == "mark" {
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	o := Options{fs: fault, SnapshotInterval: -1, SegmentSize: 64 << 10}
	inTime(t, o, func(t *testing.T, s *Store, _ *vfstest.Mem) {
		marked := func() uint64 {
			t.Helper()
			l, err := wal.Open("log", wal.Options{FS: mem.Crash(vfstest.Crash{})})
			if err != nil {
				t.Fatal(err)
			}
			return l.Mark().Index
		}
		time.Sleep(markInterval / 2)
		for i, kind := range []vfstest.Kind{"", vfstest.KindWrite, "", vfstest.KindSync, "", ""} {
			failing.Store(kind)
			runOps(t, s, []core.Op{count("a", 1)})
			pass(time.Duration(1+i) * markInterval)
			if kind == "" {
				continue
			}
			if got := marked(); got != uint64(i) {
				t.Errorf("while every %s of it fails the mark on the disk is at %d, want %d", kind, got, i)
			}
			failing.Store(vfstest.Kind(""))
			pass(markInterval)
			if got := marked(); got != uint64(i+1) {
				t.Errorf("a second after every %s of it failed the mark on the disk is at %d, want %d", kind, got, i+1)
			}
		}
		for i := range 5 {
			runOps(t, s, []core.Op{count("a", 1)})
			pass(markInterval)
			if got := marked(); got != uint64(7+i) {
				t.Errorf("a second after record %d the mark on the disk is at %d", 7+i, got)
			}
		}
	})
}
