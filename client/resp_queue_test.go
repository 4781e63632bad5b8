package client

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The queue against a slice.
func TestQueueModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var q queue
	var model []*command
	for step := range 20_000 {
		cmd := &command{n: uint64(step)}
		growing := step/500%2 == 0
		add, old := (random.IntN(3) > 0) == growing, random.IntN(2) == 0
		switch {
		case add && old:
			q.unpop(cmd)
			model = slices.Insert(model, 0, cmd)
		case add:
			q.push(cmd)
			model = append(model, cmd)
		case step%97 == 0:
			odd := func(cmd *command) bool { return cmd.n%2 == 1 }
			q.keep(odd)
			model = slices.DeleteFunc(model, func(cmd *command) bool { return !odd(cmd) })
		case len(model) == 0:
		case old:
			if q.oldest() != model[0] || q.pop() != model[0] {
				t.Fatalf("step %d: the oldest is another", step)
			}
			model = model[1:]
		default:
			if q.unpush() != model[len(model)-1] {
				t.Fatalf("step %d: the youngest is another", step)
			}
			model = model[:len(model)-1]
		}
		if q.len() != len(model) {
			t.Fatalf("step %d: %d commands, want %d", step, q.len(), len(model))
		}
	}
}

// A queue keeps nothing alive that was taken out, and not the room of a burst.
func TestQueueLetsGo(t *testing.T) {
	t.Parallel()
	var q queue
	for range 2 * largestIdleRing {
		q.push(&command{})
	}
	for i := range 2 * largestIdleRing {
		if i%2 == 0 {
			q.pop()
		} else {
			q.unpush()
		}
		if i == largestIdleRing {
			kept := 0
			for _, cmd := range q.ring {
				if cmd != nil {
					kept++
				}
			}
			if kept != q.len() {
				t.Errorf("%d commands are kept, want %d", kept, q.len())
			}
		}
	}
	if q.ring != nil {
		t.Errorf("%d places are kept", len(q.ring))
	}
	q.push(&command{})
	if q.len() != 1 {
		t.Error("not usable any more")
	}
}
