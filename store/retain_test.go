package store

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// clock is a wall clock that a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// retainOptions are those of a store with small segments that takes snapshots only when it is
// asked.
func retainOptions(c *clock, r Retain) Options {
	return Options{SegmentSize: 8192, SnapshotInterval: -1, SnapshotBytes: -1, Retain: r, now: c.now,
		hooks: snapshot.Hooks{NoSync: true}}
}

// fill makes n records, an hour apart, of which eight fit into a segment.
func fill(t *testing.T, s *Store, c *clock, n int) {
	t.Helper()
	for range n {
		c.advance(time.Hour)
		if op := runOps(t, s, []core.Op{count(strings.Repeat("x", 900), 1)})[0]; op.Err != nil {
			t.Fatal(op.Err)
		}
	}
}

func takeSnapshot(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRetain: 41 records, one an hour, the 41st alone in the sixth segment. Of the five closed ones
// the first is closed by the record of hour 9, the second by that of hour 17, and so on to 41,
// which is now.
func TestRetain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		retain Retain
		first  uint64 // segment's number that is kept, at once
		later  uint64 // the same 9 hours later, without anything new
	}{
		{"nothing", Retain{}, 6, 6},
		{"all by age", Retain{Age: 49 * time.Hour}, 1, 1},
		{"old ones go later", Retain{Age: 32 * time.Hour}, 1, 3},
		{"exactly as old", Retain{Age: 24 * time.Hour}, 2, 4},
		{"a little less", Retain{Age: 24*time.Hour - 1}, 3, 4},
		{"none young enough later", Retain{Age: 8 * time.Hour}, 4, 6},
		{"all by size", Retain{Bytes: 5 * 8192}, 1, 1},
		{"by size", Retain{Bytes: 5*8192 - 1}, 2, 2},
		{"one by size", Retain{Bytes: 2*8192 - 1}, 5, 5},
		{"size below a segment", Retain{Bytes: 1}, 6, 6},
		{"the age within the size", Retain{Age: 49 * time.Hour, Bytes: 3 * 8192}, 3, 3},
		{"the size within the age", Retain{Age: 9 * time.Hour, Bytes: 4 * 8192}, 4, 5},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			s := openStore(t, t.TempDir(), retainOptions(c, row.retain))
			fill(t, s, c, 41)
			if err := s.shorten(); err != nil {
				t.Fatal(err)
			}
			if segs := s.wal.Segments(); len(segs) != 6 || segs[5].First != 41 {
				t.Fatalf("before a snapshot covers anything: %+v", segs)
			}
			takeSnapshot(t, s)
			if got := s.wal.Segments()[0].Number; got != row.first {
				t.Errorf("the log begins with segment %d, want %d", got, row.first)
			}
			done := s.Stats().Snapshots
			c.advance(9 * time.Hour)
			takeSnapshot(t, s)
			if got := s.wal.Segments()[0].Number; got != row.later || s.Stats().Snapshots != done {
				t.Errorf("later the log begins with segment %d, want %d; %d snapshots, want %d", got, row.later,
					s.Stats().Snapshots, done)
			}
		})
	}
}

// TestRetainKeepsWhatRecoveryNeeds: however little is to be retained and however old it is, what is
// after the snapshot stays, and so do the sums.
func TestRetainKeepsWhatRecoveryNeeds(t *testing.T) {
	t.Parallel()
	for _, r := range []Retain{{}, {Age: 1}, {Bytes: 1}, {Age: 1, Bytes: 1}} {
		c := newClock()
		dir := t.TempDir()
		s := openStore(t, dir, retainOptions(c, r))
		fill(t, s, c, 20) // the snapshot ends within the third segment
		takeSnapshot(t, s)
		fill(t, s, c, 25)
		c.advance(1000 * time.Hour)
		if err := s.shorten(); err != nil {
			t.Fatal(err)
		}
		if first := s.wal.First(); first != 17 {
			t.Errorf("%+v: the log begins with record %d", r, first)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir, retainOptions(c, r))
		if v, _ := s.Get(strings.Repeat("x", 900)); v.Sum != 45 {
			t.Errorf("%+v: %d after a start", r, v.Sum)
		}
	}
}

// TestRetainedAcrossStarts: what was retained ages on in the next life, by the times in the log.
func TestRetainedAcrossStarts(t *testing.T) {
	t.Parallel()
	c := newClock()
	dir := t.TempDir()
	r := Retain{Age: 24 * time.Hour}
	s := openStore(t, dir, retainOptions(c, r))
	fill(t, s, c, 41)
	takeSnapshot(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.advance(8 * time.Hour)
	s = openStore(t, dir, retainOptions(c, r))
	if first := s.wal.First(); first != 9 {
		t.Errorf("a start removed something: the log begins with record %d", first)
	}
	takeSnapshot(t, s)
	if first := s.wal.First(); first != 17 {
		t.Errorf("the log begins with record %d", first)
	}
}

// TestRetainWhenTheClockWentBack: a time of the future keeps a segment, up to the size, and harms
// nothing else.
func TestRetainWhenTheClockWentBack(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := openStore(t, t.TempDir(), retainOptions(c, Retain{Age: time.Hour, Bytes: 3 * 8192}))
	fill(t, s, c, 41)
	c.advance(-1000 * time.Hour)
	takeSnapshot(t, s)
	if first := s.wal.First(); first != 17 {
		t.Errorf("the log begins with record %d", first)
	}
}

// TestRetainedDamage: damage to what is kept only for history stops no start, since the snapshot
// has what it led to, and does not keep the log from being shortened by size; damage to what a
// start needs stops it.
func TestRetainedDamage(t *testing.T) {
	t.Parallel()
	c := newClock()
	dir := t.TempDir()
	s := openStore(t, dir, retainOptions(c, Retain{Age: 20 * time.Hour}))
	fill(t, s, c, 20)
	takeSnapshot(t, s)
	fill(t, s, c, 21)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	flip := func(segment int) {
		edit(t, filepath.Join(dir, logName, fmt.Sprintf("%016x.seg", segment)), func(b []byte) []byte {
			b[64+40+7] ^= 1
			return b
		})
	}
	flip(1)
	flip(2)
	s = openStore(t, dir, retainOptions(c, Retain{Age: 20 * time.Hour}))
	if v, _ := s.Get(strings.Repeat("x", 900)); v.Sum != 41 {
		t.Errorf("sum %d", v.Sum)
	}
	if err := s.shorten(); err == nil || s.wal.First() != 1 {
		t.Errorf("the age of segment 1, whose end segment 2 tells: %v; the log begins with record %d", err,
			s.wal.First())
	}
	s.options.Retain.Bytes = 8192
	if err := s.shorten(); err != nil || s.wal.First() != 17 {
		t.Errorf("by size, and then the second, whose end can be read, by age: %v; the log begins with record %d", err,
			s.wal.First())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	flip(3)
	var damage *wal.CorruptionError
	if _, err := open(t, dir, retainOptions(c, Retain{})); !errors.As(err, &damage) ||
		!strings.Contains(damage.File, "0003.seg") {
		t.Errorf("a start with damage in what it replays: %v", err)
	}
}

// TestRetainBySizeDespiteDamage: an age that cannot be told keeps no more than the size.
func TestRetainBySizeDespiteDamage(t *testing.T) {
	t.Parallel()
	c := newClock()
	dir := t.TempDir()
	s := openStore(t, dir, retainOptions(c, Retain{Bytes: 1 << 30}))
	fill(t, s, c, 41)
	takeSnapshot(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, logName, "0000000000000003.seg"), func(b []byte) []byte { b[64+40+7] ^= 1; return b })
	s = openStore(t, dir, retainOptions(c, Retain{Age: time.Hour, Bytes: 4 * 8192}))
	if err := s.shorten(); err == nil || s.wal.First() != 9 {
		t.Errorf("%v; the log begins with record %d", err, s.wal.First())
	}
}

// TestStartReadsOnlyHeadersOfHistory counts the bytes that a start reads of each segment.
func TestStartReadsOnlyHeadersOfHistory(t *testing.T) {
	t.Parallel()
	c := newClock()
	dir := t.TempDir()
	o := retainOptions(c, Retain{Age: 1000 * time.Hour})
	s := openStore(t, dir, o)
	fill(t, s, c, 20)
	takeSnapshot(t, s)
	fill(t, s, c, 21)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	reads := map[string]int{} // under mu
	o.fs = vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) (out vfstest.Outcome) {
		if op.Kind == vfstest.KindRead {
			mu.Lock()
			defer mu.Unlock()
			reads[filepath.Base(op.Name)] += op.Len
		}
		return out
	})
	s, err := open(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	byStart := maps.Clone(reads)
	mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for segment := 1; segment <= 6; segment++ {
		name := fmt.Sprintf("%016x.seg", segment)
		if got := byStart[name]; segment <= 2 && got != 64 || segment > 2 && got < 64+8*940 && segment < 6 {
			t.Errorf("%d bytes of %s were read", got, name)
		}
	}
}
