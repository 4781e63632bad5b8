package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/internal/thin"
	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// collected is a dump in memory.
type collected struct {
	header   DumpHeader
	counters []Counter
	ended    bool
}

func (c *collected) Header(h DumpHeader) error { c.header = h; return nil }

func (c *collected) Counter(counter *Counter) error {
	copied := *counter
	copied.Topic = bytes.Clone(counter.Topic)
	c.counters = append(c.counters, copied)
	return nil
}

func (c *collected) Footer() error { c.ended = true; return nil }

func dumped(t testing.TB, dir string, o DumpOptions) *collected {
	t.Helper()
	c := &collected{}
	done, err := Dump(t.Context(), dir, c, o)
	if err != nil {
		t.Fatal(err)
	}
	if !c.ended || done.Entries != uint64(len(c.counters)) || done.Header != c.header {
		t.Errorf("dump %+v says of itself %+v", c.header, done)
	}
	return c
}

// replayed is what a log leads to, read with nothing but the log's reader: the states at each index
// are found by undoing nothing.
type replayed struct {
	records []replayedRecord
}

type replayedRecord struct {
	index   uint64
	time    time.Time
	changes []core.Change
}

func replayOf(t testing.TB, dir string) *replayed {
	t.Helper()
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := &replayed{}
	for r, err := range log.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		record := replayedRecord{index: r.Index, time: r.Time}
		for c, err := range core.Changes(r.Type, bytes.Clone(r.Payload)) {
			if err != nil {
				t.Fatal(err)
			}
			record.changes = append(record.changes, c)
		}
		all.records = append(all.records, record)
	}
	return all
}

// at is the state at an index, as a dump shows it whose log is kept from record first on.
func (all *replayed) at(index, first uint64, times bool, prefix string) []Counter {
	state := map[string]*Counter{}
	for _, r := range all.records {
		for _, c := range r.changes {
			topic := string(c.Topic)
			at := state[topic]
			if r.index > index {
				if at != nil && at.Last < first {
					at.Last = 0 // the log says what it was, and not since when
				}
				continue
			}
			if at == nil {
				at = &Counter{Entry: snapshot.Entry{Topic: c.Topic}}
				state[topic] = at
			}
			if c.N == 0 {
				at.Value = core.Value{Epoch: at.Epoch + 1}
			} else {
				at.Sum += c.N
			}
			at.Last, at.Time = r.index, r.time
		}
	}
	var counters []Counter
	for topic, c := range state {
		if !times || c.Last < first {
			c.Time = time.Time{}
		}
		if strings.HasPrefix(topic, prefix) {
			counters = append(counters, *c)
		}
	}
	slices.SortFunc(counters, func(a, b Counter) int { return core.CompareTopics(a.Topic, b.Topic) })
	return counters
}

func (all *replayed) last() uint64 { return uint64(len(all.records)) }

// compare holds a dump against the replay. A dump without times may have some: those it came
// across.
func compareCounters(t testing.TB, what string, got, want []Counter, times bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d topics, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !times {
			got[i].Time = time.Time{}
		}
		if !equalEntries(got[i].Entry, want[i].Entry) || !got[i].Time.Equal(want[i].Time) {
			t.Errorf("%s: %.40q is %+v, record %d of %v; want %.40q, %+v, record %d of %v", what,
				got[i].Topic, got[i].Value, got[i].Last, got[i].Time,
				want[i].Topic, want[i].Value, want[i].Last, want[i].Time)
			return
		}
	}
}

// livedStore makes a directory that keeps its whole log: random ops on few topics, so that each has
// many changes, from several goroutines, with snapshots meanwhile, whose entries may be newer than
// their replay index.
func livedStore(t testing.TB, r *rand.Rand, topics []string, segment int64, rounds int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: segment, SnapshotInterval: -1, SnapshotBytes: -1,
		Retain: store.Retain{Bytes: math.MaxInt64}})
	if err != nil {
		t.Fatal(err)
	}
	work := func(r *rand.Rand, n int) {
		for range n {
			ops := make([]core.Op, 1+r.IntN(5))
			for i := range ops {
				ops[i] = core.Op{Kind: core.Count, Topic: []byte(topics[r.IntN(len(topics))]), N: 1 + r.Uint64N(9)}
				switch r.IntN(12) {
				case 0:
					ops[i].Kind, ops[i].N = core.Reset, 0
				case 1:
					ops[i].N = r.Uint64() >> r.IntN(64)
				case 2:
					ops[i].N = math.MaxUint64 // of a topic at 0
				}
			}
			done := make(chan struct{})
			s.Submit(&core.Group{Ops: ops, Done: func(*core.Group) { close(done) }})
			<-done // of whoever waits for this goroutine
		}
	}
	for range rounds {
		var wg sync.WaitGroup
		for range 3 {
			source := rand.New(rand.NewPCG(r.Uint64(), 1))
			wg.Go(func() { work(source, 15+source.IntN(30)) })
		}
		if r.IntN(3) > 0 {
			wg.Go(func() {
				if err := s.Snapshot(inTime(t)); err != nil {
					t.Error(err)
				}
			})
		}
		within(t, "the outcome of all groups", ended(&wg))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// forget removes so many of the segments that the snapshot covers, oldest first, and says where the
// log begins now.
func forget(t testing.TB, r *rand.Rand, dir string) (first uint64) {
	t.Helper()
	m, err := snapshot.At(store.SnapshotPath(dir)).Meta()
	if err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	segments := log.Segments()
	for i, s := range segments[:len(segments)-1] {
		if s.Last > m.Replay || r.IntN(6) == 0 {
			return segments[i].First
		}
		if err := os.Remove(s.Path); err != nil {
			t.Fatal(err)
		}
	}
	return segments[len(segments)-1].First
}

func fewTopics(r *rand.Rand, n, longest int) []string {
	topics := slices.DeleteFunc(hostileTopics(), func(topic string) bool { return len(topic) > longest })
	r.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
	return topics[:n]
}

// TestDumpAt: the state at each index and at random times is what the replay of the whole log to
// there leads to, also where much of the log is gone, with or without times, and where the topics
// of the log do not fit into memory.
func TestDumpAt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name            string
		segment         int64
		topics, longest int
		rounds          int
	}{{"tiny segments", 8192, 40, 1500, 12}, {"long topics", 512 << 10, 12, core.MaxTopicLen, 3}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := seeded(t)
			whole := livedStore(t, r, fewTopics(r, test.topics, test.longest), test.segment, test.rounds)
			all := replayOf(t, whole)
			dirs, firsts := []string{whole}, []uint64{1}
			for range 3 / thin.Step(3) {
				dir := copyTree(t, whole)
				dirs, firsts = append(dirs, dir), append(firsts, forget(t, r, dir))
			}
			for i, dir := range dirs {
				before, first := contents(t, dir), firsts[i]
				for _, memory := range []int{0, 2000} {
					last := all.last()
					indices := []uint64{first - 1, first, last, last - 1}
					for range 12 / thin.Step(3) {
						indices = append(indices, first-1+r.Uint64N(last-first+2))
					}
					for i, index := range indices {
						times := i%2 == 0
						prefix := []string{"", "c", "\n"}[i%3]
						what := fmt.Sprintf("index %d of %d to %d", index, first, last)
						got := dumped(t, dir, DumpOptions{At: &index, Times: times, Prefix: prefix, memory: memory})
						compareCounters(t, what, got.counters, all.at(index, first, times, prefix), times)
						if got.header.Index != index || index >= first &&
							!got.header.Time.Equal(all.records[index-1].time) || index < first &&
							!got.header.Time.IsZero() {
							t.Errorf("%s: header %+v", what, got.header)
						}
					}
					compareCounters(t, "no index", dumped(t, dir, DumpOptions{memory: memory}).counters,
						all.at(last, first, false, ""), false)
					for range 4 {
						at := all.records[first-1+r.Uint64N(last-first+1)].time.Add(time.Duration(r.IntN(3) - 1))
						index := last
						for _, record := range slices.Backward(all.records) {
							if record.index >= first && record.time.After(at) {
								index = record.index - 1
							}
						}
						got := &collected{}
						_, err := Dump(t.Context(), dir, got, DumpOptions{Before: at, memory: memory})
						if index == first-1 && first > 1 {
							if !errors.Is(err, ErrNotKept) {
								t.Errorf("a time before what is kept: %v", err)
							}
							continue
						}
						if err != nil || got.header.Index != index {
							t.Errorf("at %v: index %d, %v; want %d", at, got.header.Index, err, index)
						}
						compareCounters(t, "time", got.counters, all.at(index, first, false, ""), false)
					}
				}
				for _, index := range []uint64{all.last() + 1, math.MaxUint64, first - 2} {
					if _, err := Dump(t.Context(), dir, &collected{}, DumpOptions{At: &index}); first > 1 ||
						index > 0 && index < math.MaxUint64 {
						if !errors.Is(err, ErrNotKept) {
							t.Errorf("index %d of %d to %d: %v", index, first, all.last(), err)
						}
					}
				}
				if !maps.Equal(before, contents(t, dir)) {
					t.Error("files changed")
				}
			}
		})
	}
}

// TestDumpClockBackwards: the state before the first later record in the order of the log, and how
// many after it are not later.
func TestDumpClockBackwards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 8192, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	base := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	seconds := []int{10, 20, 30, 25, 15, 40, 20}
	next := 0
	log, err := wal.Open(store.LogDir(dir), wal.Options{SegmentSize: 8192, Now: func() time.Time {
		next++
		return base.Add(time.Duration(seconds[next-1]) * time.Second)
	}})
	if err == nil {
		err = log.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range seconds {
		if _, err := log.Append(1, []byte{2, 'a', 0, byte(i), 1}); err != nil { // a count of "a" from i
			t.Fatal(err)
		}
	}
	if err := errors.Join(log.Sync(), log.Close()); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int][2]uint64{5: {0, 0}, 10: {1, 0}, 15: {1, 1}, 20: {2, 2}, 24: {2, 2}, 25: {2, 3},
		29: {2, 3}, 30: {5, 1}, 39: {5, 1}, 40: {7, 0}, 99: {7, 0}} {
		got := &collected{}
		done, err := Dump(t.Context(), dir, got, DumpOptions{Before: base.Add(time.Duration(at) * time.Second)})
		if err != nil || done.Header.Index != want[0] || done.Backwards != want[1] {
			t.Errorf("after %d s: index %d, %d after it, %v; want %v", at, done.Header.Index, done.Backwards, err,
				want)
		}
		if want[0] > 0 && (len(got.counters) != 1 || got.counters[0].Sum != want[0]) {
			t.Errorf("after %d s: %+v", at, got.counters)
		}
	}
}

// TestDumpTimeWithoutRecords: of a state whose records are all gone nothing says since when it is,
// unless it is that of no record.
func TestDumpTimeWithoutRecords(t *testing.T) {
	t.Parallel()
	past, future := time.Unix(0, 0), time.Now().Add(time.Hour)
	for _, test := range []struct {
		index uint64
		at    time.Time
		want  error
	}{{0, past, nil}, {0, future, nil}, {9, past, ErrNotKept}, {9, future, nil}} {
		var entries []snapshot.Entry
		if test.index > 0 {
			entries = append(entries, snapshot.Entry{Topic: []byte("a"), Value: core.Value{Sum: 4}, Last: test.index})
		}
		got := &collected{}
		if _, err := Dump(t.Context(), handmade(t, test.index, entries), got,
			DumpOptions{Before: test.at}); !errors.Is(err, test.want) || err == nil && got.header.Index != test.index {
			t.Errorf("index %d at %v: %d, %v; want %v", test.index, test.at, got.header.Index, err, test.want)
		}
	}
}

// TestDumpRefuses: what a start refuses a dump does, and a log whose records do not follow from the
// snapshot.
func TestDumpRefuses(t *testing.T) {
	t.Parallel()
	count := func(topic string, epoch, sum, n uint64) core.Change {
		return core.Change{Topic: []byte(topic), Epoch: epoch, Sum: sum, N: n}
	}
	entry := func(topic string, sum, last uint64) snapshot.Entry {
		return snapshot.Entry{Topic: []byte(topic), Value: core.Value{Sum: sum}, Last: last}
	}
	for _, test := range []struct {
		name    string
		entries []snapshot.Entry
		changes []core.Change // from record 10 on
		right   bool
	}{
		{"right", []snapshot.Entry{entry("a", 4, 9)}, []core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1)}, true},
		{"newer entry", []snapshot.Entry{entry("a", 6, 10)}, []core.Change{count("a", 0, 4, 2), count("a", 0, 6, 1)},
			true},
		{"newest entry", []snapshot.Entry{entry("a", 7, 11)}, []core.Change{count("a", 0, 4, 2), count("a", 0, 6, 1)},
			true},
		{"does not follow", []snapshot.Entry{entry("a", 4, 9)}, []core.Change{count("a", 0, 5, 2)}, false},
		{"does not follow in the log", []snapshot.Entry{entry("a", 4, 9)},
			[]core.Change{count("a", 0, 4, 2), count("a", 0, 7, 2)}, false},
		{"not from the beginning", nil, []core.Change{count("a", 0, 4, 2)}, false},
		{"newer entry, other sum", []snapshot.Entry{entry("a", 8, 10)},
			[]core.Change{count("a", 0, 4, 2), count("a", 0, 6, 1)}, false},
		{"newest entry, other sum", []snapshot.Entry{entry("a", 6, 11)},
			[]core.Change{count("a", 0, 4, 2), count("a", 0, 6, 1)}, false},
		{"entry without its record", []snapshot.Entry{entry("a", 4, 10)}, []core.Change{count("b", 0, 0, 2)}, false},
		{"entry after the last", []snapshot.Entry{entry("a", 6, 11)},
			[]core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1)}, false},
		{"after an entry's own record", []snapshot.Entry{entry("a", 4, 5), entry("c", 1, 12)},
			[]core.Change{count("a", 0, 4, 2), count("b", 0, 0, 1)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := handmade(t, 9, test.entries, test.changes...)
			for _, memory := range []int{0, 1} {
				_, err := Dump(t.Context(), dir, &collected{}, DumpOptions{memory: memory})
				var damage *wal.CorruptionError
				if test.right != (err == nil) || err != nil && !errors.As(err, &damage) {
					t.Errorf("memory %d: %v", memory, err)
				}
				if damage != nil && damage.File != store.SnapshotPath(dir) &&
					(damage.File != segmentPath(dir, 1) || damage.Offset < 64 || damage.Index < 10) {
					t.Errorf("memory %d: the record is not named: %v", memory, err)
				}
			}
		})
	}
	// A snapshot that lacks what it says that it has, which only a dump of the whole log can see.
	after := handmade(t, 9, []snapshot.Entry{entry("a", 6, 10)}, count("a", 0, 4, 2), count("a", 0, 6, 1))
	for replay, right := range map[uint64]bool{10: true, 11: false} {
		setReplay(t, after, replay)
		var damage *wal.CorruptionError
		if _, err := Dump(t.Context(), after, &collected{}, DumpOptions{Times: true}); right != (err == nil) ||
			!right && (!errors.As(err, &damage) || damage.File != store.SnapshotPath(after)) {
			t.Errorf("replay %d: %v", replay, err)
		}
	}

	// The same with more after it, and of a topic that is missing; and an entry that is not what
	// its own record made it, with the state of that record.
	lacks := handmade(t, 9, []snapshot.Entry{entry("a", 4, 9)}, count("a", 0, 4, 2), count("a", 0, 6, 1))
	setReplay(t, lacks, 10)
	missing := handmade(t, 9, nil, count("b", 0, 0, 1), count("b", 0, 1, 1))
	setReplay(t, missing, 10)
	between := handmade(t, 9, []snapshot.Entry{entry("a", 5, 10)}, count("a", 0, 4, 2), count("a", 0, 6, 1))
	at := uint64(10)
	for _, dir := range []string{lacks, missing, between} {
		var damage *wal.CorruptionError
		if _, err := Dump(t.Context(), dir, &collected{}, DumpOptions{At: &at, Times: true}); !errors.As(err,
			&damage) ||
			damage.File != store.SnapshotPath(dir) {
			t.Errorf("%s: the dump returned %v, want damage of the snapshot", dir, err)
		}
	}

	r := seeded(t)
	dir := closedStore(t, r, 100, 50)
	flipEntry(t, dir)
	var damage *wal.CorruptionError
	if _, err := Dump(t.Context(), dir, &collected{}, DumpOptions{}); !errors.As(err, &damage) ||
		damage.File != store.SnapshotPath(dir) {
		t.Errorf("a damaged snapshot: %v", err)
	}
	if _, err := Dump(t.Context(), t.TempDir(), &collected{}, DumpOptions{}); !errors.Is(err, store.ErrNoStore) {
		t.Errorf("no store: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dump(ended, copyWithoutLock(t, closedStore(t, r, 100, 50)), &collected{},
		DumpOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// copyWithoutLock copies a store's files as an operator may: nothing keeps a server away from the
// copy, so it is read as beside one.
func copyWithoutLock(t testing.TB, dir string) string {
	t.Helper()
	dir = copyTree(t, dir)
	if err := os.Remove(store.LockPath(dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDumpCopy: a copied directory, and one that has no snapshot any more.
func TestDumpCopy(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	dir := livedStore(t, r, fewTopics(r, 30, 1000), 8192, 4)
	all := replayOf(t, dir)
	want := all.at(all.last(), 1, false, "")
	bare := copyWithoutLock(t, dir)
	compareCounters(t, "copy", dumped(t, bare, DumpOptions{}).counters, want, false)
	for _, dir := range []string{dir, bare} {
		if err := os.Remove(store.SnapshotPath(dir)); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		compareCounters(t, "log alone", dumped(t, dir, DumpOptions{}).counters, want, false)
		if !maps.Equal(before, contents(t, dir)) {
			t.Error("files changed")
		}
	}
}

// TestDumpAtAfterDamage: a dump of an index needs no record before it that the snapshot has, and
// where those are damaged does without.
func TestDumpAtAfterDamage(t *testing.T) {
	t.Parallel()
	dir := closedStoreOf(t, seeded(t), 450, 100, false) // some 140 records in a segment
	all := replayOf(t, dir)
	flip(t, filepath.Join(store.LogDir(dir), "0000000000000002.seg"), 64+45)
	for _, memory := range []int{0, 500} {
		for _, index := range []uint64{440, 450, 500, 549} {
			got := dumped(t, dir, DumpOptions{At: &index, memory: memory})
			compareCounters(t, fmt.Sprintf("index %d", index), got.counters,
				all.at(index, min(index, 450)+1, false, ""), false)
			if got.header.Index != index || got.header.Time.IsZero() {
				t.Errorf("the dump's header is %+v, want index %d and a time", got.header, index)
			}
		}
	}
	var damage *wal.CorruptionError
	for _, o := range []DumpOptions{{At: new(uint64(440)), Times: true}, {At: new(uint64(200))}} {
		if _, err := Dump(t.Context(), dir, &collected{}, o); !errors.As(err, &damage) {
			t.Errorf("index %d: %v", *o.At, err)
		}
	}
}
