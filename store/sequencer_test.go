package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/store/core"
)

// modelStore is what the counters should be: the plainest possible version of the sequencer and the
// machine.
type modelStore struct {
	values              map[string]core.Value
	maxTopics, maxTopic int
}

// do returns the outcome that an op should have, and takes it into account.
func (m *modelStore) do(op core.Op) core.Op {
	if len(op.Topic) > m.maxTopic && (op.Kind == core.Count || op.Kind == core.Reset) {
		op.Err = core.ErrTopicTooLong
		return op
	}
	if op.Kind == core.Size {
		for _, v := range m.values {
			if v.Sum > 0 {
				op.Sum++
			}
		}
		return op
	}
	v, known := m.values[string(op.Topic)]
	op.Sum, op.Epoch = v.Sum, v.Epoch
	highest, n := op.Max, max(op.N, 1)
	if highest == 0 {
		highest = math.MaxUint64
	}
	switch {
	case op.Kind == core.Read, op.Kind == core.Delete && v.Sum == 0:
		return op
	case op.Kind == core.Count && (v.Sum > highest || n > highest-v.Sum):
		op.Err = core.ErrOverflow
	case !known && len(m.values) >= m.maxTopics:
		op.Err = core.ErrTooManyTopics
	case op.Kind == core.Count:
		v.Sum += n
		op.Sum = v.Sum
		m.values[string(op.Topic)] = v
	default:
		m.values[string(op.Topic)] = core.Value{Epoch: v.Epoch + 1}
	}
	return op
}

func (m *modelStore) compare(t *testing.T, s *Store) {
	t.Helper()
	if s.Len() != len(m.values) {
		t.Errorf("%d topics, want %d", s.Len(), len(m.values))
	}
	live := 0
	for topic, want := range m.values {
		if got, ok := s.Get(topic); !ok || got != want {
			t.Errorf("topic %.40q is at %+v (%v), want %+v", topic, got, ok, want)
		}
		if want.Sum > 0 {
			live++
		}
	}
	if s.Live() != live {
		t.Errorf("%d topics are live, want %d", s.Live(), live)
	}
	seen := map[string]bool{}
	for cursor := s.Scan(0, 3, m.seen(t, seen)); cursor != 0; {
		cursor = s.Scan(cursor, 3, m.seen(t, seen))
	}
	if len(seen) != len(m.values) {
		t.Errorf("a scan saw %d topics, want %d", len(seen), len(m.values))
	}
}

// seen checks each topic of a scan: as the model has it, and never before.
func (m *modelStore) seen(t *testing.T, before map[string]bool) func([]byte, core.Value) {
	return func(topic []byte, v core.Value) {
		if want, ok := m.values[string(topic)]; !ok || want != v || before[string(topic)] {
			t.Errorf("a scan saw %.40q at %+v, want %+v; before: %v", topic, v, want, before[string(topic)])
		}
		before[string(topic)] = true
	}
}

// randomOp makes an op on one of a few topics, ordinary or hostile.
func randomOp(r *rand.Rand) core.Op {
	topics := []string{"", "a", "b", "c", "hot", "hot", "hot", "\xff\x00", "日本", "d", "e", "f",
		strings.Repeat("L", 2000), strings.Repeat("M", 70)}
	op := core.Op{Topic: []byte(topics[r.IntN(len(topics))])}
	switch x := r.IntN(20); {
	case x < 13:
		op.Kind = core.Count
		if x == 0 {
			op.N = r.Uint64N(1000)
		}
		if x == 1 {
			op.N, op.Max = r.Uint64N(50), r.Uint64N(100)+1
		}
		if x == 2 && r.IntN(10) == 0 {
			op.N = math.MaxUint64 - r.Uint64N(2000)
		}
	case x < 14:
		op.Kind = core.Reset
	case x < 16:
		op.Kind = core.Delete
	case x < 17:
		op = core.Op{Kind: core.Size}
	default:
		op.Kind = core.Read
	}
	return op
}

// boundedLog holds each batch to its limit and to the size that the sequencer reckoned with.
type boundedLog struct {
	t     *testing.T
	log   order
	limit int
}

func (l *boundedLog) propose(recordType uint8, payload []byte) error {
	if len(payload) > l.limit {
		l.t.Errorf("a batch of %d bytes, the limit is %d", len(payload), l.limit)
	}
	return l.log.propose(recordType, payload)
}

// TestSequencerModel runs random groups, many to a round and through batches too small for them,
// against the model.
func TestSequencerModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30 / thin.Step(5)) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := openMemory(t, Options{MaxTopics: 5 + r.IntN(10), MaxTopicLen: 1999 + r.IntN(3)})
		if r.IntN(2) == 0 {
			s.own.seq.Limits.MaxBatch = s.options.MaxTopicLen + core.MaxChangeLen + r.IntN(4000)
			s.own.seq.Limits.MaxWhole = s.own.seq.Limits.MaxBatch - r.IntN(2)*500
		}
		s.log = &boundedLog{t: t, log: s.log, limit: s.own.seq.Limits.MaxBatch}
		model := &modelStore{values: map[string]core.Value{}, maxTopics: s.options.MaxTopics,
			maxTopic: s.options.MaxTopicLen}
		for range 100 {
			done := make(chan *core.Group, 16)
			var groups []*core.Group
			var want [][]core.Op
			for range 1 + r.IntN(8) {
				g := &core.Group{Done: func(g *core.Group) { done <- g }, Whole: r.IntN(3) == 0}
				for range r.IntN(20) {
					g.Ops = append(g.Ops, randomOp(r))
				}
				fits := !g.Whole || s.Fits(g.Ops)
				var outcomes []core.Op
				for _, op := range g.Ops {
					if fits {
						op = model.do(op)
					} else {
						op.Err = core.ErrTooLarge
					}
					outcomes = append(outcomes, op)
				}
				groups, want = append(groups, g), append(want, outcomes)
			}
			if s.Enqueue(groups...) {
				s.Round()
			}
			for i, g := range groups {
				if first := within(t, "the outcome of a group", done); first != g {
					t.Fatalf("seed %d: groups were answered out of order", seed)
				}
				for j, op := range g.Ops {
					w := want[i][j]
					if op.Sum != w.Sum || op.Epoch != w.Epoch || !errors.Is(op.Err, w.Err) {
						t.Fatalf("seed %d: group %d op %d: kind %d topic %.10q n %d max %d: got %d in epoch %d, %v; "+
							"want %d in epoch %d, %v",
							seed, i, j, op.Kind, op.Topic, op.N, op.Max, op.Sum, op.Epoch, op.Err,
							w.Sum, w.Epoch, w.Err)
					}
				}
			}
		}
		model.compare(t, s)
	}
}

// TestFolding: counts of one topic that wait together are one change; a reset of the topic ends the
// run, another topic's does not.
func TestFolding(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	var ops []core.Op
	for i := range 10 {
		ops = append(ops, core.Op{Kind: core.Count, Topic: []byte("a")},
			core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "%d", i%2)}, core.Op{Kind: core.Reset,
				Topic: []byte("b")})
	}
	ops = append(ops, core.Op{Kind: core.Reset, Topic: []byte("a")}, core.Op{Kind: core.Count, Topic: []byte("a")})
	runOps(t, s, ops)
	st := s.Stats()
	if want := uint64(1 + 2 + 10 + 2); st.Changes != want || st.Batches != 1 {
		t.Errorf("%d changes in %d batches, want %d in 1", st.Changes, st.Batches, want)
	}
}

// TestDeleteOfNothingIsNoReset: what ends no epoch is not counted as if it did.
func TestDeleteOfNothingIsNoReset(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	del := core.Op{Kind: core.Delete, Topic: []byte("a")}
	runOps(t, s, []core.Op{del, count("a", 5), del, del, reset("a")})
	if st := s.Stats(); st.Counts != 1 || st.Resets != 2 || st.Reads != 2 {
		t.Errorf("%d counts, %d resets, %d reads, want 1, 2, 2", st.Counts, st.Resets, st.Reads)
	}
}

// TestOverflow: at 2^64−1 a count is refused and nothing changes.
func TestOverflow(t *testing.T) {
	t.Parallel()
	s := openMemory(t, Options{})
	topic := []byte("full")
	runOps(t, s, []core.Op{{Kind: core.Count, Topic: topic, N: math.MaxUint64}})
	before := s.Stats()
	for _, op := range runOps(t, s,
		[]core.Op{{Kind: core.Count, Topic: topic}, {Kind: core.Count, Topic: topic, N: math.MaxUint64},
			{Kind: core.Count, Topic: topic, Max: 5}}) {
		if !errors.Is(op.Err, core.ErrOverflow) || op.Sum != math.MaxUint64 {
			t.Errorf("%v, sum %d", op.Err, op.Sum)
		}
	}
	if after := s.Stats(); after.Batches != before.Batches || after.Refused != 3 {
		t.Errorf("refused counts reached the log: %+v", after)
	}
	if ops := runOps(t, s,
		[]core.Op{{Kind: core.Reset, Topic: topic},
			{Kind: core.Count, Topic: topic}}); ops[1].Err != nil || ops[1].Sum != 1 {
		t.Errorf("after a reset: %+v", ops[1])
	}
}
