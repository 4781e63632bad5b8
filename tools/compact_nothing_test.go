package tools

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestCompactHasSomethingToDo: a directory that was compacted has nothing to do, and each small
// thing that a start would have, or that takes room, is something.
func TestCompactHasSomethingToDo(t *testing.T) {
	t.Parallel()
	compacted := closedStore(t, seeded(t), 200, 20)
	if _, err := Compact(t.Context(), compacted, CompactOptions{KeepLog: true}); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(store.LogDir(compacted), "*.seg"))
	if err != nil || len(names) < 3 {
		t.Fatalf("the compacted store has the segments %q, %v, want three at least", names, err)
	}
	older := names[len(names)-2]
	for _, name := range names[:len(names)-2] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		change func(dir string) error
		log    bool // leave two segments
	}{
		{"nothing", func(string) error { return nil }, false},
		{"a segment", func(string) error { return nil }, true},
		{"a record", func(dir string) error {
			s := openDir(t, dir, smallSegment)
			counted(t, s, core.Op{Kind: core.Count, Topic: []byte("topic 1")})
			if err := s.Close(); err != nil {
				return err
			}
			return os.RemoveAll(filepath.Join(store.LogDir(dir), "spare"))
		}, false},
		{"a torn tail", func(dir string) error {
			log, err := wal.Open(store.LogDir(dir), wal.Options{})
			if err != nil {
				return err
			}
			flip(t, lastSegment(t, dir), log.Tail().Offset+20)
			return log.Close()
		}, false},
		{"not closed", func(dir string) error {
			setMeta(t, dir, "state",
				[]byte{byte(snapshot.StateOpen)})
			return nil
		}, false},
		{"a spare", func(dir string) error {
			return os.WriteFile(filepath.Join(store.LogDir(dir), "spare"), nil,
				0o600)
		}, false},
		{"room in the snapshot", func(dir string) error { return os.Truncate(store.SnapshotPath(dir), 1<<20) }, false},
	} {
		dir := copyTree(t, compacted)
		if !test.log {
			if err := os.Remove(filepath.Join(store.LogDir(dir), filepath.Base(older))); err != nil {
				t.Fatal(err)
			}
		}
		if err := test.change(dir); err != nil {
			t.Fatal(err)
		}
		want := servedSums(t, dir)
		c, err := Compact(t.Context(), dir, CompactOptions{})
		if err != nil || c.Nothing != (test.name == "nothing") {
			t.Errorf("%s: compact returned %+v, %v, wrong about whether there is work", test.name, c, err)
		}
		if again, err := Compact(t.Context(), dir, CompactOptions{}); err != nil || !again.Nothing {
			t.Errorf("%s, again: %+v, %v", test.name, again, err)
		}
		if m, _ := readEntries(t, dir); segmentsIn(t, dir) != 1 || m.State != snapshot.StateClosed {
			t.Errorf("%s: %d segments, %+v", test.name, segmentsIn(t, dir), m)
		}
		if got := servedSums(t, dir); got == nil || !equalValues(got, want) {
			t.Errorf("%s: it starts with other counters", test.name)
		}
	}
}

// TestCompactReadsBack changes the new snapshot before it is put into its place.
func TestCompactReadsBack(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 100, 20)
	want := servedSums(t, dir)
	o := CompactOptions{step: func(step string) error {
		if step == "built" { // another state, right in itself
			path := store.SnapshotPath(dir) + ".new"
			m, entries := readSnapshot(t, path)
			entries[len(entries)/2].Sum++
			buildEntries(t, path, m.Store, m.Replay, entries)
		}
		return nil
	}}
	if _, err := Compact(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "does not read back") {
		t.Errorf("what was spoiled is taken: %v", err)
	}
	onlyNames(t, dir, "LOCK", "counters.db", "wal")
	if got := servedSums(t, dir); !equalValues(got, want) {
		t.Error("it starts with other counters")
	}
}
