package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestCountOfCapturedTopic: a topic that is counted again after it was copied, while neighbours of
// it still wait, is due for the next snapshot.
func TestCountOfCapturedTopic(t *testing.T) {
	t.Parallel()
	const topics = snapshot.TransactionEntries + 2000
	name := func(i int) string { return fmt.Sprintf("%06d", topics-i) } // keys come in the other order than ids
	first, last := name(topics-1), name(0)
	var s *Store
	inSnapshot := false
	s = openStore(t, t.TempDir(),
		Options{SegmentSize: 1 << 20, SnapshotInterval: -1, hooks: snapshot.Hooks{NoSync: true, BeforeCommit: func() {
			if inSnapshot {
				inSnapshot = false
				var again []core.Op
				for i := range 2 * snapshot.TransactionEntries / 10 { // captured: the first in the order of keys
					again = append(again, count(name(topics-1-5*i), 1))
				}
				runOps(t, s, append(again, count(last, 1))) // the last is not captured yet: this snapshot has it
			}
		}}})
	var ops []core.Op
	for i := range topics {
		ops = append(ops, count(name(i), 1))
	}
	runOps(t, s, ops)
	inSnapshot = true
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().SnapshotEntries
	if before != topics {
		t.Errorf("%d entries in the first snapshot, want %d", before, topics)
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().SnapshotEntries - before; got != 2*snapshot.TransactionEntries/10 {
		t.Errorf("%d entries in the second snapshot, want %d", got, 2*snapshot.TransactionEntries/10)
	}
	_, err := s.file.Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		if topic := string(e.Topic); (topic == first || topic == last) && e.Value.Sum != 2 {
			t.Errorf("%s is at %d in the snapshot, want 2", topic, e.Value.Sum)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReadBack: an entry that is on the disk otherwise than it was written keeps the replay index
// and every segment where they are.
func TestReadBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, snapshot.FileName)
	armed, injected := false, false
	s, err := open(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1, hooks: snapshot.Hooks{AfterCommit: func() {
		if !armed {
			return
		}
		armed = false
		edit(t, path, func(b []byte) []byte {
			at := bytes.LastIndex(b, []byte("\x01needle"))
			injected = at >= 0
			b[at+len("\x01needle")+1] ^= 1 // its sum
			return b
		})
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		runOps(t, s, []core.Op{count("needle", 2), count(strings.Repeat("x", 900), 1), count(fmt.Sprint(i), 1)})
	}
	segments := s.Stats().Segments
	armed = true
	spoiled(s)
	if err := s.Snapshot(t.Context()); err == nil || !injected {
		t.Errorf("the snapshot was taken for good: %v (changed: %v)", err, injected)
	}
	if st := s.Stats(); st.SnapshotIndex != 0 || st.Segments != segments {
		t.Errorf("replay index %d, %d segments of %d", st.SnapshotIndex, st.Segments, segments)
	}
	_ = s.Close()
}

// TestCheckBeforeFirstSnapshot: a file that reads well, but in which a page that is in use counts
// as free, would be destroyed by the next transaction. Nothing is written into it.
func TestCheckBeforeFirstSnapshot(t *testing.T) {
	t.Parallel()
	dir, want := liveDir(t, true)
	path := filepath.Join(dir, snapshot.FileName)
	s, err := open(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	freeRoot(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was written into a file that it would destroy")
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if got := get(s, "a").Sum; got != want["a"].Sum+1 {
		t.Errorf("a is at %d", got)
	}
	_ = s.Close()
}

// TestSnapshotAfterAFault: a file whose first page cannot be read fails one snapshot, at each
// of the times that it is opened for one, and the next one is taken.
func TestSnapshotAfterAFault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, snapshot.FileName)
	armed, failures := 0, 0 // armed: which opening from now on comes to a fault; below 1: none
	var intact []byte
	s := openStore(t, dir, Options{SnapshotInterval: -1, hooks: snapshot.Hooks{Opened: func(*bolt.DB) {
		if armed--; armed != 0 {
			return
		}
		var err error
		if intact, err = os.ReadFile(path); err == nil {
			err = os.Truncate(path, 0)
		}
		if err != nil {
			t.Error(err)
		}
	}}})
	for n := 1; ; n++ {
		runOps(t, s, []core.Op{count("a", 1)})
		armed, intact = n, nil
		done := make(chan error, 1)
		go func() { done <- s.Snapshot(t.Context()) }()
		err := within(t, "a snapshot", done)
		if armed = 0; intact == nil {
			if err != nil {
				t.Errorf("nothing faulted: %v", err)
			}
			break
		}
		failures++
		if err == nil || errors.As(err, new(*wal.CorruptionError)) || !strings.Contains(err.Error(), path) {
			t.Errorf("opening %d: %v, want an error of the system about %s", n, err, path)
		}
		if err := os.WriteFile(path, intact, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Snapshot(t.Context()); err != nil {
			t.Errorf("after a fault at opening %d: %v", n, err)
		}
	}
	if failures < 3 {
		t.Errorf("only %d openings", failures)
	}
}

// freeRoot adds the page of the topmost bucket to bbolt's list of free pages. The offsets are those
// of bbolt's file format: a page begins with id (8 bytes), flags (2), count (2) and overflow (4); a
// meta page goes on with magic, version, page size and flags (4 each), root page and sequence (8
// each), freelist page, end, transaction and checksum (8 each).
func freeRoot(t *testing.T, path string) {
	t.Helper()
	le := binary.LittleEndian
	edit(t, path, func(b []byte) []byte {
		size := int(le.Uint32(b[16+8:]))
		meta := b[16:]
		if other := b[size+16:]; le.Uint64(other[48:]) > le.Uint64(meta[48:]) {
			meta = other
		}
		root := le.Uint64(meta[16:])
		list := b[int(le.Uint64(meta[32:]))*size:]
		n := le.Uint16(list[10:])
		ids := []uint64{root}
		for i := range int(n) {
			ids = append(ids, le.Uint64(list[16+8*i:]))
		}
		for i := 0; i+1 < len(ids) && ids[i] > ids[i+1]; i++ {
			ids[i], ids[i+1] = ids[i+1], ids[i]
		}
		le.PutUint16(list[10:], n+1)
		for i, id := range ids {
			le.PutUint64(list[16+8*i:], id)
		}
		return b
	})
}
