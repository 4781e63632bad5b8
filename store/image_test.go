package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"gcd/wal"
)

// imageOf is a directory with short and long topics in its snapshot and some records behind it, and the store's meta.
func imageOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := open(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"b", "", "a", "\x02", strings.Repeat("y", 1025), strings.Repeat("x", 2000), strings.Repeat("z", 1024)} {
		runOps(t, s, []Op{count(topic, 2)})
	}
	runOps(t, s, []Op{reset("b"), count("b", 9)})
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []Op{count("a", 3)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReadSnapshot: a tool sees each entry once, in the order of CompareTopics, with its state and the index of its last change.
func TestReadSnapshot(t *testing.T) {
	t.Parallel()
	dir := imageOf(t)
	var topics [][]byte
	got := map[string]Entry{}
	m, err := ReadSnapshot(SnapshotPath(dir), func(m SnapshotMeta, e Entry) error {
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
	if m.State != StateClosed || m.Witness != 9 || m.Replay != 8 || m.Count != 7 || m.Digest == [16]byte{} {
		t.Errorf("meta %+v", m)
	}
	if e := got["b"]; e.Value != (Value{Sum: 9, Epoch: 1}) || e.Last != 8 {
		t.Errorf("topic b was read as %+v", e)
	}
	if e := got["a"]; e.Value != (Value{Sum: 2}) || e.Last != 3 {
		t.Errorf("topic a was read as %+v", e)
	}
	if len(got) != 7 || len(topics) != 7 || !slices.IsSortedFunc(topics, CompareTopics) {
		t.Errorf("topics %.20q", topics)
	}
	again, err := ReadSnapshotMeta(SnapshotPath(dir))
	if err != nil || again != m {
		t.Errorf("meta alone: %+v, %v; want %+v", again, err, m)
	}
	log, err := wal.Open(LogDir(dir), wal.Options{})
	if err != nil || log.ID() != m.Store {
		t.Errorf("store %s, log %v", m.Store, err)
	}
}

// TestReadSnapshotDigest: the digest that a tool gets is the documented one, and one that does not fit the entries is refused after
// they were shown.
func TestReadSnapshotDigest(t *testing.T) {
	t.Parallel()
	dir := imageOf(t)
	f := snapshotFile{path: SnapshotPath(dir)}
	if err := f.update(func(_ *bolt.Tx, m *meta) error { m.digest.lo++; return nil }); err != nil {
		t.Fatal(err)
	}
	n := 0
	_, err := ReadSnapshot(f.path, func(SnapshotMeta, Entry) error { n++; return nil })
	var damage *wal.CorruptionError
	if !errors.As(err, &damage) || damage.File != f.path || n != 7 {
		t.Errorf("%d entries, then %v", n, err)
	}
	m, err := ReadSnapshotMeta(f.path)
	d := meta{digest: digest{hi: 0x0102030405060708, lo: 0x090a0b0c0d0e0f10}}.export().Digest
	if err != nil || m.Count != 7 || d != [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16} {
		t.Errorf("meta %+v, %v; digest %x", m, err, d)
	}
}

// TestReadSnapshotEnds: an error of the caller ends it and comes back as it is.
func TestReadSnapshotEnds(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	n := 0
	_, err := ReadSnapshot(SnapshotPath(imageOf(t)), func(SnapshotMeta, Entry) error { n++; return enough })
	if n != 1 || !errors.Is(err, enough) {
		t.Errorf("%d entries, %v", n, err)
	}
	var damage *wal.CorruptionError
	if errors.As(err, &damage) {
		t.Errorf("the caller's error became damage: %v", err)
	}
}

// TestReadSnapshotWritesNothing: a file that is read stays as it is; one that is missing or empty is not made.
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
	if _, err := ReadSnapshot(path, func(SnapshotMeta, Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed (%v)", err)
	}
	if now, err := os.Stat(path); err != nil || !now.ModTime().Equal(info.ModTime()) {
		t.Errorf("its time changed (%v)", err)
	}
	if _, err := ReadSnapshotMeta(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var damage *wal.CorruptionError
	if _, err := ReadSnapshotMeta(empty); !errors.As(err, &damage) || damage.File != empty {
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
	m, err := ReadOpenSnapshot("elsewhere", open, nil, func(SnapshotMeta, Entry) error { return nil })
	if err != nil || m.Count != 7 {
		t.Errorf("the open snapshot was read as %+v, %v, want 7 topics", m, err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("no database, and too short for one"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = ReadOpenSnapshot("elsewhere", func() (*os.File, error) { return os.Open(empty) }, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("error %v does not name it", err)
	}
}

// TestHoldSnapshot: while a tool holds the file a snapshot is put off, with an error and nothing lost; afterwards it works.
func TestHoldSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	runOps(t, s, []Op{count("a", 2)})
	release, err := HoldSnapshot(SnapshotPath(dir), time.Second)
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
	if m, err := ReadSnapshotMeta(SnapshotPath(dir)); err != nil || m.Count != 1 || m.State != StateOpen {
		t.Errorf("after the hold the snapshot is %+v, %v, want one topic, and open", m, err)
	}
}

// TestCloseWaitsForATool: a snapshot is put off for a tool that reads the file; a close is not.
func TestCloseWaitsForATool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	runOps(t, s, []Op{count("a", 2)})
	release, err := HoldSnapshot(SnapshotPath(dir), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.file.timeout = time.Nanosecond
	if err := s.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was written to a file that a tool held")
	}
	released := make(chan error)
	let := sync.OnceFunc(func() { // when the close has found the file held, or a moment before
		time.AfterFunc(10*time.Millisecond, func() { released <- release() })
	})
	s.file.source = func() (*os.File, error) {
		let()
		return os.OpenFile(s.file.path, os.O_RDWR, 0)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := within(t, "the release", released); err != nil {
		t.Error(err)
	}
	if m, err := ReadSnapshotMeta(SnapshotPath(dir)); err != nil || m.State != StateClosed {
		t.Errorf("after Close the snapshot is %+v, %v, want it closed", m, err)
	}
}

// TestChanges yields what a batch holds, and an error where it is cut off.
func TestChanges(t *testing.T) {
	t.Parallel()
	var payload []byte
	want := []Change{{Topic: []byte("a"), Sum: 7, N: 3}, {Topic: []byte(""), Epoch: 3, Sum: 1<<64 - 1}, {Topic: []byte("b"), Epoch: 9, Sum: 1<<64 - 2, N: 1}}
	for _, c := range want {
		payload = (&change{topic: c.Topic, epoch: c.Epoch, sum: c.Sum, n: c.N}).append(payload)
	}
	var got []Change
	for c, err := range Changes(payload) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, c := range []struct {
		change        Change
		before, after Value
	}{{want[0], Value{Sum: 7}, Value{Sum: 10}}, {want[1], Value{Sum: 1<<64 - 1, Epoch: 3}, Value{Epoch: 4}}} {
		if c.change.Before() != c.before || c.change.After() != c.after {
			t.Errorf("%v goes from %v to %v", c.change, c.change.Before(), c.change.After())
		}
		for _, step := range []struct {
			at, after     Value
			held, follows bool
		}{
			{c.before, c.after, false, true},
			{c.after, c.after, true, true},
			{Value{Epoch: 5}, Value{Epoch: 5}, true, true},
			{Value{}, c.after, false, false},
		} {
			if after, held, follows := c.change.Step(step.at); after != step.after || held != step.held || follows != step.follows {
				t.Errorf("%v makes %v of %v: held %t, follows %t", c.change, after, step.at, held, follows)
			}
		}
	}
	for range Changes(payload) {
		break
	}
	for n := range len(payload) {
		var last error
		for _, err := range Changes(payload[:n]) {
			last = err
		}
		if whole := n == 5 || n == 5+12; (last == nil) != whole {
			t.Errorf("the first %d of %d bytes: %v", n, len(payload), last)
		}
	}
}

// TestCompareTopics compares as the keys of the snapshot do.
func TestCompareTopics(t *testing.T) {
	t.Parallel()
	topics := []string{"", "\x00", "\x01", "a", "a\x00", "aa", "b", "\xff", strings.Repeat("\xff", 1024), strings.Repeat("a", 1025), strings.Repeat("b", 1025), strings.Repeat("c", 65535)}
	for _, a := range topics {
		for _, b := range topics {
			x, y := item{topic: []byte(a)}, item{topic: []byte(b)}
			if got, want := CompareTopics(x.topic, y.topic), bytes.Compare(x.key(nil), y.key(nil)); got != want {
				t.Errorf("%.8q (%d), %.8q (%d): %d, want %d", a, len(a), b, len(b), got, want)
			}
		}
	}
}
