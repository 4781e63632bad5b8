package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestSnapshotUnderLoad: counting goes on while snapshots are written, each covers what was applied
// when it began, and the next start reads snapshot and tail. A second store that replays the whole
// kept log comes to the same state.
func TestSnapshotUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// the log is kept whole
	o := Options{SegmentSize: 32 << 20, SnapshotInterval: -1, SnapshotBytes: -1, Retain: Retain{Bytes: 1 << 30},
		hooks: snapshot.Hooks{NoSync: true}}
	s, err := open(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	const workers = 4
	counted := make([]map[string]uint64, workers)
	var running, wg sync.WaitGroup
	running.Add(workers)
	for w := range workers {
		counted[w] = map[string]uint64{}
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				g := &core.Group{}
				for j := range 50 {
					g.Ops = append(g.Ops, count(fmt.Sprintf("w%d/%d", w, (i*50+j)%7000), 1))
				}
				done := make(chan struct{})
				g.Done = func(*core.Group) { close(done) }
				s.Submit(g)
				if _, ok := comes(t, "the outcome of a group", done); !ok {
					return
				}
				for _, op := range g.Ops {
					if op.Err != nil {
						t.Error(op.Err)
						return
					}
					counted[w][string(op.Topic)] = op.Sum
				}
				if i == 0 {
					running.Done()
				}
			}
		})
	}
	running.Wait()
	before := s.Stats()
	more := func() { // waits until something was counted that no snapshot before it covers
		for last := s.wal.Last(); s.wal.Last() == last && !t.Failed(); {
			runtime.Gosched()
		}
	}
	for range 4 {
		more()
		if err := s.Snapshot(ctx); err != nil {
			t.Error(err)
		}
	}
	after := s.Stats()
	more()
	stop()
	wg.Wait()
	if after.Snapshots != 4 || after.SnapshotEntries == 0 {
		t.Errorf("%d snapshots of %d entries", after.Snapshots, after.SnapshotEntries)
	}
	t.Logf("%d counts while %d entries were written", after.Counts-before.Counts, after.SnapshotEntries)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, o)
	r := s.Recovery()
	if r.Entries == 0 || r.Records == 0 {
		t.Errorf("recovery did not read both: %+v", r)
	}
	total := 0
	for w := range workers {
		total += len(counted[w])
		for topic, want := range counted[w] {
			if got := get(s, topic).Sum; got != want {
				t.Fatalf("%s is at %d, want %d", topic, got, want)
			}
		}
	}
	if s.Len() != total {
		t.Errorf("%d topics, want %d", s.Len(), total)
	}
	whole := replayWhole(t, s)
	if whole.Len() != total {
		t.Errorf("the log alone leads to %d topics, want %d", whole.Len(), total)
	}
	for id := range uint32(whole.Len()) {
		topic, want := whole.At(id)
		if got := get(s, string(topic)); got != want {
			t.Fatalf("%s is at %+v, the log alone leads to %+v", topic, got, want)
		}
	}
}

// TestCountAfterCapture: what is counted while a snapshot is written is not taken for part of it.
// A count in the middle of the first transaction is acknowledged, the snapshot completes, and a
// start finds the count in the log after it.
func TestCountAfterCapture(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var s *Store
	inSnapshot := false
	o := Options{SegmentSize: 64 << 10, SnapshotInterval: -1, hooks: snapshot.Hooks{NoSync: true, BeforeCommit: func() {
		if inSnapshot {
			inSnapshot = false
			for _, op := range runOps(t, s, []core.Op{count("late", 1), count("a", 1)}) {
				if op.Err != nil {
					t.Error(op.Err)
				}
			}
		}
	}}}
	s = openStore(t, dir, o)
	runOps(t, s, []core.Op{count("a", 1), count("b", 1)})
	inSnapshot = true
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); inSnapshot || st.SnapshotIndex != 1 || st.Index != 2 {
		t.Errorf("snapshot to %d, log to %d; want 1 and 2", st.SnapshotIndex, st.Index)
	}
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, killed, Options{SegmentSize: 64 << 10})
	if got := get(again, "late"); got != (core.Value{Sum: 1, Epoch: 0}) {
		t.Errorf("late is at %+v", got)
	}
	if got := get(again, "a"); got != (core.Value{Sum: 2, Epoch: 0}) {
		t.Errorf("a is at %+v", got)
	}
}

// replayWhole replays all that is kept of a store's log, from the first record, without the
// snapshot.
func replayWhole(t *testing.T, s *Store) *core.Machine {
	t.Helper()
	if s.wal.First() != 1 {
		t.Fatalf("the log begins at %d: the test wants it whole", s.wal.First())
	}
	m := core.NewMachine()
	for r, err := range s.wal.Records(1) {
		if err == nil {
			err = m.Replay(r.Index, r.Type, r.Payload)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestSnapshotIncremental: a snapshot writes the topics that changed, and only those.
func TestSnapshotIncremental(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 256 << 10, SnapshotInterval: -1})
	var ops []core.Op
	for i := range 2500 {
		ops = append(ops, count(fmt.Sprint(i), uint64(i+1)))
	}
	long := strings.Repeat("l", 1025)
	ops = append(ops, count("", 1), count(strings.Repeat("k", 1024), 2), count(long, 3),
		count(strings.Repeat("m", core.MaxTopicLen), 4))
	runOps(t, s, ops)
	for _, step := range []struct {
		ops     []core.Op
		entries uint64
	}{
		{nil, 2504},
		{nil, 0},
		{[]core.Op{count("7", 1), reset("8"), count(long, 1), count("7", 1), count("new", 1)}, 4},
		{[]core.Op{count("7", 1)}, 1},
	} {
		if step.ops != nil {
			runOps(t, s, step.ops)
		}
		before := s.Stats().SnapshotEntries
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats().SnapshotEntries - before; got != step.entries {
			t.Errorf("%d entries were written, want %d", got, step.entries)
		}
	}
	seen := map[string]snapshot.Entry{}
	m, err := s.file.Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		seen[string(e.Topic)] = snapshot.Entry{Value: e.Value, Last: e.Last}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Count != 2505 || m.Replay != 3 || m.DurableAtLeast != 3 || len(seen) != 2505 {
		t.Errorf("meta %+v, %d entries", m, len(seen))
	}
	for topic, want := range map[string]snapshot.Entry{"7": {Value: core.Value{Sum: 11, Epoch: 0}, Last: 3},
		"8": {Value: core.Value{Sum: 0, Epoch: 1}, Last: 2}, "9": {Value: core.Value{Sum: 10, Epoch: 0},
			Last: 1}, long: {Value: core.Value{Sum: 4, Epoch: 0}, Last: 2}} {
		if got := seen[topic]; got.Value != want.Value || got.Last != want.Last {
			t.Errorf("%.10q: %+v, want %+v", topic, got, want)
		}
	}
}

// TestSnapshotPutOff: while a tool holds the file's lock snapshots fail, nothing is lost, no
// segment goes, and the next one has everything.
func TestSnapshotPutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1})
	runOps(t, s, []core.Op{count("a", 1), count("b", 1)})
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader, err := bolt.Open(filepath.Join(dir, snapshot.FileName), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		runOps(t, s, []core.Op{count("a", 1), count(strings.Repeat("x", 900), 1), count(fmt.Sprint(i), 1)})
	}
	segments := s.Stats().Segments
	if err := s.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was written under a tool's lock")
	}
	if now := s.Stats().Segments; now != segments || segments < 3 {
		t.Errorf("%d segments before, %d after a snapshot that failed", segments, now)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := s.Stats().Segments; now >= segments {
		t.Errorf("%d segments before, %d after the snapshot", segments, now)
	}
	n := 0
	m, err := s.file.Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		n++
		if string(e.Topic) == "a" && e.Value.Sum != 42 {
			t.Errorf("a is at %d in the snapshot", e.Value.Sum)
		}
		return nil
	})
	if err != nil || n != 43 || m.Replay != 42 {
		t.Errorf("%d entries, %+v, %v", n, m, err)
	}
}

// TestSnapshotNeverWritesOverDamage: a file that fails its check is left as it is, and the log is
// kept.
func TestSnapshotNeverWritesOverDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := open(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		runOps(t, s, []core.Op{count(strings.Repeat("x", 900), 1), count(fmt.Sprint(i), 1)})
	}
	segments := s.Stats().Segments
	path := filepath.Join(dir, snapshot.FileName)
	edit(t, path, func(b []byte) []byte { // everything but the two meta pages
		for i := 2 * 4096; i < len(b); i++ {
			b[i] = 0xaa
		}
		return b
	})
	before := contents(t, dir)[path]
	if err := s.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was written into a damaged file")
	}
	if now := s.Stats().Segments; now != segments {
		t.Errorf("%d segments before, %d after", segments, now)
	}
	if err := s.Close(); err == nil {
		t.Error("a store that cannot note its clean shutdown closed without an error")
	}
	if contents(t, dir)[path] != before {
		t.Error("the damaged file was changed")
	}
}

// TestSnapshotByBytes: a log that grows by SnapshotBytes brings a snapshot without anybody asking.
func TestSnapshotByBytes(t *testing.T) {
	t.Parallel()
	taken := make(chan struct{}, 100)
	s := openStore(t, t.TempDir(),
		Options{SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: 4096, hooks: snapshot.Hooks{
			AfterCommit: func() {
				select {
				case taken <- struct{}{}:
				default:
				}
			}}})
	for len(taken) > 0 {
		<-taken // the commits of the start
	}
	for range 10 {
		runOps(t, s, []core.Op{count(strings.Repeat("x", 900), 1)})
	}
	within(t, "a snapshot that nobody asked for", taken)
}

// TestSegmentsGoAfterTheSnapshot: no segment is removed before the transaction that moves the
// replay index is durable.
func TestSegmentsGoAfterTheSnapshot(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []string
	note := func(e string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) (out vfstest.Outcome) {
		if op.Kind == vfstest.KindRemove && strings.HasSuffix(op.Name, ".seg") {
			note("remove")
		}
		return out
	})
	s := openStore(t, t.TempDir(),
		Options{fs: fault, logDir: "log", SegmentSize: 8192, SnapshotInterval: -1,
			hooks: snapshot.Hooks{NoSync: true, AfterCommit: func() { note("commit") }}})
	for i := range 40 {
		runOps(t, s, []core.Op{count(strings.Repeat("x", 900), 1), count(fmt.Sprint(i), 1)})
	}
	mu.Lock()
	events = nil
	mu.Unlock()
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(events, " "); !strings.HasPrefix(got, "commit commit remove remove") {
		t.Errorf("%s; want the entries' commit, the replay index's, then removals", got)
	}
}

// TestWitness: what the snapshot file says of the log at each moment of a store's life.
func TestWitness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(state snapshot.State, witness, replay uint64) {
		t.Helper()
		f := snapshot.File{Path: filepath.Join(dir, snapshot.FileName)}
		m, err := f.Read(func(snapshot.Meta, snapshot.Entry) error { return nil })
		if err != nil || m.State != state || m.DurableAtLeast != witness || m.Replay != replay {
			t.Errorf("state %d, witness %d, replay %d (%v); want %d, %d, %d", m.State, m.DurableAtLeast, m.Replay, err,
				state, witness, replay)
		}
	}
	s, err := open(t, dir, Options{SegmentSize: 8192})
	if err != nil {
		t.Fatal(err)
	}
	check(snapshot.StateOpen, 0, 0)
	runOps(t, s, []core.Op{count("a", 1)})
	runOps(t, s, []core.Op{count("a", 1)})
	check(snapshot.StateOpen, 0, 0)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(snapshot.StateOpen, 2, 2)
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(snapshot.StateClosed, 3, 2)
	openStore(t, dir, Options{SegmentSize: 8192})
	check(snapshot.StateOpen, 3, 2)
}

func TestOpenRejectsOptions(t *testing.T) {
	t.Parallel()
	if _, err := open(t, "", Options{Sync: "sometimes"}); err == nil || !strings.Contains(err.Error(), "sometimes") {
		t.Errorf("Open returned %v, want an error that names the wrong sync mode", err)
	}
	if _, err := open(t, filepath.Join(t.TempDir(), "x"), Options{SegmentSize: 5}); err == nil ||
		errors.Is(err, wal.ErrVersion) {
		t.Errorf("Open returned %v, want an error about the segment size", err)
	}
}

// TestSnapshotPatience: a snapshot that is not written while nobody else wants the processor is
// written all the same, whole.
func TestSnapshotPatience(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir(), Options{SnapshotInterval: -1, SnapshotBytes: -1})
	s.snapshot.asideTime = -1 // the snapshotter looks when it is asked for a snapshot
	var ops []core.Op
	for i := range 100 {
		ops = append(ops, count(fmt.Sprint(i), uint64(i)+1))
	}
	runOps(t, s, ops)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := 0
	m, err := s.file.Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		if want := fmt.Sprint(e.Value.Sum - 1); string(e.Topic) != want {
			return fmt.Errorf("topic %s has the sum %d", e.Topic, e.Value.Sum)
		}
		found++
		return nil
	})
	if err != nil || found != 100 || m.Replay != s.wal.Last() {
		t.Errorf("%d entries, replay from %d, %v; want 100, %d", found, m.Replay, err, s.wal.Last())
	}
}

// Stats tell whether a snapshot is under way, when the last one was completed and how long it took,
// which store it is, and how much the disk takes.
func TestStatsOfSnapshots(t *testing.T) {
	t.Parallel()
	var s *Store
	under := false
	at := time.Unix(1_700_000_000, 5)
	o := Options{SegmentSize: 64 << 10, SnapshotInterval: -1, now: func() time.Time { return at }}
	o.hooks.BeforeCommit = func() {
		if s != nil {
			under = s.Stats().Snapshotting
		}
	}
	opened, err := open(t, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	s = opened
	t.Cleanup(func() { s.Close() })
	before := s.Stats()
	if !before.SnapshotAt.IsZero() || before.SnapshotTook != 0 || before.Snapshotting ||
		before.Store != s.Recovery().Store {
		t.Errorf("before a snapshot: %+v", before)
	}
	if free, known := vfs.Free(s.dir); known && (before.DiskFree <= 0 || before.DiskFree > 100*(free+1)) ||
		!known && before.DiskFree != -1 {
		t.Errorf("%d bytes are free, and the disk says %d", before.DiskFree, free)
	}
	runOps(t, s, []core.Op{count("orders", 1)})
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := s.Stats(); !under || after.Snapshotting || !after.SnapshotAt.Equal(at) || after.SnapshotTook <= 0 {
		t.Errorf("under way: %v; after it: %+v", under, after)
	}
}
