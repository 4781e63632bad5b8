package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	bolt "go.etcd.io/bbolt"

	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// killed is a store's directory as kill -9 leaves it: a copy, made while nobody counts.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// counted opens a store in a new directory and counts a topic n times, each in a record of 48
// bytes: record i is at 64+48*(i-1).
func counted(t *testing.T, o Options, n int) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	o.SegmentSize, o.SnapshotInterval = 64<<10, -1
	s := openStore(t, dir, o)
	for range n {
		if op := runOps(t, s, []core.Op{count("a", 1)})[0]; op.Err != nil {
			t.Fatal(op.Err)
		}
	}
	return s, dir
}

func segmentOf(dir string) string { return filepath.Join(dir, logName, "0000000000000001.seg") }

// notes reads what a snapshot says of the mark.
func notes(t *testing.T, dir string) wal.MarkNote {
	t.Helper()
	m, err := snapshot.At(SnapshotPath(dir)).Meta()
	if err != nil {
		t.Fatal(err)
	}
	return m.Mark
}

// older does to a directory what a gcd does that knows no mark: it counts, and changes the
// snapshot.
func older(t *testing.T, dir string, records int) {
	t.Helper()
	l, err := wal.Open(LogDir(dir), wal.Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	for range records {
		c := core.Change{Topic: []byte{'b', byte(l.Last())}, N: 1}
		if _, err := l.Append(1, c.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := bolt.Open(SnapshotPath(dir), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		m := tx.Bucket(bucketMeta)
		return errors.Join(m.Put(keyState, []byte{byte(snapshot.StateOpen)}), m.Put(keyDurableAtLeast,
			binary.LittleEndian.AppendUint64(nil, l.Last())))
	})
	if err := errors.Join(err, db.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestLostEnd: what was acknowledged before a kill is not served without its records: they are
// zeros, or the segment is an older copy, or cut off, or gone.
func TestLostEnd(t *testing.T) {
	t.Parallel()
	for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
		s, dir := counted(t, Options{Sync: mode, SyncInterval: time.Hour}, 5)
		if err := s.do(s.syncLog); err != nil {
			t.Fatal(err)
		}
		early := killed(t, dir)
		for range 5 {
			runOps(t, s, []core.Op{count("a", 1)})
		}
		if err := s.do(s.syncLog); err != nil { // what --sync interval does now and then
			t.Fatal(err)
		}
		dead := killed(t, dir)
		for name, damage := range map[string]func(dir string){
			"zeros in the place of records 6 to 10": func(dir string) {
				edit(t, segmentOf(dir), func(b []byte) []byte { clear(b[304:544]); return b })
			},
			"an older copy of the last segment": func(dir string) {
				b, err := os.ReadFile(segmentOf(early))
				if err != nil {
					t.Fatal(err)
				}
				edit(t, segmentOf(dir), func([]byte) []byte { return b })
			},
			"garbage": func(dir string) {
				edit(t, segmentOf(dir), func(b []byte) []byte {
					copy(b[304:], bytes.Repeat([]byte("garbage!"),
						30))
					return b
				})
			},
		} {
			dir := killed(t, dead)
			damage(dir)
			_, err := open(t, dir, Options{Sync: mode})
			var lost *wal.CorruptionError
			if !errors.As(err, &lost) || lost.File != segmentOf(dir) || lost.Offset != 304 || lost.Index != 6 {
				t.Errorf("%s, %s: the start returned %v, want that the end from record 6 on is lost", mode, name, err)
			}
		}
		dir = killed(t, dead)
		if err := os.RemoveAll(LogDir(dir)); err != nil {
			t.Fatal(err)
		}
		var gone *wal.CorruptionError
		if _, err := open(t, dir, Options{}); !errors.As(err, &gone) || gone.File != LogDir(dir) {
			t.Errorf("%s, without a log: %v", mode, err)
		}
		dir = killed(t, dead)
		if err := errors.Join(os.Remove(segmentOf(dir)), os.Remove(SnapshotPath(dir))); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir, Options{}); !errors.As(err, new(*wal.CorruptionError)) {
			t.Errorf("%s, with nothing but the mark: %v", mode, err)
		}
		dir = killed(t, dead)
		if got := get(openStore(t, dir, Options{Sync: mode}), "a").Sum; got != 10 {
			t.Errorf("%s, undamaged: %d is served", mode, got)
		}
	}
}

// TestWithoutEvidence: without a mark, or with one that is of no use, a start does what it did
// before there was one, and says so.
func TestWithoutEvidence(t *testing.T) {
	t.Parallel()
	_, dir := counted(t, Options{}, 10)
	_, other := counted(t, Options{}, 20)
	mark := func(dir string) string { return wal.MarkPath(LogDir(dir)) }
	for _, row := range []struct {
		name   string
		damage func(dir string) error
		says   string
	}{
		{"missing", func(dir string) error { return os.Remove(mark(dir)) }, "[WARN]  the mark is missing"},
		{"damaged", func(dir string) error { return os.WriteFile(mark(dir), []byte("nonsense"), 0o600) },
			"[WARN]  the mark is damaged"},
		{"another store's", func(dir string) error {
			b, err := os.ReadFile(mark(other))
			return errors.Join(err, os.WriteFile(mark(dir), b, 0o600))
		}, "[WARN]  the mark is of another store"},
		{"a directory", func(dir string) error {
			return errors.Join(os.Remove(mark(dir)), os.Mkdir(mark(dir),
				0o700))
		}, "[WARN]  the mark cannot be read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := killed(t, dir)
			if err := row.damage(dir); err != nil {
				t.Fatal(err)
			}
			edit(t, segmentOf(dir), func(b []byte) []byte { clear(b[304:544]); return b })
			var log bytes.Buffer
			s := openStore(t, dir, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log, DisableTime: true})})
			if got := get(s, "a").Sum; got != 5 {
				t.Errorf("%d is served", got)
			}
			if !strings.Contains(log.String(), row.says) {
				t.Errorf("it said %s", log.String())
			}
			for range 3 {
				if op := runOps(t, s, []core.Op{count("a", 1)})[0]; op.Err != nil {
					t.Error(op.Err)
				}
			}
			if row.name == "a directory" {
				return
			}
			again := killed(t, dir)
			edit(t, segmentOf(again), func(b []byte) []byte { clear(b[304:544]); return b })
			if _, err := open(t, again, Options{}); !errors.As(err, new(*wal.CorruptionError)) {
				t.Errorf("the new mark is no evidence: %v", err)
			}
		})
	}
}

// TestOlderGcdInBetween: a gcd that knows no mark leaves it as it is: what it says of the index
// holds, its flags do not count.
func TestOlderGcdInBetween(t *testing.T) {
	t.Parallel()
	_, dir := counted(t, Options{}, 10)
	dir = killed(t, dir)
	if notes(t, dir) != wal.MarkCurrent {
		t.Fatal("the mark is not noted")
	}
	older(t, dir, 3)
	if notes(t, dir) != wal.MarkOld {
		t.Fatal("an older gcd is not noticed")
	}
	lost := killed(t, dir)
	edit(t, segmentOf(lost), func(b []byte) []byte { clear(b[304:]); return b })
	var damage *wal.CorruptionError
	if _, err := open(t, lost, Options{}); !errors.As(err, &damage) || damage.Offset != 304 {
		t.Errorf("records that the mark has are gone: %v", err)
	}
	torn := killed(t, dir)
	edit(t, segmentOf(torn), func(b []byte) []byte {
		b[64+13*48+4000] = 1
		copy(b[64+13*48:], "torn")
		return b
	})
	s := openStore(t, torn, Options{})
	if r := s.Recovery(); r.Index != 13 || r.Torn < 4000 {
		t.Errorf("the torn tail was recovered as %+v", r)
	}
	if notes(t, torn) != wal.MarkCurrent {
		t.Error("the mark is not noted again")
	}
}

// TestMarkNote: each transaction of the store notes whose the flags of the mark are; one whose run
// has no durable mark says so.
func TestMarkNote(t *testing.T) {
	t.Parallel()
	mem := vfstest.NewMem()
	var broken atomic.Bool
	broken.Store(true)
	fault := vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
		if broken.Load() && op.Kind == vfstest.KindWrite && path.Base(op.Name) == "mark" {
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	o := Options{fs: fault, logDir: "log", SegmentSize: 64 << 10, SnapshotInterval: -1,
		hooks: snapshot.Hooks{NoSync: true}}
	dir := t.TempDir()
	s := openStore(t, dir, o)
	if notes(t, dir) != wal.MarkOld {
		t.Error("a mark that could not be written is noted")
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Snapshot(t.Context()); err != nil || notes(t, dir) != wal.MarkOld {
		t.Errorf("note %d, %v", notes(t, dir), err)
	}
	err := s.do(func() {
		broken.Store(false)
		if s.wal.TurnMark() {
			s.wal.SyncMark()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Snapshot(t.Context()); err != nil || notes(t, dir) != wal.MarkCurrent {
		t.Errorf("note %d, %v", notes(t, dir), err)
	}
	if err := s.Close(); err != nil || notes(t, dir) != wal.MarkCurrent {
		t.Errorf("closed: note %d, %v", notes(t, dir), err)
	}
}

// TestFlagsOfARunBefore: a run with --sync interval that cannot write its mark leaves records that
// nobody synced. The flags in the mark of the run before do not make damage of them.
func TestFlagsOfARunBefore(t *testing.T) {
	t.Parallel()
	mem := vfstest.NewMem()
	o := Options{fs: mem, logDir: "log", SegmentSize: 64 << 10, SnapshotInterval: -1,
		hooks: snapshot.Hooks{NoSync: true}}
	dir := t.TempDir()
	s, err := open(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Sync, o.SyncInterval = SyncInterval, time.Hour
	var hits atomic.Int64
	o.fs = vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite && path.Base(op.Name) == "mark" {
			hits.Add(1)
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	s = openStore(t, dir, o)
	for range 3 {
		runOps(t, s, []core.Op{count("a", 1)})
	}
	if hits.Load() == 0 {
		t.Fatal("nothing was injected")
	}
	left := mem.Crash(vfstest.Crash{Keep: 1})
	name := "log/0000000000000001.seg"
	b, err := left.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[64+48+45] ^= 1 // of the payload of record 2
	if err := left.WriteFile(name, b); err != nil {
		t.Fatal(err)
	}
	o.fs = left
	again := openStore(t, copySnapshot(t, dir), o)
	if r := again.Recovery(); r.Index != 1 || r.Torn != 3*48 {
		t.Errorf("the log was recovered as %+v, want one record and a torn tail of three", r)
	}
}

// TestMarkOnceASecond: the mark is made durable each second in which it moved, by a goroutine that
// the commits do not wait for.
func TestMarkOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem, hold := vfstest.NewMem(), make(chan struct{})
		var syncs atomic.Int64
		fault := vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
			if op.Kind == vfstest.KindSync && path.Base(op.Name) == "mark" {
				if syncs.Add(1) > 2 { // two are the creation's and the start's
					<-hold
				}
			}
			return vfstest.Outcome{}
		})
		o := Options{fs: fault, logDir: "log", SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: -1,
			hooks: snapshot.Hooks{NoSync: true}}
		s, err := open(t, t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		durable := func(want uint64) {
			t.Helper()
			l, err := wal.Open("log", wal.Options{FS: mem.Crash(vfstest.Crash{})})
			if err != nil || l.Mark().Index != want {
				t.Errorf("the mark on the disk says %d, %v, want %d", l.Mark().Index, err, want)
			}
		}
		tick := func() { time.Sleep(markInterval); synctest.Wait() }
		if syncs.Load() != 2 {
			t.Errorf("%d syncs of a start", syncs.Load())
		}
		tick()
		if syncs.Load() != 2 {
			t.Errorf("%d syncs though nothing moved", syncs.Load())
		}
		for range 3 {
			runOps(t, s, []core.Op{count("a", 1)})
		}
		durable(0)
		tick()
		runOps(t, s, []core.Op{count("a", 1)}) // the sync of the mark is under way, and the commit does not wait for it
		durable(0)
		tick()
		if syncs.Load() != 3 {
			t.Errorf("%d syncs, a second one before the first has returned", syncs.Load())
		}
		hold <- struct{}{}
		synctest.Wait()
		durable(4) // written while that was synced; nothing vouches for it, so it is synced again
		hold <- struct{}{}
		tick()
		if syncs.Load() != 4 {
			t.Errorf("%d syncs in the end", syncs.Load())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
