package tools

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// counted submits ops to a store, each in a record of its own.
func counted(t testing.TB, s *store.Store, ops ...core.Op) {
	t.Helper()
	for _, op := range ops {
		ops := []core.Op{op}
		submit(t, s, ops...)
		if err := ops[0].Err; err != nil {
			t.Fatal(err)
		}
	}
}

// closedStore makes a cleanly closed directory: several segments, a snapshot, records before and
// after it.
func closedStore(t testing.TB, r *rand.Rand, before, after int) string {
	t.Helper()
	return closedStoreOf(t, r, before, after, true)
}

func closedStoreOf(t testing.TB, r *rand.Rand, before, after int, long bool) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 8192, SnapshotInterval: -1, SnapshotBytes: -1,
		Retain: store.Retain{Age: 1 << 60, Bytes: 1 << 40}})
	if err != nil {
		t.Fatal(err)
	}
	ops := func(n int) {
		for range n {
			op := core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic %d", r.IntN(30)), N: 1 + r.Uint64N(1000)}
			switch r.IntN(12) {
			case 0:
				op.Kind, op.N = core.Reset, 0
			case 1:
				if long {
					op.Topic = []byte(strings.Repeat("l", 1030+r.IntN(3)))
				}
			}
			counted(t, s, op)
		}
	}
	ops(before)
	if err := s.Snapshot(inTime(t)); err != nil {
		t.Fatal(err)
	}
	ops(after)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(store.LogDir(dir), "spare")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return dir
}

// servedSums are what a copy of the directory serves, and nil if a start refuses.
func servedSums(t testing.TB, dir string) map[string]core.Value {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(copied, store.Options{SegmentSize: 8192, SnapshotInterval: -1})
	if err != nil {
		return nil
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return folded(t, copied)
}

// folded is what a directory's snapshot and log lead to.
func folded(t testing.TB, dir string) map[string]core.Value {
	t.Helper()
	all := map[string]core.Value{}
	m, err := snapshot.At(store.SnapshotPath(dir)).Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		all[string(e.Topic)] = e.Value
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(store.LogDir(dir), wal.Options{Covered: m.Replay})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range log.Records(m.Replay + 1) {
		if err != nil {
			t.Fatal(err)
		}
		for c, err := range core.Changes(r.Type, r.Payload) {
			if err != nil {
				t.Fatal(err)
			}
			all[string(c.Topic)], _, _ = c.Step(all[string(c.Topic)])
		}
	}
	return all
}

func verified(t testing.TB, dir string, o VerifyOptions) *Verified {
	t.Helper()
	v, err := Verify(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// TestVerifyTakesWhatIsWhole: of directories that nothing happened to nothing is said, also where
// the topics do not fit into memory, and no file changes.
func TestVerifyTakesWhatIsWhole(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 500, 200)
	for _, memory := range []int{0, 1, 3000} {
		before := contents(t, dir)
		v := verified(t, dir, VerifyOptions{memory: memory})
		if err := v.Err(); err != nil || !v.Starts || v.State != "closed cleanly" || v.Last != 700 ||
			v.Changes != 700 || v.First != 1 {
			t.Errorf("the whole store was found as %+v, %v", v, err)
		}
		if !maps.Equal(before, contents(t, dir)) {
			t.Error("files changed")
		}
	}
	for _, dir := range []string{filepath.Join("..", "store", "testdata", "v1")} {
		if v := verified(t, dir, VerifyOptions{}); v.Err() != nil || v.Last != 52 || v.Topics != 8 ||
			v.Files[0].Entries != 7 {
			t.Errorf("%s: the golden directory was found as %+v, %v", dir, v, v.Err())
		}
	}
}

// contents are the files of a directory, with their times.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = info.ModTime().String() + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestVerifyComparesSums puts a snapshot in the place of the right one that is whole in itself, and
// wrong in one entry.
func TestVerifyComparesSums(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	dir := closedStore(t, r, 400, 0)
	path := store.SnapshotPath(dir)
	var all []snapshot.Entry
	m, err := snapshot.At(path).Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		e.Topic = bytes.Clone(e.Topic)
		all = append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	build := func(index uint64, entries []snapshot.Entry) {
		t.Helper()
		buildEntries(t, path, m.Store, index, entries)
	}
	build(m.DurableAtLeast, all)
	if v := verified(t, dir, VerifyOptions{}); v.Err() != nil {
		t.Fatal(v.Err())
	}
	changes := map[string]func(e []snapshot.Entry) []snapshot.Entry{
		"lower sum":      func(e []snapshot.Entry) []snapshot.Entry { e[3].Sum--; return e },
		"higher sum":     func(e []snapshot.Entry) []snapshot.Entry { e[3].Sum++; return e },
		"other epoch":    func(e []snapshot.Entry) []snapshot.Entry { e[3].Epoch++; return e },
		"earlier record": func(e []snapshot.Entry) []snapshot.Entry { e[3].Last--; return e },
		"later record":   func(e []snapshot.Entry) []snapshot.Entry { e[3].Last += 1000; return e },
		"before the log": func(e []snapshot.Entry) []snapshot.Entry { e[3].Last = 0; return e },
		"missing topic":  func(e []snapshot.Entry) []snapshot.Entry { return append(e[:3], e[4:]...) },
		"missing last":   func(e []snapshot.Entry) []snapshot.Entry { return e[:len(e)-1] },
		"a topic too many": func(e []snapshot.Entry) []snapshot.Entry {
			return append([]snapshot.Entry{{Value: core.Value{Sum: 1}, Last: 3}}, e...)
		},
	}
	for name, change := range changes {
		build(m.DurableAtLeast, change(append([]snapshot.Entry(nil), all...)))
		for _, memory := range []int{0, 1} {
			v := verified(t, dir, VerifyOptions{memory: memory})
			var damage *wal.CorruptionError
			if !errors.As(v.Err(), &damage) || damage.File != store.SnapshotPath(dir) || v.Files[0].Damages != 1 ||
				v.Harmless {
				t.Errorf("%s: the snapshot was found as %+v, want one damage that is not harmless", name, v.Files[0])
			}
			if starts := servedSums(t, dir) != nil; v.Starts != starts {
				t.Errorf("%s: it starts: %t, verify says %t", name, starts, v.Starts)
			}
		}
	}
	// The same where the entries are newer than what the snapshot is said to be whole up to.
	build(m.DurableAtLeast, changes["lower sum"](append([]snapshot.Entry(nil), all...)))
	setReplay(t, dir, 1)
	for _, memory := range []int{0, 1} {
		if v := verified(t, dir, VerifyOptions{memory: memory}); v.Err() == nil {
			t.Errorf("newer entry with a lower sum: %+v", v)
		}
	}
	build(m.DurableAtLeast-1, all) // the log goes on after what is said to be its end
	if v := verified(t, dir, VerifyOptions{}); v.Err() == nil {
		t.Error("not noticed that the log goes on after a clean end")
	}
}

// TestVerifyNewerEntries: entries that are newer than replay are compared with the records that
// they name.
func TestVerifyNewerEntries(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 300, 100)
	for _, replay := range []uint64{0, 1, 150, 299} { // entries are of record 300 then, all the same
		setReplay(t, dir, replay)
		for _, memory := range []int{0, 1} {
			if v := verified(t, dir, VerifyOptions{memory: memory}); v.Err() != nil {
				t.Errorf("replay %d: %v", replay, v.Err())
			}
		}
	}
	setReplay(t, dir, 301) // record 301 is said to be in the snapshot, and is not
	if v := verified(t, dir, VerifyOptions{}); v.Err() == nil {
		t.Error("not noticed that a record is missing in the snapshot")
	}
}

func TestVerifyWithoutAStore(t *testing.T) {
	t.Parallel()
	if _, err := Verify(t.Context(), t.TempDir(), VerifyOptions{}); !errors.Is(err, store.ErrNoStore) {
		t.Error(err)
	}
	if _, err := Verify(t.Context(), filepath.Join(t.TempDir(), "none"), VerifyOptions{}); !errors.Is(err,
		os.ErrNotExist) {
		t.Error(err)
	}
	dir := closedStore(t, seeded(t), 30, 0)
	if err := os.Remove(store.SnapshotPath(dir)); err != nil {
		t.Fatal(err)
	}
	if v := verified(t, dir, VerifyOptions{}); v.Err() != nil || !v.Starts || len(v.Unproven) == 0 {
		t.Errorf("without a snapshot it was found as %+v, want that it starts, and that something is unproven", v)
	}
	if err := os.RemoveAll(store.LogDir(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), dir, VerifyOptions{}); !errors.Is(err, store.ErrNoStore) {
		t.Error(err)
	}
	dir = closedStore(t, seeded(t), 30, 0)
	if err := os.RemoveAll(store.LogDir(dir)); err != nil {
		t.Fatal(err)
	}
	if v := verified(t, dir, VerifyOptions{}); v.Err() == nil || v.Starts {
		t.Errorf("without a log it was found as %+v, want that it does not start", v)
	}
}

// setReplay writes another replay index into a snapshot.
func setReplay(t testing.TB, dir string, replay uint64) {
	t.Helper()
	setMeta(t, dir, "replay", binary.LittleEndian.AppendUint64(nil, replay))
}

// setMeta writes another value into what a snapshot says of itself.
func setMeta(t testing.TB, dir, key string, value []byte) {
	t.Helper()
	db, err := bolt.Open(store.SnapshotPath(dir), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte(key), value) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// handmade makes a directory of entries up to an index and records after it, whether they fit each
// other or not.
func handmade(t testing.TB, index uint64, entries []snapshot.Entry, changes ...core.Change) string {
	t.Helper()
	dir := t.TempDir()
	id := wal.ID{1}
	b, err := snapshot.NewBuilder(vfs.OS{}, store.SnapshotPath(dir), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(index + uint64(len(changes))); err != nil {
		t.Fatal(err)
	}
	setReplay(t, dir, index)
	o := wal.Options{SegmentSize: 8192}
	if err := wal.Create(store.LogDir(dir), id, index+1, o); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(store.LogDir(dir), o)
	if err == nil {
		err = log.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		head := uint64(len(c.Topic)) * 2
		if c.N == 0 {
			head++
		}
		p := append(binary.AppendUvarint(nil, head), c.Topic...)
		p = binary.AppendUvarint(binary.AppendUvarint(p, c.Epoch), c.Sum)
		if c.N > 0 {
			p = binary.AppendUvarint(p, c.N)
		}
		if _, err := log.Append(1, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(log.Sync(), log.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestVerifyFollowsChanges: records whose checksums are all right, and that do not follow from one
// another or from the snapshot.
func TestVerifyFollowsChanges(t *testing.T) {
	t.Parallel()
	count := func(topic string, epoch, sum, n uint64) core.Change {
		return core.Change{Topic: []byte(topic), Epoch: epoch, Sum: sum, N: n}
	}
	entry := func(topic string, sum, last uint64) snapshot.Entry {
		return snapshot.Entry{Topic: []byte(topic), Value: core.Value{Sum: sum}, Last: last}
	}
	rows := []struct {
		name    string
		replay  uint64 // 0: as handmade
		entries []snapshot.Entry
		changes []core.Change
		file    string // of the damage; empty: none
	}{
		{"right", 0, []snapshot.Entry{entry("a", 4, 9)},
			[]core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1), count("a", 0, 6, 0), count("a", 1, 0, 3)}, ""},
		{"a gap", 0, []snapshot.Entry{entry("a", 4, 9)},
			[]core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1), count("a", 0, 7, 1)}, "wal/0000000000000001.seg"},
		{"twice", 0, []snapshot.Entry{entry("a", 4, 9)},
			[]core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1), count("a", 0, 4, 2)}, "wal/0000000000000001.seg"},
		{"other epoch", 0, []snapshot.Entry{entry("a", 4, 9)},
			[]core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1), count("a", 1, 6, 2)}, "wal/0000000000000001.seg"},
		{"a new topic above 0", 0, []snapshot.Entry{entry("a", 4, 9)}, []core.Change{count("b", 0, 3, 2)},
			"wal/0000000000000001.seg"},
		{"a new last topic above 0", 0, nil, []core.Change{count("b", 0, 3, 2)}, "wal/0000000000000001.seg"},
		{"not from the entry", 0, []snapshot.Entry{entry("a", 4, 9)}, []core.Change{count("a", 0, 5, 2)},
			"counters.db"},
		{"said to be in the entry", 11, []snapshot.Entry{entry("a", 4, 9)}, []core.Change{count("a", 0, 4, 2)},
			"counters.db"},
		{"in the entry", 11, []snapshot.Entry{entry("a", 6, 11)}, []core.Change{count("a", 0, 4, 2)}, ""},
	}
	for _, row := range rows {
		dir := handmade(t, 10, row.entries, row.changes...)
		if row.replay > 0 {
			setReplay(t, dir, row.replay)
		}
		for _, memory := range []int{0, 1} {
			v := verified(t, dir, VerifyOptions{memory: memory})
			damaged := ""
			for _, f := range v.Files {
				if f.Damages > 0 {
					damaged += f.Name
				}
			}
			if starts := servedSums(t, dir) != nil; v.Starts != starts || v.Harmless {
				t.Errorf("%s: it starts: %t, verify says %t, and harmless %t", row.name, starts, v.Starts, v.Harmless)
			}
			if damaged != row.file {
				t.Errorf("%s, memory %d: damage in %q, want %q: %v", row.name, memory, damaged, row.file, v.Err())
			}
		}
	}
}

// TestVerifyKnowsTheBeginning: where the log has every record, no entry can be older than it.
func TestVerifyKnowsTheBeginning(t *testing.T) {
	t.Parallel()
	old := []snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 1}}}
	if v := verified(t, handmade(t, 0, old), VerifyOptions{}); v.Err() == nil {
		t.Error("an entry of no record is sound")
	}
	if v := verified(t, handmade(t, 10, old), VerifyOptions{}); v.Err() != nil {
		t.Error(v.Err())
	}
}
