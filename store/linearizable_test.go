package store

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gcd/store/core"
)

// counterOp and counterResult are what a client asked and was answered; the model is one topic.
type counterOp struct {
	kind  core.Kind
	topic string
}

type counterResult struct{ sum, epoch uint64 }

var counterModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byTopic := map[string][]porcupine.Operation{}
		for _, op := range history {
			topic := op.Input.(counterOp).topic
			byTopic[topic] = append(byTopic[topic], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byTopic {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return core.Value{} },
	Step: func(state, input, output any) (bool, any) {
		v, got := state.(core.Value), output.(counterResult)
		switch input.(counterOp).kind {
		case core.Count:
			v.Sum++
			return got == counterResult{v.Sum, v.Epoch}, v
		case core.Reset:
			return got == counterResult{v.Sum, v.Epoch}, core.Value{Epoch: v.Epoch + 1}
		default:
			return got == counterResult{v.Sum, v.Epoch}, v
		}
	},
}

// TestLinearizable runs clients against each other through every way into the store, the lock-free
// reads among them, and has porcupine look for an order of each topic's ops that explains all
// answers.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir(), Options{SegmentSize: 256 << 10, SnapshotBytes: 16 << 10})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var history []porcupine.Operation
	began := time.Now()
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(client)))
			for range 150 {
				op := counterOp{kind: core.Count, topic: string(rune('a' + r.IntN(3)))}
				switch r.IntN(8) {
				case 0:
					op.kind = core.Reset
				case 1, 2:
					op.kind = core.Read
				}
				call := time.Since(began)
				var got counterResult
				if op.kind == core.Read && client%2 == 0 {
					v := get(s, op.topic)
					got = counterResult{v.Sum, v.Epoch}
				} else {
					done := make(chan struct{})
					g := &core.Group{Ops: []core.Op{{Kind: op.kind, Topic: []byte(op.topic)}},
						Done: func(*core.Group) { close(done) }}
					if client < 4 {
						s.Submit(g)
					} else if s.Enqueue(g) {
						s.Round()
					}
					if _, ok := comes(t, "the outcome of a group", done); !ok {
						return
					}
					if g.Ops[0].Err != nil {
						t.Error(g.Ops[0].Err)
						return
					}
					got = counterResult{g.Ops[0].Sum, g.Ops[0].Epoch}
				}
				returned := time.Since(began)
				mu.Lock()
				history = append(history,
					porcupine.Operation{ClientId: client, Input: op, Call: int64(call), Output: got,
						Return: int64(returned)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !porcupine.CheckOperations(counterModel, history) {
		t.Errorf("seed %d: no order of %d ops explains their answers", seed, len(history))
	}
}
