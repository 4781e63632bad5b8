package core

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"gcd/internal/thin"
)

// TestTableModel inserts hostile and ordinary topics and holds the table against a map.
func TestTableModel(t *testing.T) {
	t.Parallel()
	tab := newTable()
	model := map[string]uint32{}
	add := func(topic string) {
		h := tab.hash([]byte(topic))
		if _, ok := tab.find(h, []byte(topic)); ok {
			t.Fatalf("found %.40q before it was inserted", topic)
		}
		model[topic] = tab.insert(h, []byte(topic))
	}
	for _, topic := range []string{"", "\x00", "\x00\x00", "a", "a\n", strings.Repeat("x", 4096),
		strings.Repeat("y", MaxTopicLen), "日本語"} {
		add(topic)
	}
	for i := range 50_000 {
		add(fmt.Sprintf("topic-%d", i))
	}
	for i := range 40 { // long topics cross the borders of arenas
		add(fmt.Sprintf("%d%s", i, strings.Repeat("z", MaxTopicLen-10)))
	}
	if tab.Len() != len(model) {
		t.Fatalf("%d topics, want %d", tab.Len(), len(model))
	}
	for topic, id := range model {
		got, ok := tab.find(tab.hash([]byte(topic)), []byte(topic))
		if !ok || got != id || string(tab.Topic(id)) != topic {
			t.Fatalf("topic %.40q: id %d %v, want %d; kept as %.40q", topic, got, ok, id, tab.Topic(id))
		}
	}
	if _, ok := tab.Get([]byte("topic-50000")); ok {
		t.Fatal("found a topic that was never inserted")
	}
}

// TestReadersSeePairs resets and counts an entry while readers look: an epoch of one moment never
// comes with a sum of another, and no reader sees the entry go back. The writer counts each epoch
// from 0 to its number plus 7 in one step.
func TestReadersSeePairs(t *testing.T) {
	t.Parallel()
	epochs := uint64(300_000 / thin.Step(10))
	e := new(entry)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var before Value
			for before.Epoch < epochs {
				v := e.read()
				if v.Sum != 0 && v.Sum != v.Epoch+7 || v.Epoch < before.Epoch ||
					v.Epoch == before.Epoch && v.Sum < before.Sum {
					t.Errorf("sum %d in epoch %d, after sum %d in epoch %d", v.Sum, v.Epoch, before.Sum, before.Epoch)
					return
				}
				before = v
			}
		})
	}
	for epoch := range epochs {
		e.sum.Store(epoch + 7)
		for range 50 { // long enough to be seen: only who saw the sum can see it go back
			e.read()
		}
		e.reset(epoch + 1)
	}
	wg.Wait()
}

// TestReadersBesideInserts grows the table under readers; the race detector is the judge.
func TestReadersBesideInserts(t *testing.T) {
	t.Parallel()
	m := NewMachine()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				return
			default:
				m.Get(fmt.Appendf(nil, "k%d", r.IntN(5_000)))
			}
		}
	})
	for i := range 5_000 {
		if err := m.Apply(uint64(i+1), []Change{{Topic: fmt.Appendf(nil, "k%d", i), N: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if ids := m.TakeChanged(); len(ids) != 5_000 {
		t.Fatalf("%d topics are marked, want 5000", len(ids))
	}
}
