package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// Sizes of segments, in bytes.
const (
	testSegment  = 256 << 10 // the longest topics fit into a record
	smallSegment = 8 << 10   // for what is copied and started many times
)

// writeDump writes a dump of entries into a file of its own.
func writeDump(t testing.TB, format string, h DumpHeader, entries []snapshot.Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump."+format)
	if err := os.WriteFile(path, encodeDump(format, h, entries, false), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readEntries reads the snapshot of a stopped store.
func readEntries(t testing.TB, dir string) (snapshot.Meta, []snapshot.Entry) {
	t.Helper()
	return readSnapshot(t, store.SnapshotPath(dir))
}

func readSnapshot(t testing.TB, path string) (m snapshot.Meta, entries []snapshot.Entry) {
	t.Helper()
	m, err := snapshot.At(path).Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		e.Topic = bytes.Clone(e.Topic)
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, entries
}

func openDir(t testing.TB, dir string, segment int64) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{SegmentSize: segment, SnapshotInterval: -1, SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sums starts a store in a directory, returns its counters, and counts on in it: the start is one
// of a whole store.
func sums(t testing.TB, dir string) map[string]core.Value {
	t.Helper()
	return sumsOf(t, openDir(t, dir, testSegment))
}

// sumsOf is sums of a store that was started, and closes it.
func sumsOf(t testing.TB, s *store.Store) map[string]core.Value {
	t.Helper()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	all := map[string]core.Value{}
	for cursor := uint64(0); ; {
		cursor = s.Scan(cursor, 1000, func(topic []byte, v core.Value) { all[string(topic)] = v })
		if cursor == 0 {
			break
		}
	}
	for topic, v := range all {
		if v.Sum == math.MaxUint64 {
			continue
		}
		if sum, err := s.Count(inTime(t), topic); err != nil || sum != v.Sum+1 {
			t.Errorf("topic %.64q counts on to %d, %v; want %d", topic, sum, err, v.Sum+1)
		}
		break
	}
	return all
}

func valuesOf(entries []snapshot.Entry) map[string]core.Value {
	all := map[string]core.Value{}
	for _, e := range entries {
		all[string(e.Topic)] = e.Value
	}
	return all
}

func equalValues(a, b map[string]core.Value) bool {
	if len(a) != len(b) {
		return false
	}
	for topic, v := range a {
		if w, ok := b[topic]; !ok || v != w {
			return false
		}
	}
	return true
}

// TestRestore restores random states, and holds every entry, the index, the UUID and the next
// record against the dump.
func TestRestore(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 6 {
		h := testHeader()
		entries := randomEntries(r, r.IntN(500), h.Index)
		switch {
		case round == 0:
			h, entries = DumpHeader{Store: wal.ID{1}}, nil
		case round > 2:
			entries = short(entries)
		}
		format := []string{"ndjson", "csv"}[round%2]
		dir := filepath.Join(t.TempDir(), "data")
		got, err := Restore(t.Context(), writeDump(t, format, h, entries), dir,
			RestoreOptions{SegmentSize: testSegment})
		if err != nil {
			t.Fatal(err)
		}
		m, restored := readEntries(t, dir)
		if !slices.EqualFunc(restored, entries, equalEntries) {
			t.Errorf("the %d restored entries differ from the %d of the dump", len(restored), len(entries))
		}
		if got.Store == h.Store || got.Store != m.Store || got.From != h || got.Entries != uint64(len(entries)) ||
			got.Aside != "" {
			t.Errorf("restored %+v from %+v, the snapshot says %+v", got, h, m)
		}
		if !equalValues(sums(t, dir), valuesOf(entries)) {
			t.Error("the store that starts has other counters")
		}
		log, err := wal.Open(store.LogDir(dir), wal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if log.First() != h.Index+1 || len(entries) > 1 && log.Last() != h.Index+1 || log.ID() != m.Store {
			t.Errorf("the log has records %d to %d of %s, want the first to be %d", log.First(), log.Last(), log.ID(),
				h.Index+1)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		onlyNames(t, filepath.Dir(dir), "data")
		checkModes(t, dir)
	}
}

// TestDumpRestoreDump: what is dumped, restored and dumped again is the same below the header, byte
// by byte.
func TestDumpRestoreDump(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dump := func(dir, format string) []byte {
		t.Helper()
		var out bytes.Buffer
		w, err := NewDumpWriter(&out, format, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Dump(t.Context(), dir, w, DumpOptions{}); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for round := range 4 {
		h := testHeader()
		entries := randomEntries(r, r.IntN(300), h.Index)
		if round > 0 {
			entries = short(entries)
		}
		dirs := []string{filepath.Join(t.TempDir(), "a")}
		if _, err := Restore(t.Context(), writeDump(t, "ndjson", h, entries), dirs[0],
			RestoreOptions{SegmentSize: testSegment}); err != nil {
			t.Fatal(err)
		}
		first := map[string][]byte{}
		for _, format := range []string{"ndjson", "csv"} {
			first[format] = dump(dirs[0], format)
			file, dir := filepath.Join(t.TempDir(), "dump"), filepath.Join(t.TempDir(), "b")
			if err := os.WriteFile(file, first[format], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Restore(t.Context(), file, dir, RestoreOptions{SegmentSize: testSegment}); err != nil {
				t.Fatal(err)
			}
			dirs = append(dirs, dir)
		}
		for _, dir := range dirs[1:] {
			for format, was := range first {
				_, was, _ := bytes.Cut(was, []byte("\n"))
				_, is, _ := bytes.Cut(dump(dir, format), []byte("\n"))
				if !bytes.Equal(is, was) {
					t.Errorf("%s: %d bytes below the header became %d others", format, len(was), len(is))
				}
			}
			if _, restored := readEntries(t, dir); !slices.EqualFunc(restored, entries, equalEntries) {
				t.Error("the entries differ")
			}
		}
	}
}

// onlyNames checks what is in a directory.
func onlyNames(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("%s holds %q, want %q", dir, names, want)
	}
}

// checkModes checks that nobody else may read the store.
func checkModes(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRestoreAdvance(t *testing.T) {
	t.Parallel()
	entries := []snapshot.Entry{
		{Topic: []byte("a"), Value: core.Value{Sum: 0, Epoch: 3}, Last: 2},
		{Topic: []byte("b"), Value: core.Value{Sum: 10}, Last: 1},
		{Topic: []byte("c"), Value: core.Value{Sum: math.MaxUint64 - 1000}, Last: 3},
	}
	dump := writeDump(t, "ndjson", testHeader(), entries)
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	if _, err := Restore(t.Context(), dump, dir, RestoreOptions{SegmentSize: testSegment, Advance: 1001}); err == nil ||
		!strings.Contains(err.Error(), `"c"`) {
		t.Errorf("a sum over the highest: %v", err)
	}
	onlyNames(t, parent)
	if _, err := Restore(t.Context(), dump, dir, RestoreOptions{SegmentSize: testSegment, Advance: 1000}); err != nil {
		t.Fatal(err)
	}
	_, got := readEntries(t, dir)
	for i := range entries {
		entries[i].Sum += 1000
	}
	if !slices.EqualFunc(got, entries, equalEntries) {
		t.Errorf("advanced to %v, want %v", got, entries)
	}
	if all := sums(t, dir); !equalValues(all, valuesOf(entries)) {
		t.Errorf("advanced to %v", all)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	good := writeDump(t, "csv", testHeader(),
		[]snapshot.Entry{{Topic: []byte("a"), Value: core.Value{Sum: 1}, Last: 1}})
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, text[:len(text)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	far := testHeader()
	far.Index = math.MaxInt64 + 1
	refused := func(file string, o RestoreOptions, is func(error) bool) {
		t.Helper()
		parent := t.TempDir()
		o.SegmentSize = testSegment
		if _, err := Restore(t.Context(), file, filepath.Join(parent, "data"), o); err == nil || !is(err) {
			t.Errorf("%s: the restore returned %v, which is not the refusal of this", file, err)
		}
		onlyNames(t, parent)
	}
	anyError := func(error) bool { return true }
	refused("-", RestoreOptions{}, func(err error) bool { return strings.Contains(err.Error(), "twice") })
	refused(t.TempDir(), RestoreOptions{}, func(err error) bool { return strings.Contains(err.Error(), "regular") })
	refused(bad+"-not-there", RestoreOptions{}, func(err error) bool { return errors.Is(err, fs.ErrNotExist) })
	refused(bad, RestoreOptions{},
		func(err error) bool { return errors.As(err, new(*DumpError)) && strings.Contains(err.Error(), bad) })
	refused(writeDump(t, "csv", far, nil), RestoreOptions{},
		func(err error) bool { return strings.Contains(err.Error(), "leaves no room") })
	refused(good, RestoreOptions{seams: seams{step: func(string) error { return errors.New("stopped") }}}, anyError)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	parent := t.TempDir()
	if _, err := Restore(ctx, good, filepath.Join(parent, "data"), RestoreOptions{}); !errors.Is(err,
		context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	onlyNames(t, parent)
	link := filepath.Join(parent, "data")
	must(t, os.Symlink(filepath.Join(parent, "nothing"), link)) // as where a volume is not mounted
	if _, err := Restore(t.Context(), good, link, RestoreOptions{Force: true}); !errors.Is(err, store.ErrNotRegular) {
		t.Errorf("a link to nothing: %v", err)
	}
	onlyNames(t, parent, "data")
}

// TestRestorePutsStoresAsideAlone: Force is for a store, not for whatever is there, in which a
// server may have its directory, and a directory above that is not there was mistyped.
func TestRestorePutsStoresAsideAlone(t *testing.T) {
	t.Parallel()
	dump := writeDump(t, "ndjson", testHeader(), nil)
	parent := t.TempDir()
	nest := filepath.Join(parent, "nest")
	s := openDir(t, filepath.Join(nest, "data"), testSegment)
	defer s.Close()
	o := RestoreOptions{SegmentSize: testSegment, Force: true}
	for _, dir := range []string{nest, store.LogDir(filepath.Join(nest, "data"))} {
		if _, err := Restore(t.Context(), dump, dir, o); !errors.Is(err, store.ErrNoStore) {
			t.Errorf("into %s: %v", dir, err)
		}
	}
	if _, err := Restore(t.Context(), dump, filepath.Join(parent, "mistyped", "data"), o); err == nil ||
		!strings.Contains(err.Error(), "there is no directory") {
		t.Errorf("into a directory that is not there: %v", err)
	}
	onlyNames(t, parent, "nest")
	onlyNames(t, nest, "data")
	if sum, err := s.Count(inTime(t), "k"); err != nil || sum != 1 {
		t.Errorf("the server beside it counts %d, %v", sum, err)
	}
}

// oldStore makes a directory with a store that was used.
func oldStore(t testing.TB, dir string) map[string]core.Value {
	t.Helper()
	s := openDir(t, dir, testSegment)
	for i := range 20 {
		if _, err := s.Count(inTime(t), fmt.Sprint("old-", i%7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return sums(t, dir)
}

// TestRestoreOverOldDirectory needs Force, never takes a running server's directory, and keeps the
// old one.
func TestRestoreOverOldDirectory(t *testing.T) {
	t.Parallel()
	for _, exchanged := range []bool{true, false} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "data")
		oldStore(t, dir)
		_ = sums(t, dir)
		old := sums(t, dir) // after what sums counted
		entries := randomEntries(rand.New(rand.NewPCG(1, 2)), 50, testHeader().Index)
		dump := writeDump(t, "ndjson", testHeader(), entries)
		o := RestoreOptions{SegmentSize: testSegment}
		if !exchanged {
			o.fs = withoutExchange()
		}
		if _, err := Restore(t.Context(), dump, dir, o); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("without Force: %v", err)
		}
		o.Force = true
		s := openDir(t, dir, testSegment)
		if _, err := Restore(t.Context(), dump, dir, o); !errors.Is(err, store.ErrLocked) {
			t.Fatalf("a server runs: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		onlyNames(t, parent, "data")

		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		got, err := Restore(t.Context(), dump, link, o) // the link stays one
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got.Aside, dir+".before-restore-") {
			t.Errorf("the old directory is at %q", got.Aside)
		}
		if !equalValues(sums(t, link), valuesOf(entries)) {
			t.Error("the new directory has other counters than the dump")
		}
		if len(old) == 0 {
			t.Error("there was nothing before")
		}
		onlyNames(t, parent, "data", filepath.Base(got.Aside))
		again, err := Restore(t.Context(), dump, link, o) // perhaps within the same second
		if err != nil || again.Aside == got.Aside {
			t.Errorf("again: %+v, %v", again, err)
		}
		if now := sums(t, got.Aside); len(now) != len(old) {
			t.Errorf("what was kept aside has %v, want %v", now, old)
		}
	}
}

// TestRestoreIntoEmptyDirectory takes the place of an empty directory, but not of one that fills up
// meanwhile.
func TestRestoreIntoEmptyDirectory(t *testing.T) {
	t.Parallel()
	dump := writeDump(t, "ndjson", testHeader(), nil)
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(dir, "stranger")
	o := RestoreOptions{SegmentSize: testSegment}
	o.step = func(step string) error {
		if step != "durable" {
			return nil
		}
		return os.WriteFile(stranger, nil, 0o600)
	}
	if _, err := Restore(t.Context(), dump, dir, o); err == nil {
		t.Error("a directory that filled up was taken")
	}
	onlyNames(t, parent, "data")
	onlyNames(t, dir, "stranger")
	if err := os.Remove(stranger); err != nil {
		t.Fatal(err)
	}
	o.step = nil
	if _, err := Restore(t.Context(), dump, dir, o); err != nil {
		t.Fatal(err)
	}
	onlyNames(t, dir, "counters.db", "wal")
}

func BenchmarkRestore(b *testing.B) {
	const n = 300_000
	for _, format := range []string{"ndjson", "csv"} {
		b.Run(format, func(b *testing.B) {
			entries := make([]snapshot.Entry, n)
			for i := range entries {
				entries[i] = snapshot.Entry{Topic: fmt.Appendf(nil, "topic-%010d", i),
					Value: core.Value{Sum: uint64(i)}, Last: uint64(i)}
			}
			dump := writeDump(b, format, testHeader(), entries)
			parent := b.TempDir()
			for i := 0; b.Loop(); i++ {
				if _, err := Restore(context.Background(), dump, filepath.Join(parent, fmt.Sprint(i)),
					RestoreOptions{SegmentSize: testSegment}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds()/1e6, "Mtopics/s")
		})
	}
}
