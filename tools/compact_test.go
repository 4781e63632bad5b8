package tools

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// compactStore makes a store with history, a snapshot, and a tail of several segments after it:
// topics in both and in one alone, and resets. It is closed, or as a crash leaves it. The counters
// are those that it should have.
func compactStore(t testing.TB, seed uint64, segment int, topics []string, closed bool) (dir string,
	want map[string]core.Value) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s, err := store.Open(dir, store.Options{SegmentSize: int64(segment), SnapshotInterval: -1, SnapshotBytes: -1,
		Retain: store.Retain{Bytes: 1 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	run := func(topics []string, n int) {
		for range n {
			var ops []core.Op
			for range 1 + r.IntN(20) {
				op := core.Op{Kind: core.Count, Topic: []byte(topics[r.IntN(len(topics))])}
				if r.IntN(10) == 0 {
					op.Kind = core.Reset
				}
				ops = append(ops, op)
			}
			submit(t, s, ops...)
			for _, op := range ops {
				if op.Err != nil {
					t.Fatal(op.Err)
				}
			}
		}
	}
	big := []string{strings.Repeat("big", segment/13)}
	run(big, 6) // more than a segment
	run(topics[:len(topics)*3/4], 15)
	if err := s.Snapshot(inTime(t)); err != nil {
		t.Fatal(err)
	}
	run(topics[len(topics)/4:], 20)
	run(big, 6)
	want = map[string]core.Value{}
	for cursor := uint64(0); ; {
		if cursor = s.Scan(cursor, 1000, func(topic []byte, v core.Value) { want[string(topic)] = v }); cursor == 0 {
			break
		}
	}
	crashed := ""
	if !closed {
		crashed = filepath.Join(copyTree(t, filepath.Dir(dir)), "data")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !closed {
		dir = crashed
	}
	return dir, want
}

func shuffledTopics(seed uint64) []string {
	topics := hostileTopics()
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
	return topics
}

// filesOf are all files of a directory: times, modes, and the beginning of each.
func filesOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = fmt.Sprint(info.ModTime(), info.Mode(), len(b), string(b[:min(len(b), 1<<16)]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCompact(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, test := range []struct {
		closed, keep bool
		run          int
	}{{closed: true}, {closed: false}, {closed: true, keep: true}, {closed: true, run: 1}, {closed: false,
		run: 100_000}} {
		dir, want := compactStore(t, seed, testSegment, shuffledTopics(seed), test.closed)
		m, before := readEntries(t, dir)
		were := segmentsIn(t, dir)
		if were < 3 {
			t.Fatalf("only %d segments", were)
		}
		o := CompactOptions{KeepLog: test.keep, run: test.run}
		c, err := Compact(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		now, entries := readEntries(t, dir)
		if !equalValues(valuesOf(entries), want) {
			t.Errorf("%+v: the counters changed", test)
		}
		if now.State != snapshot.StateClosed || now.Store != m.Store || now.Replay != now.DurableAtLeast ||
			now.Replay != c.Index || m.Replay+c.Records != c.Index || c.Records < 26 {
			t.Errorf("%+v: %+v became %+v, said %+v", test, m, now, c)
		}
		newest := uint64(0)
		old := map[string]snapshot.Entry{}
		for _, e := range before {
			old[string(e.Topic)] = e
		}
		for _, e := range entries { // one is not said to have changed unless it has
			newest = max(newest, e.Last)
			if was, ok := old[string(e.Topic)]; ok && was.Value == e.Value && was.Last != e.Last || ok &&
				was.Value != e.Value && e.Last <= m.Replay {
				t.Errorf("topic %.64q was %+v and is %+v", e.Topic, was, e)
			}
		}
		if newest != c.Index {
			t.Errorf("the newest entry is of record %d, not %d", newest, c.Index)
		}
		left := segmentsIn(t, dir)
		if test.keep && (left != were || c.Segments > 0) || !test.keep &&
			(left != 1 || c.Segments != were-1 || c.First != 1 || c.Last == 0 || c.After >= c.Before) {
			t.Errorf("%+v: %d of %d segments are left, said %+v", test, left, were, c)
		}

		files := filesOf(t, dir)
		again, err := Compact(t.Context(), dir, o)
		if err != nil || !again.Nothing || again.Before != again.After || again.Segments != 0 {
			t.Errorf("%+v: the second time: %+v, %v", test, again, err)
		}
		for path, was := range filesOf(t, dir) {
			if files[path] != was {
				t.Errorf("%+v: the second time changed %s", test, path)
			}
			delete(files, path)
		}
		if len(files) > 0 {
			t.Errorf("%+v: the second time removed files", test)
		}
		if got := sums(t, dir); !equalValues(got, want) {
			t.Errorf("%+v: it starts with other counters", test)
		}
	}
}

func segmentsIn(t testing.TB, dir string) int {
	t.Helper()
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	return len(log.Segments())
}

// TestCompactWithoutSnapshot makes the snapshot from a log that is whole, as a start does.
func TestCompactWithoutSnapshot(t *testing.T) {
	t.Parallel()
	dir, want := compactStore(t, 1, testSegment, shuffledTopics(1), true)
	if err := os.Remove(store.SnapshotPath(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := sums(t, dir); !equalValues(got, want) {
		t.Error("it starts with other counters")
	}
}

// TestCompactNewerEntries has a snapshot that was under way when the store crashed: some of its
// entries are newer than its index, and a part of the log's changes is in them already.
func TestCompactNewerEntries(t *testing.T) {
	t.Parallel()
	dir, want := compactStore(t, 4, testSegment, shuffledTopics(4), true)
	m, old := readEntries(t, dir)
	newer := copyTree(t, dir)
	if _, err := Compact(t.Context(), newer, CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	_, entries := readEntries(t, newer)
	was := map[string]snapshot.Entry{}
	for _, e := range old {
		was[string(e.Topic)] = e
	}
	if err := os.Remove(store.SnapshotPath(dir)); err != nil {
		t.Fatal(err)
	}
	b, err := snapshot.NewBuilder(vfs.OS{}, store.SnapshotPath(dir), m.Store)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i, e := range entries {
		before, there := was[string(e.Topic)]
		switch {
		case i%2 == 0 && e.Last > m.Replay:
			taken++
		case there:
			e = before
		default:
			continue
		}
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(m.Replay); err != nil {
		t.Fatal(err)
	}
	if taken == 0 {
		t.Fatal("no entry is newer")
	}
	if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := sums(t, dir); !equalValues(got, want) {
		t.Error("it starts with other counters")
	}
}

// TestCompactRefuses what a start refuses, and while a server runs, and changes nothing.
func TestCompactRefuses(t *testing.T) {
	t.Parallel()
	refused := func(name, dir string, is func(error) bool) {
		t.Helper()
		files := filesOf(t, dir)
		_, err := Compact(t.Context(), dir, CompactOptions{})
		if err == nil || !is(err) {
			t.Errorf("%s: compact returned %v, which is not the refusal of this", name, err)
		}
		for path, now := range filesOf(t, dir) {
			if filepath.Base(path) != "LOCK" && files[path] != now {
				t.Errorf("%s: %s was changed", name, path)
			}
		}
	}
	damage := func(err error) bool {
		return errors.As(err, new(*wal.CorruptionError))
	}
	refused("nothing there", t.TempDir(), func(err error) bool { return errors.Is(err, store.ErrNoStore) })
	onDamaged := func(name string, spoil func(dir string) error) {
		t.Helper()
		dir, _ := compactStore(t, 2, testSegment, shuffledTopics(2), true)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		refused(name, dir, damage)
	}
	onDamaged("no log", func(dir string) error { return os.RemoveAll(store.LogDir(dir)) })
	onDamaged("no snapshot, and the log does not reach back", func(dir string) error {
		first, second := filepath.Join(store.LogDir(dir), "0000000000000001.seg"), filepath.Join(store.LogDir(dir),
			"0000000000000002.seg")
		// the first may be empty
		return errors.Join(os.Remove(store.SnapshotPath(dir)), os.Remove(first), os.Remove(second))
	})
	onDamaged("a bit in the tail", func(dir string) error {
		m, _ := readEntries(t, dir)
		log, err := wal.Open(store.LogDir(dir), wal.Options{})
		if err != nil {
			return err
		}
		defer log.Close()
		for r, err := range log.Records(m.Replay + 1) {
			if err != nil {
				return err
			}
			path := filepath.Join(store.LogDir(dir), fmt.Sprintf("%016x.seg", r.Segment))
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[r.Offset+40] ^= 4
			return os.WriteFile(path, b, 0o600)
		}
		return errors.New("there is no tail")
	})
	onDamaged("a bit in the snapshot", func(dir string) error {
		b, err := os.ReadFile(store.SnapshotPath(dir))
		if err != nil {
			return err
		}
		at := strings.LastIndex(string(b), strings.Repeat("big", testSegment/13))
		b[at+500] ^= 1
		return os.WriteFile(store.SnapshotPath(dir), b, 0o600)
	})
	onDamaged("a snapshot that does not fit the log", func(dir string) error { // right in itself
		m, entries := readEntries(t, dir)
		if err := os.Remove(store.SnapshotPath(dir)); err != nil {
			return err
		}
		b, err := snapshot.NewBuilder(vfs.OS{}, store.SnapshotPath(dir), m.Store)
		if err != nil {
			return err
		}
		for _, e := range entries {
			e.Sum += 1 << 40
			e.Epoch, e.Last = 0, 1
			if err := b.Add(e); err != nil {
				return err
			}
		}
		_, err = b.Finish(m.Replay)
		return err
	})

	dir, _ := compactStore(t, 3, testSegment, shuffledTopics(3), true)
	s := openDir(t, dir, testSegment)
	if _, err := Compact(t.Context(), dir, CompactOptions{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a server runs: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compact(ctx, dir, CompactOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	onlyNames(t, dir, "LOCK", "counters.db", "wal")
}

// TestCompactStopped stops it at each operation on the disk and at each step, by a crash and by
// errors.
func TestCompactStopped(t *testing.T) {
	t.Parallel()
	topics := []string{"a", "b", "c", strings.Repeat("long", 275), "d", "e", "f", strings.Repeat("x", 600), "g", "h"}
	for _, closed := range []bool{true, false} {
		dir, want := compactStore(t, 5, smallSegment, topics, closed)
		ways := []string{"crash", "error", "error afterwards"}
		if !closed {
			ways = ways[:1]
		}
		for _, way := range ways {
			t.Run(fmt.Sprintf("closed %t, %s", closed, way), func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n += thin.Step(5) {
					dir := copyTree(t, dir)
					i := interruption{way: way, n: n}
					i.crash = func() { dir = copyTree(t, dir) }
					_, err := Compact(t.Context(), dir,
						CompactOptions{step: i.step, fs: i.disk(vfstest.KindRead, vfstest.KindSize)})
					if i.over(t, err) {
						break
					}
					if n%2 == 0 { // a start is right, and so is another try
						if _, err := Compact(t.Context(), dir, CompactOptions{}); err != nil {
							t.Errorf("%s: again: %v", i.what, err)
						}
					}
					if got := sumsOf(t, openDir(t, dir, smallSegment)); !equalValues(got, want) {
						t.Errorf("%s: it starts with other counters", i.what)
					}
					onlyNames(t, dir, "LOCK", "counters.db", "wal")
				}
			})
		}
	}
}

// TestCompactSyncs checks the order that a power loss must not undo: the new snapshot's bytes, the
// log that it speaks of, its name, and only then is anything removed.
func TestCompactSyncs(t *testing.T) {
	t.Parallel()
	dir, _ := compactStore(t, 6, testSegment, shuffledTopics(6), false)
	var order []string
	var o CompactOptions
	o.fs = vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
		if filepath.Ext(op.Name) == ".seg" {
			op.Name = "segment"
		}
		switch name := string(op.Kind) + " " + filepath.Base(op.Name); name {
		case "sync counters.db.new", "sync segment", "rename counters.db.new", "syncdir data", "remove segment":
			order = append(order, name)
		}
		return vfstest.Outcome{}
	})
	if _, err := Compact(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	want := []string{"sync counters.db.new", "sync segment", "rename counters.db.new", "syncdir data", "remove segment"}
	if order = slices.Compact(order); !slices.Equal(order, want) {
		t.Errorf("the order was %q, want %q", order, want)
	}
}

func BenchmarkCompact(b *testing.B) {
	const n = 200_000
	dir := filepath.Join(b.TempDir(), "data")
	s := openDir(b, dir, testSegment)
	for i := 0; i < n; i += 1000 {
		ops := make([]core.Op, 1000)
		for j := range ops {
			ops[j] = core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic-%010d", (i+j)*7919%n)}
		}
		submit(b, s, ops...)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		dir := copyTree(b, dir)
		b.StartTimer()
		if _, err := Compact(context.Background(), dir, CompactOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds()/1e6, "Mtopics/s")
}
