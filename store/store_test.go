package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestGroupCommit: ops that wait while a sync is under way share the next one, and n counts of one
// topic are one run.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	const clients, rounds = 64, 20
	gate := make(chan struct{})
	entered := make(chan struct{}, 1)
	var mu sync.Mutex
	gated := false
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) (out vfstest.Outcome) {
		mu.Lock()
		wait := gated && op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".seg")
		mu.Unlock()
		if wait {
			entered <- struct{}{}
			<-gate
		}
		return out
	})
	s := openStore(t, t.TempDir(), Options{fs: fault, logDir: "log", hooks: snapshot.Hooks{NoSync: true}})
	before, logBefore := s.Stats(), s.wal.Stats()
	mu.Lock()
	gated = true
	mu.Unlock()
	for range rounds {
		done := make(chan uint64, clients+1)
		submit := func() {
			s.Submit(&core.Group{Ops: []core.Op{{Kind: core.Count, Topic: []byte("orders")}},
				Done: func(g *core.Group) { done <- g.Ops[0].Sum }})
		}
		submit()
		within(t, "a sync", entered) // the first one's sync is under way: the others wait together
		for range clients {
			submit()
		}
		select {
		case <-done:
			t.Fatal("answered before the sync returned")
		default:
		}
		gate <- struct{}{}
		within(t, "the second sync", entered)
		gate <- struct{}{}
		for range clients + 1 {
			within(t, "an answer", done)
		}
	}
	mu.Lock()
	gated = false
	mu.Unlock()
	after, logAfter := s.Stats(), s.wal.Stats()
	ops := after.Counts - before.Counts
	if ops != rounds*(clients+1) {
		t.Fatalf("%d ops, want %d", ops, rounds*(clients+1))
	}
	if batches, syncs := after.Batches-before.Batches, after.Syncs-before.Syncs; batches*16 > ops || syncs*16 > ops {
		t.Errorf("%d ops took %d records and %d syncs: more than one for 16", ops, batches, syncs)
	}
	if changes := after.Changes - before.Changes; changes != 2*rounds {
		t.Errorf("%d changes, want one a batch: %d", changes, 2*rounds)
	}
	if bytes := uint64(logAfter.Bytes - logBefore.Bytes); bytes >= 2*ops {
		t.Errorf("the log grew by %d bytes for %d counts", bytes, ops)
	}
}

// TestDense has many goroutines count a few topics through both ways into the store: every value is
// handed out once.
func TestDense(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10, SnapshotBytes: 20 << 10})
	const workers = 16
	each := 200 / thin.Step(4)
	var mu sync.Mutex
	seen := map[string]map[uint64]bool{"a": {}, "b": {}, "c": {}}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				topic := string(rune('a' + (w+i)%3))
				var sum uint64
				if w%2 == 0 {
					var err error
					if sum, err = s.Count(context.Background(), topic); err != nil {
						t.Error(err)
						return
					}
				} else {
					done := make(chan struct{})
					g := &core.Group{Ops: []core.Op{{Kind: core.Count, Topic: []byte(topic)}},
						Done: func(*core.Group) { close(done) }}
					if s.Enqueue(g) {
						s.Round()
					}
					if _, ok := comes(t, "the outcome of a group", done); !ok {
						return
					}
					sum = g.Ops[0].Sum
				}
				if v, _ := s.Get(topic); v.Sum < sum {
					t.Errorf("a read after the answer %d saw %d", sum, v.Sum)
				}
				mu.Lock()
				if seen[topic][sum] {
					t.Errorf("%s: %d was handed out twice", topic, sum)
				}
				seen[topic][sum] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for topic, values := range seen {
		if got := get(s, topic).Sum; got != uint64(len(values)) || !values[got] {
			t.Errorf("%s is at %d after %d counts", topic, got, len(values))
		}
	}
}

// TestClose: what was submitted is answered, what comes later is told so, and nothing is left
// running (goleak).
func TestClose(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", t.TempDir()} {
		s, err := open(t, dir, Options{SegmentSize: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		const n = 100
		results := make(chan error, n)
		for range n {
			s.Submit(&core.Group{Ops: []core.Op{count("a", 1)}, Done: func(g *core.Group) { results <- g.Ops[0].Err }})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := within(t, "the outcome of a group", results); err != nil {
				t.Errorf("submitted before Close: %v", err)
			}
		}
		if _, err := s.Count(context.Background(), "a"); !errors.Is(err, core.ErrClosed) {
			t.Errorf("count after Close: %v", err)
		}
		g := &core.Group{Ops: []core.Op{count("a", 1)}, Done: func(g *core.Group) { results <- g.Ops[0].Err }}
		if s.Enqueue(g) {
			t.Error("Enqueue made the caller the owner of a closed store")
		}
		if err := within(t, "the outcome of a late group", results); !errors.Is(err, core.ErrClosed) {
			t.Errorf("enqueued after Close: %v", err)
		}
		if err := s.Snapshot(context.Background()); dir != "" && !errors.Is(err, core.ErrClosed) {
			t.Errorf("snapshot after Close: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}
}

// TestCountContext: a context that ends gives an unknown outcome at once, while the disk goes on
// hanging.
func TestCountContext(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	entered := make(chan struct{}, 100)
	var mu sync.Mutex
	gated := false
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) (out vfstest.Outcome) {
		mu.Lock()
		wait := gated && op.Kind == vfstest.KindSync && strings.HasSuffix(op.Name, ".seg")
		mu.Unlock()
		if wait {
			entered <- struct{}{}
			<-gate
		}
		return out
	})
	s := openStore(t, t.TempDir(), Options{fs: fault, logDir: "log"})
	mu.Lock()
	gated = true
	mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := s.Count(ctx, "a")
		result <- err
	}()
	within(t, "a sync", entered)
	cancel()
	if err := within(t, "the end of a count", result); !errors.Is(err, core.ErrUnknown) ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("%v, want ErrUnknown and context.Canceled", err)
	}
	if _, err := s.Count(ctx, "a"); !errors.Is(err, context.Canceled) || errors.Is(err, core.ErrUnknown) {
		t.Errorf("with a context that had ended: %v, want a plain context.Canceled", err)
	}
	close(gate)
}

// TestLogFull: when no segment can be made ops are refused, nothing of them is found later, and
// counting resumes with the space.
func TestLogFull(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	full := false
	fault := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) (out vfstest.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		// A spare that was made before has its room: only new files have none.
		if full && op.Kind == vfstest.KindCreate {
			return vfstest.Fail(errors.New("no space left on device"))
		}
		return out
	})
	o := Options{fs: fault, logDir: "log", SegmentSize: 8192, SnapshotInterval: -1, hooks: snapshot.Hooks{NoSync: true}}
	dir := t.TempDir()
	s := openStore(t, dir, o)
	mu.Lock()
	full = true
	mu.Unlock()
	pad := strings.Repeat("p", 500)
	acked, refused := uint64(0), 0
	for refused < 3 {
		ops := runOps(t, s, []core.Op{count("a", 1), count(pad, 1), {Kind: core.Read, Topic: []byte("a")}})
		switch {
		case ops[0].Err == nil:
			acked = ops[0].Sum
		case !errors.Is(ops[0].Err, core.ErrLogFull):
			t.Fatalf("%v, want ErrLogFull", ops[0].Err)
		default:
			refused++
			if ops[2].Err != nil || ops[2].Sum != acked {
				t.Errorf("a read beside refused counts: %d, %v; want %d", ops[2].Sum, ops[2].Err, acked)
			}
		}
		if acked > 1000 {
			t.Fatal("the log never filled up")
		}
	}
	if st := s.Stats(); !st.Full || st.RefusingSince.IsZero() || !errors.Is(s.Refusing(), core.ErrLogFull) {
		t.Errorf("the figures do not tell that the log is full: %+v, %v", st, s.Refusing())
	}
	if s.Err() != nil {
		t.Fatalf("a full disk stopped the store: %v", s.Err())
	}
	mu.Lock()
	full = false
	mu.Unlock()
	for runOps(t, s, []core.Op{count("b", 1)})[0].Err != nil { // until the spare keeper has tried again
		s.wakeSpareKeeper()
	}
	if op := runOps(t, s, []core.Op{count("a", 1)})[0]; op.Err != nil || op.Sum != acked+1 {
		t.Errorf("after space came back: %d, %v; want %d", op.Sum, op.Err, acked+1)
	}
	if st := s.Stats(); st.Full || !st.RefusingSince.IsZero() || s.Refusing() != nil {
		t.Errorf("the figures still tell that the log is full: %+v, %v", st, s.Refusing())
	}
}

// TestSyncInterval: acknowledged before the sync, durable after it; a clean close loses nothing.
func TestSyncInterval(t *testing.T) {
	t.Parallel()
	mem := vfstest.NewMem()
	o := Options{fs: mem, logDir: "log", Sync: SyncInterval, SyncInterval: 1 << 40, SegmentSize: 64 << 10,
		hooks: snapshot.Hooks{NoSync: true}}
	dir := t.TempDir()
	s, err := open(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 5)})
	if st := s.Stats(); st.Index != 0 || st.Batches != 1 {
		t.Errorf("durable index %d after %d batches: synced already", st.Index, st.Batches)
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Index != 1 {
		t.Errorf("a snapshot was taken of what the log does not hold durably: index %d", st.Index)
	}
	runOps(t, s, []core.Op{count("a", 5)})
	o.fs = mem.Crash(vfstest.Crash{})
	if got := get(openStore(t, copySnapshot(t, dir), o), "a").Sum; got != 5 {
		t.Errorf("after a power loss %d, want 5", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.fs = mem.Crash(vfstest.Crash{})
	if got := get(openStore(t, copySnapshot(t, dir), o), "a").Sum; got != 10 {
		t.Errorf("after a clean close %d, want 10", got)
	}
}

func TestTopicLimits(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{MaxTopics: 3, MaxTopicLen: 4})
	ops := runOps(t, s,
		[]core.Op{count("1", 1), reset("2"), count("33333", 1), count("3", 1), count("4", 1), reset("5"),
			{Kind: core.Read, Topic: []byte("6")}, count("1", 1), count("", 1)})
	want := []error{nil, nil, core.ErrTopicTooLong, nil, core.ErrTooManyTopics, core.ErrTooManyTopics, nil, nil,
		core.ErrTooManyTopics}
	for i := range ops {
		if !errors.Is(ops[i].Err, want[i]) {
			t.Errorf("op %d: %v, want %v", i, ops[i].Err, want[i])
		}
	}
	if s.Len() != 3 {
		t.Errorf("%d topics", s.Len())
	}
}

// TestTopicLengths: a topic of just the longest length is counted, and a byte more is refused,
// whatever the limit, also in a whole group.
func TestTopicLengths(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 4, 1024, core.MaxTopicLen} {
		s := openMemory(t, Options{MaxTopicLen: most})
		longest, longer := strings.Repeat("x", most), strings.Repeat("x", most+1)
		for n, whole := range []bool{false, true} {
			done := make(chan struct{})
			g := &core.Group{Ops: []core.Op{count(longest, 1), count(longer, 1), reset(longer)}, Whole: whole,
				Done: func(*core.Group) { close(done) }}
			s.Submit(g)
			within(t, "a group", done)
			if op := g.Ops[0]; op.Err != nil || op.Sum != uint64(n+1) {
				t.Errorf("at most %d bytes, whole %t: the longest topic is at %d, %v", most, whole, op.Sum, op.Err)
			}
			for _, op := range g.Ops[1:] {
				if !errors.Is(op.Err, core.ErrTopicTooLong) {
					t.Errorf("at most %d bytes, whole %t: a byte more: %v", most, whole, op.Err)
				}
			}
		}
	}
}

// A limit that was lowered is one for what is counted: what longer topics have is still told, and
// told alike after other ops and alone.
func TestTopicLengthLowered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := openStore(t, dir, Options{hooks: snapshot.Hooks{NoSync: true}})
	runOps(t, before, []core.Op{count("33333", 2)})
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir, Options{MaxTopicLen: 4, hooks: snapshot.Hooks{NoSync: true}})
	old, none := []byte("33333"), []byte("44444")
	for _, test := range []struct {
		op  core.Op
		sum uint64
		err error
	}{
		{core.Op{Kind: core.Read, Topic: old}, 2, nil},
		{core.Op{Kind: core.Read, Topic: none}, 0, nil},
		{core.Op{Kind: core.Delete, Topic: none}, 0, nil},
		{core.Op{Kind: core.Delete, Topic: old}, 2, core.ErrTopicTooLong},
		{core.Op{Kind: core.Reset, Topic: old}, 0, core.ErrTopicTooLong},
		{core.Op{Kind: core.Count, Topic: old}, 0, core.ErrTopicTooLong},
	} {
		got := runOps(t, s, []core.Op{count("a", 1), test.op, {Kind: core.Read, Topic: old}})
		if got[1].Sum != test.sum || !errors.Is(got[1].Err, test.err) {
			t.Errorf("kind %d of %s: %d, %v; want %d, %v", test.op.Kind, test.op.Topic, got[1].Sum, got[1].Err,
				test.sum, test.err)
		}
		if v, _ := s.Get("33333"); got[2].Sum != 2 || v.Sum != 2 {
			t.Errorf("after kind %d of %s: %d in a group and %d alone, want 2", test.op.Kind, test.op.Topic, got[2].Sum,
				v.Sum)
		}
	}
}

func ExampleStore_Count() {
	s, err := Open("", Options{}) // a directory instead of "" makes it durable
	if err != nil {
		panic(err)
	}
	defer s.Close()
	for range 3 {
		n, _ := s.Count(context.Background(), "orders")
		fmt.Println(n)
	}
	// Output:
	// 1
	// 2
	// 3
}
