package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// With topics enough for it to look ahead, every op has the outcome that it has one by one: known
// topics and new ones, the empty one, the same one several times in a row, resets between, in
// groups shorter and longer than what is looked up at once, one and several in a batch.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	c := newCounters()
	model := map[string]Value{}
	rng := rand.New(rand.NewPCG(1, 2))
	run := func(groups ...*Group) {
		c.run(groups...)
		for _, g := range groups {
			for i := range g.Ops {
				op := &g.Ops[i]
				v := model[string(op.Topic)]
				switch op.Kind {
				case Count:
					v.Sum++
					model[string(op.Topic)] = v
				case Reset:
					model[string(op.Topic)] = Value{Epoch: v.Epoch + 1}
				}
				if op.Err != nil || op.Sum != v.Sum || op.Epoch != v.Epoch {
					t.Fatalf("op %d of %d on %q: sum %d, epoch %d, %v; want %+v", i, len(g.Ops), op.Topic, op.Sum,
						op.Epoch, op.Err, v)
				}
			}
		}
	}
	for n := 0; c.Len() < prefetchTopics; n++ {
		run(&Group{Ops: []Op{{Kind: Count, Topic: fmt.Append(nil, n)}}})
	}
	topic := []byte("")
	for range 500 {
		longest := []int{1, 3, 4 * prefetchOps}[rng.IntN(3)]
		groups := make([]*Group, 1+rng.IntN(100/longest+1))
		for n := range groups {
			groups[n] = &Group{Ops: make([]Op, rng.IntN(longest+1))}
			for i := range groups[n].Ops {
				if rng.IntN(3) > 0 {
					topic = fmt.Append(nil, rng.IntN(2*prefetchTopics))
				}
				if rng.IntN(50) == 0 {
					topic = nil
				}
				kind := []Kind{Count, Count, Count, Read, Reset}[rng.IntN(5)]
				groups[n].Ops[i] = Op{Kind: kind, Topic: topic}
			}
		}
		run(groups...)
	}
	for topic, want := range model {
		if got, _ := c.Get([]byte(topic)); got != want {
			t.Errorf("%q is at %+v, want %+v", topic, got, want)
		}
	}
}

// Two topics with one hash are two topics, whichever of them was looked up.
func TestPrefetchCollision(t *testing.T) {
	t.Parallel()
	m := NewMachine()
	hash := uint64(1<<32 | 7)
	a, b := m.insert(hash, []byte("a")), m.insert(hash, []byte("b"))
	m.entry(a).sum.Store(1)
	m.entry(b).sum.Store(2)
	if got := m.candidate(hash); got != a+1 {
		t.Fatalf("candidate is %d, want %d", got, a+1)
	}
	if got := m.candidate(hash + 1<<8); got != 0 {
		t.Errorf("candidate of an unknown hash is %d", got)
	}
	seq := NewSequencer(m, Limits{})
	seq.Form(&List{})
	for topic, want := range map[string]uint64{"a": 1, "b": 2, "c": 0} {
		if v := seq.view([]byte(topic), lookup{hash: hash, ref: a + 1}); v.sum != want || string(v.topic) != topic {
			t.Errorf("%q is viewed as %+v", topic, *v)
		}
	}
}
