package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// runWhole submits ops as a whole group and waits for their outcomes.
func runWhole(t testing.TB, s *Store, ops ...core.Op) []core.Op {
	t.Helper()
	done := make(chan struct{})
	s.Submit(&core.Group{Ops: ops, Whole: true, Done: func(*core.Group) { close(done) }})
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a whole group has no outcome after a minute")
	}
	return ops
}

// enqueueAll has groups committed by the caller, and waits for all of them.
func enqueueAll(t testing.TB, s *Store, groups ...*core.Group) {
	t.Helper()
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Add(1)
		g.Done = func(*core.Group) { wg.Done() }
	}
	if s.Enqueue(groups...) {
		s.Round()
	}
	wg.Wait()
}

func read(topic string) core.Op { return core.Op{Kind: core.Read, Topic: []byte(topic)} }

// keptLog remembers the topics of each batch.
type keptLog struct {
	order
	batches [][]string
}

func (l *keptLog) propose(recordType uint8, payload []byte) error {
	var topics []string
	for c, err := range core.Changes(recordType, payload) {
		if err != nil {
			return err
		}
		topics = append(topics, string(c.Topic))
	}
	l.batches = append(l.batches, topics)
	return l.order.propose(recordType, payload)
}

// TestWholeIsOneRecord: wherever the end of a batch would fall, the changes of a whole group are in
// one record, one after the other, and what is before and after it stays in its order.
func TestWholeIsOneRecord(t *testing.T) {
	t.Parallel()
	const length, room = 100, 1000
	for before := range 12 {
		for size := 2; size <= 7; size++ {
			s := openMemory(t, Options{})
			s.own.seq.Limits.MaxBatch, s.own.seq.Limits.MaxWhole = room, room
			log := &keptLog{order: s.log}
			s.log = log
			var want []string
			name := func(kind string, i int) core.Op {
				topic := fmt.Sprintf("%s%0*d", kind, length-len(kind), i)
				want = append(want, topic)
				return count(topic, 1)
			}
			a, whole, b := &core.Group{}, &core.Group{Whole: true}, &core.Group{}
			for i := range before {
				a.Ops = append(a.Ops, name("a", i))
			}
			for i := range size {
				whole.Ops = append(whole.Ops, name("whole", i))
			}
			whole.Ops = append(whole.Ops, read(strings.Repeat("r", 300)), count("whole"+strings.Repeat("0",
				length-len("whole")), 1))
			for i := range 5 {
				b.Ops = append(b.Ops, name("b", i))
			}
			enqueueAll(t, s, a, whole, b)
			var got []string
			in := map[int]int{} // batch: changes of the whole group
			for i, batch := range log.batches {
				got = append(got, batch...)
				for _, topic := range batch {
					if strings.HasPrefix(topic, "whole") {
						in[i]++
					}
				}
			}
			if len(in) != 1 {
				t.Errorf("%d counts before %d: the whole group is in batches %v", before, size, in)
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%d counts before %d: the log has %.300q", before, size, got)
			}
		}
	}
}

// TestWholeLimits: a group of the largest size is one record that fits; one byte more, or one topic
// more, is refused before anything is done. So it is in memory and for each longest record.
func TestWholeLimits(t *testing.T) {
	t.Parallel()
	for _, segment := range []int64{0, 8192, 64 << 10, 1 << 20, 4 << 20} {
		t.Run(fmt.Sprint("segments of ", segment), func(t *testing.T) {
			t.Parallel()
			dir, most := "", core.MaxWhole
			if segment > 0 {
				dir = t.TempDir()
			}
			s := openStore(t, dir, Options{SegmentSize: segment, hooks: snapshot.Hooks{NoSync: true}})
			if s.wal != nil {
				most = min(most, s.wal.MaxRecord())
			}
			// Topics of one length, and a last one that fills the room to its last byte.
			const length = 60
			var ops []core.Op
			left := most
			for left >= 2*(length+core.MaxChangeLen) {
				ops = append(ops, count(fmt.Sprintf("%0*d", length, len(ops)), 1<<62))
				left -= length + core.MaxChangeLen
			}
			last := strings.Repeat("x", left-core.MaxChangeLen)
			largest := append(ops[:len(ops):len(ops)], count(last, 1))
			refused := map[string][]core.Op{
				"one byte more":  append(ops[:len(ops):len(ops)], count(last+"x", 1)),
				"one topic more": append(largest[:len(largest):len(largest)], count("", 1)),
				"one reset more": append(largest[:len(largest):len(largest)], reset(last)),
				"another epoch":  append(largest[:len(largest):len(largest)], reset("0"), count("0", 1)),
			}
			for what, ops := range refused {
				if s.Fits(ops) {
					t.Errorf("%s fits", what)
				}
				for _, op := range runWhole(t, s, append([]core.Op(nil), ops...)...) {
					if !errors.Is(op.Err, core.ErrTooLarge) {
						t.Fatalf("%s: the operation on %.20q ended with %v, want ErrTooLarge", what, op.Topic, op.Err)
					}
				}
			}
			if st := s.Stats(); st.Topics != 0 || st.Batches != 0 {
				t.Fatalf("refused groups left %d topics in %d batches", st.Topics, st.Batches)
			}
			// Reads, and counts of the same topic, need no room.
			more := append(largest[:len(largest):len(largest)], read("nothing"), count(last, 1),
				core.Op{Kind: core.Size})
			if !s.Fits(more) {
				t.Error("the largest does not fit")
			}
			full := &core.Group{Ops: []core.Op{count("before", 1)}}
			group := &core.Group{Ops: append([]core.Op(nil), more...), Whole: true}
			enqueueAll(t, s, full, group)
			for _, op := range group.Ops {
				if op.Err != nil {
					t.Fatalf("the largest: %.20q: %v", op.Topic, op.Err)
				}
			}
			if size := group.Ops[len(group.Ops)-1]; size.Sum != uint64(len(largest)+1) {
				t.Errorf("%d topics have a sum, want %d", size.Sum, len(largest)+1)
			}
			if st := s.Stats(); st.Topics != len(largest)+1 || st.Batches > 2 {
				t.Errorf("%d topics in %d batches", st.Topics, st.Batches)
			}
		})
	}
}

// TestWholeFolds: counts of a topic that are not parted by a reset take the room of one.
func TestWholeFolds(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	ops := make([]core.Op, 100_000)
	for i := range ops {
		ops[i] = count(fmt.Sprint("topic", i%3), 1)
	}
	for i, op := range runWhole(t, s, ops...) {
		if op.Err != nil || op.Sum != uint64(i/3+1) {
			t.Fatalf("count %d: %d, %v", i, op.Sum, op.Err)
		}
	}
	if st := s.Stats(); st.Changes != 3 || st.Batches != 1 {
		t.Errorf("%d changes in %d batches", st.Changes, st.Batches)
	}
	for i := range ops {
		if i%2 == 1 {
			ops[i] = reset("topic0")
		}
	}
	if s.Fits(ops) {
		t.Error("50,000 resets fit")
	}
}

// TestWholeRefusesForItsOwnSake: a refused op leaves the others.
func TestWholeRefusesForItsOwnSake(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{MaxTopics: 2, MaxTopicLen: 10})
	ops := runWhole(t, s, count("a", 1), core.Op{Kind: core.Count, Topic: []byte("a"), Max: 1},
		count("longer than that",
			1), count("b", 1),
		count("c", 1), read("a"), read("c"), core.Op{Kind: core.Size}, reset("a"), core.Op{Kind: core.Size}, count("a",
			2))
	want := []struct {
		sum uint64
		err error
	}{{1, nil}, {1, core.ErrOverflow}, {0, core.ErrTopicTooLong}, {1, nil}, {0, core.ErrTooManyTopics}, {1, nil}, {0,
		nil}, {2,
		nil}, {1, nil}, {1, nil}, {2, nil}}
	for i, op := range ops {
		if op.Sum != want[i].sum || !errors.Is(op.Err, want[i].err) {
			t.Errorf("op %d: %d, %v, want %+v", i, op.Sum, op.Err, want[i])
		}
	}
}

// TestWholeOnAFullDisk: every change is refused, and each read that saw one; a read that saw none
// is answered. Groups beside it have their own outcomes.
func TestWholeOnAFullDisk(t *testing.T) {
	t.Parallel()
	full := false
	var mu sync.Mutex
	fill := func(is bool) {
		mu.Lock()
		defer mu.Unlock()
		full = is
	}
	disk := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if full && op.Kind == vfstest.KindWrite && path.Base(op.Name) != "mark" {
			return vfstest.Short(op.Len/2, syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	s := openStore(t, t.TempDir(), Options{fs: disk, logDir: "log", SegmentSize: 8192, roomRetry: time.Hour,
		hooks: snapshot.Hooks{NoSync: true}})
	runWhole(t, s, count("a", 7), count("b", 7))
	fill(true)
	before := s.Stats()
	whole := &core.Group{Whole: true, Ops: []core.Op{read("a"), {Kind: core.Size}, count("a", 1), read("a"), read("b"),
		count("new", 1), read("new"),
		{Kind: core.Size}, reset("b"), read("b"), {Kind: core.Delete, Topic: []byte("a")}}}
	beside := &core.Group{Ops: []core.Op{count("a", 1), read("a")}}
	enqueueAll(t, s, whole, beside)
	want := []struct {
		sum     uint64
		refused bool
	}{{7, false}, {2, false}, {0, true}, {0, true}, {7, false}, {0, true}, {0, true}, {0, true}, {0, true}, {0,
		true}, {0, true}}
	for i, op := range whole.Ops {
		if op.Sum != want[i].sum || errors.Is(op.Err, core.ErrLogFull) != want[i].refused || op.Err != nil &&
			!want[i].refused {
			t.Errorf("op %d: %d, %v, want %+v", i, op.Sum, op.Err, want[i])
		}
	}
	if op := beside.Ops[1]; op.Err != nil || op.Sum != 7 {
		t.Errorf("a read beside it: %d, %v", op.Sum, op.Err)
	}
	if after := s.Stats(); after.Index != before.Index || after.Topics != 2 || after.Live != 2 ||
		get(s, "a").Sum != 7 || get(s, "b").Sum != 7 {
		t.Errorf("after a refusal %+v, before it %+v", after, before)
	}
}

// TestWholeUnknown: when the sync fails every op of the group is unknown, reads too.
func TestWholeUnknown(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	fail := false
	disk := vfstest.NewFault(vfstest.NewMem(), func(op vfstest.Op) vfstest.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if fail && op.Kind == vfstest.KindSync {
			return vfstest.Fail(syscall.EIO)
		}
		return vfstest.Outcome{}
	})
	s := openStore(t, t.TempDir(),
		Options{fs: disk, logDir: "log", SegmentSize: 8192, hooks: snapshot.Hooks{NoSync: true}})
	runWhole(t, s, count("a", 1))
	mu.Lock()
	fail = true
	mu.Unlock()
	for i, op := range runWhole(t, s, read("a"), count("a", 1), count("b", 1), core.Op{Kind: core.Size}) {
		if !errors.Is(op.Err, core.ErrUnknown) {
			t.Errorf("op %d: %v", i, op.Err)
		}
	}
	for i, op := range runWhole(t, s, read("a"), count("a", 1)) {
		if !errors.Is(op.Err, core.ErrFailed) {
			t.Errorf("after a failure, op %d: %v", i, op.Err)
		}
	}
}

// TestReadersSeeNoHalf: while whole groups come into effect, reads between two looks at the same
// even version saw all of each or nothing of it, and so did reads in a whole group.
func TestReadersSeeNoHalf(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	const groups = 3000
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range groups {
			runWhole(t, s, count("a", 1), count("b", 1), count("c", 1), reset("c"))
		}
	}()
	looks := 0
	for going := true; going; {
		select {
		case <-written:
			going = false
		default:
		}
		version := s.WholeVersion()
		a, b, c := get(s, "a"), get(s, "b"), get(s, "c")
		if version%2 == 0 && s.WholeVersion() == version {
			if looks++; a.Sum != b.Sum || c.Epoch != a.Sum {
				t.Fatalf("a reader saw %v, %v, %v", a, b, c)
			}
		}
		if ops := runWhole(t, s, read("a"), read("b"), read("c")); ops[0].Sum != ops[1].Sum ||
			ops[2].Epoch != ops[0].Sum {
			t.Fatalf("a group of reads saw %d, %d, epoch %d", ops[0].Sum, ops[1].Sum, ops[2].Epoch)
		}
	}
	if v := s.WholeVersion(); looks == 0 || v != 2*groups {
		t.Errorf("%d looks, version %d after %d groups", looks, v, groups)
	}
}

// pair is the state of two topics, and what a whole group that reads or counts both was answered.
type pair [2]uint64

var pairModel = porcupine.Model{
	Init: func() any { return pair{} },
	Step: func(state, input, output any) (bool, any) {
		v, add := state.(pair), input.(pair)
		v[0] += add[0]
		v[1] += add[1]
		return output.(pair) == v, v
	},
}

// TestWholeLinearizable has clients count two topics, together or one of them, and read both, and
// has porcupine look for one order of all groups that explains all answers.
func TestWholeLinearizable(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10, SnapshotBytes: 16 << 10})
	s.own.seq.Limits.MaxBatch = 300 // so that batches end everywhere
	s.own.seq.Limits.MaxWhole = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var history []porcupine.Operation
	began := time.Now()
	var wg sync.WaitGroup
	for client := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(client)))
			for range 100 {
				add := []pair{{0, 0}, {1, 1}, {1, 1}, {1, 0}, {0, 1}, {2, 3}}[r.IntN(6)]
				var ops []core.Op
				for i, topic := range []string{"a", "b"} {
					if add[i] > 0 {
						ops = append(ops, count(topic, add[i]))
					} else {
						ops = append(ops, read(topic))
					}
				}
				for i := range r.IntN(3) {
					ops = append(ops, count(fmt.Sprint("filler", client, i), 1))
				}
				g := &core.Group{Ops: ops, Whole: true}
				call := time.Since(began)
				enqueueAll(t, s, g)
				returned := time.Since(began)
				if g.Ops[0].Err != nil || g.Ops[1].Err != nil {
					t.Errorf("counting both topics failed: %v, %v", g.Ops[0].Err, g.Ops[1].Err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Input: add, Call: int64(call),
					Output: pair{g.Ops[0].Sum, g.Ops[1].Sum}, Return: int64(returned)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := porcupine.CheckOperationsTimeout(pairModel, history, time.Minute); got != porcupine.Ok {
		t.Errorf("seed %d: an order of %d groups that explains their answers: %v", seed, len(history), got)
	}
}
