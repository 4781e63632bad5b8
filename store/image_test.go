package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// imageOf is a directory with short and long topics in its snapshot and some records after it, and
// the store's meta.
func imageOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := open(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"b", "", "a", "\x02", strings.Repeat("y", 1025), strings.Repeat("x", 2000),
		strings.Repeat("z", 1024)} {
		runOps(t, s, []core.Op{count(topic, 2)})
	}
	runOps(t, s, []core.Op{reset("b"), count("b", 9)})
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 3)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReadSnapshot: a tool sees each entry once, in the order of core.CompareTopics, with its state
// and the index of its last change.
func TestReadSnapshot(t *testing.T) {
	t.Parallel()
	dir := imageOf(t)
	var topics [][]byte
	got := map[string]snapshot.Entry{}
	m, err := snapshot.At(SnapshotPath(dir)).Read(func(m snapshot.Meta, e snapshot.Entry) error {
		if m.Count != 7 || m.Replay != 8 {
			t.Errorf("meta %+v beside an entry", m)
		}
		topics = append(topics, bytes.Clone(e.Topic))
		got[string(e.Topic)] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.State != snapshot.StateClosed || m.DurableAtLeast != 9 || m.Replay != 8 || m.Count != 7 ||
		m.Digest == [16]byte{} {
		t.Errorf("meta %+v", m)
	}
	if e := got["b"]; e.Value != (core.Value{Sum: 9, Epoch: 1}) || e.Last != 8 {
		t.Errorf("topic b was read as %+v", e)
	}
	if e := got["a"]; e.Value != (core.Value{Sum: 2}) || e.Last != 3 {
		t.Errorf("topic a was read as %+v", e)
	}
	if len(got) != 7 || len(topics) != 7 || !slices.IsSortedFunc(topics, core.CompareTopics) {
		t.Errorf("topics %.20q", topics)
	}
	again, err := snapshot.At(SnapshotPath(dir)).Meta()
	if err != nil || again != m {
		t.Errorf("meta alone: %+v, %v; want %+v", again, err, m)
	}
	log, err := wal.Open(LogDir(dir), wal.Options{})
	if err != nil || log.ID() != m.Store {
		t.Errorf("store %s, log %v", m.Store, err)
	}
}

// TestReadSnapshotDigest: a digest that does not fit the entries is refused after
// they were shown.
func TestReadSnapshotDigest(t *testing.T) {
	t.Parallel()
	dir := imageOf(t)
	f := snapshot.At(SnapshotPath(dir))
	if err := f.Update(func(m *snapshot.Meta) { m.Digest[15]++ }); err != nil {
		t.Fatal(err)
	}
	n := 0
	_, err := f.Read(func(snapshot.Meta, snapshot.Entry) error { n++; return nil })
	var damage *wal.CorruptionError
	if !errors.As(err, &damage) || damage.File != f.Path || n != 7 {
		t.Errorf("%d entries, then %v", n, err)
	}
	if m, err := f.Meta(); err != nil || m.Count != 7 {
		t.Errorf("meta %+v, %v", m, err)
	}
}

// TestReadSnapshotEnds: an error of the caller ends it and comes back as it is.
func TestReadSnapshotEnds(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	n := 0
	_, err := snapshot.At(SnapshotPath(imageOf(t))).Read(func(snapshot.Meta, snapshot.Entry) error {
		n++
		return enough
	})
	if n != 1 || !errors.Is(err, enough) {
		t.Errorf("%d entries, %v", n, err)
	}
	var damage *wal.CorruptionError
	if errors.As(err, &damage) {
		t.Errorf("the caller's error became damage: %v", err)
	}
}

// TestReadSnapshotWritesNothing: a file that is read stays as it is; one that is missing or empty
// is not made.
func TestReadSnapshotWritesNothing(t *testing.T) {
	t.Parallel()
	path := SnapshotPath(imageOf(t))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.At(path).Read(func(snapshot.Meta, snapshot.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed (%v)", err)
	}
	if now, err := os.Stat(path); err != nil || !now.ModTime().Equal(info.ModTime()) {
		t.Errorf("its time changed (%v)", err)
	}
	if _, err := snapshot.At(filepath.Join(t.TempDir(), "none")).Meta(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var damage *wal.CorruptionError
	if _, err := snapshot.At(empty).Meta(); !errors.As(err, &damage) || damage.File != empty {
		t.Errorf("an empty file: %v", err)
	}
	if info, err := os.Stat(empty); err != nil || info.Size() != 0 {
		t.Errorf("the empty file became %v, %v", info, err)
	}
}

// TestReadOpenSnapshot reads a file without a name, and says the name that it was told.
func TestReadOpenSnapshot(t *testing.T) {
	t.Parallel()
	path := SnapshotPath(imageOf(t))
	open := func() (*os.File, error) { return os.Open(path) }
	m, err := (&snapshot.File{Path: "elsewhere", Open: open}).Read(func(snapshot.Meta,
		snapshot.Entry) error {
		return nil
	})
	if err != nil || m.Count != 7 {
		t.Errorf("the open snapshot was read as %+v, %v, want 7 topics", m, err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("no database, and too short for one"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = (&snapshot.File{Path: "elsewhere", Open: func() (*os.File, error) { return os.Open(empty) }}).Read(nil)
	if err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("error %v does not name it", err)
	}
}

// TestHoldSnapshot: while a tool holds the file a snapshot is put off, with an error and nothing
// lost; afterwards it works.
func TestHoldSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	runOps(t, s, []core.Op{count("a", 2)})
	release, err := (&snapshot.File{Path: SnapshotPath(dir), Wait: time.Second}).Hold()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was written to a file that a tool held")
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err := snapshot.At(SnapshotPath(dir)).Meta(); err != nil || m.Count != 1 || m.State != snapshot.StateOpen {
		t.Errorf("after the hold the snapshot is %+v, %v, want one topic, and open", m, err)
	}
}

// TestCloseWaitsForATool: a snapshot is put off for a tool that reads the file; a close is not.
func TestCloseWaitsForATool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	runOps(t, s, []core.Op{count("a", 2)})
	release, err := (&snapshot.File{Path: SnapshotPath(dir), Wait: time.Second}).Hold()
	if err != nil {
		t.Fatal(err)
	}
	s.file.Wait = time.Nanosecond
	if err := s.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was written to a file that a tool held")
	}
	released := make(chan error)
	let := sync.OnceFunc(func() { // when the close has found the file held, or a moment before
		time.AfterFunc(10*time.Millisecond, func() { released <- release() })
	})
	s.file.Open = func() (*os.File, error) {
		let()
		return os.OpenFile(s.file.Path, os.O_RDWR, 0)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := within(t, "the release", released); err != nil {
		t.Error(err)
	}
	if m, err := snapshot.At(SnapshotPath(dir)).Meta(); err != nil || m.State != snapshot.StateClosed {
		t.Errorf("after Close the snapshot is %+v, %v, want it closed", m, err)
	}
}
