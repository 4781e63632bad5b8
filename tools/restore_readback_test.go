package tools

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestRestoreReadsBack changes what was built before it gets its place.
func TestRestoreReadsBack(t *testing.T) {
	t.Parallel()
	entries := []snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 1}, Last: 1},
		{Topic: []byte("b"), Value: core.Value{Sum: 2}, Last: 2}}
	dump := writeDump(t, "ndjson", testHeader(), entries)
	// Another state, right in itself.
	other := func(change func(e *snapshot.Entry)) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			entries := slices.Clone(entries)
			change(&entries[1])
			m, err := snapshot.At(path).Meta()
			if err != nil {
				t.Fatal(err)
			}
			buildEntries(t, path, m.Store, testHeader().Index, entries)
		}
	}
	meta := func(key string, value []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { setMeta(t, filepath.Dir(path), key, value) }
	}
	index := func(i uint64) []byte { return binary.LittleEndian.AppendUint64(nil, i) }
	for i, spoil := range []func(t *testing.T, path string){
		other(func(e *snapshot.Entry) { e.Sum++ }),
		other(func(e *snapshot.Entry) { e.Epoch++ }),
		other(func(e *snapshot.Entry) { e.Last-- }),
		other(func(e *snapshot.Entry) { e.Topic = []byte("c") }),
		meta("state", []byte{byte(snapshot.StateOpen)}),
		meta("store", make([]byte, 16)),
		meta("replay", index(testHeader().Index-1)),
		meta("witness", index(testHeader().Index+1)),
		func(t *testing.T, path string) { // a byte that was written wrong
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.LastIndex(b, []byte("\x01b"))
			b[at+1] = 'c'
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		func(t *testing.T, path string) {
			if err := os.Truncate(path, 4096); err != nil {
				t.Fatal(err)
			}
		},
	} {
		parent := t.TempDir()
		o := RestoreOptions{SegmentSize: testSegment}
		o.step = func(step string) error {
			if step == "snapshot" {
				built, _ := filepath.Glob(filepath.Join(parent, "data.restore-*", "counters.db"))
				spoil(t, built[0])
			}
			return nil
		}
		if _, err := Restore(t.Context(), dump, filepath.Join(parent, "data"), o); err == nil ||
			!strings.Contains(err.Error(), "does not read back") {
			t.Errorf("what was spoiled is taken, %d: %v", i, err)
		}
		onlyNames(t, parent)
	}
}

// buildEntries puts a snapshot into the place of one.
func buildEntries(t testing.TB, path string, id wal.ID, index uint64, entries []snapshot.Entry) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	b, err := snapshot.NewBuilder(vfs.OS{}, path, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(index); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreChangedFile changes the dump between the two readings, for another whole dump.
func TestRestoreChangedFile(t *testing.T) {
	t.Parallel()
	entry := snapshot.Entry{Topic: []byte("a"), Value: core.Value{Sum: 1}, Last: 1}
	dump := writeDump(t, "ndjson", testHeader(), []snapshot.Entry{entry})
	entry.Sum = 2
	parent := t.TempDir()
	o := RestoreOptions{SegmentSize: testSegment}
	o.step = func(step string) error {
		if step != "begun" {
			return nil
		}
		return os.WriteFile(dump, encodeDump("ndjson", testHeader(), []snapshot.Entry{entry}, false), 0o600)
	}
	if _, err := Restore(t.Context(), dump, filepath.Join(parent, "data"), o); err == nil ||
		!strings.Contains(err.Error(), "changed while") {
		t.Error(err)
	}
	onlyNames(t, parent)
}
