package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Plain topics come in the order of their keys, each once, and long ones behind them.
func TestSortByKey(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	s := &Store{machine: newMachine()}
	topics := map[string]bool{"": true, strings.Repeat("x", maxPlainKey): true, strings.Repeat("x", maxPlainKey+1): true}
	for range 5000 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = "\x00\x00\x00a\xff"[rng.IntN(5)] // many have much in common, zeros above all
		}
		topics[string(b)] = true
	}
	for n := range 20 {
		topics[strings.Repeat("y", maxPlainKey-10+n)] = true
	}
	var ids []uint32
	for topic := range topics {
		ids = append(ids, s.machine.insert(s.machine.hash([]byte(topic)), []byte(topic)))
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	s.sortByKey(ids)
	plain := slices.IndexFunc(ids, func(id uint32) bool { return len(s.machine.topic(id)) > maxPlainKey })
	for i, id := range ids[1:] {
		a, b := s.machine.topic(ids[i]), s.machine.topic(id)
		if i+1 != plain && bytes.Compare(a, b) >= 0 || i+1 > plain && len(b) <= maxPlainKey {
			t.Fatalf("%.64q comes before %.64q", a, b)
		}
	}
	if slices.Sort(ids); len(ids) != len(topics) || len(slices.Compact(ids)) != len(topics) {
		t.Error("they are not the same ids")
	}
}

func BenchmarkSortByKey(b *testing.B) {
	s := &Store{machine: newMachine()}
	const topics = 1 << 20
	for i := range topics {
		topic := fmt.Appendf(nil, "key:%012d", i*7919%topics)
		s.machine.insert(s.machine.hash(topic), topic)
	}
	ids := make([]uint32, topics)
	for b.Loop() {
		for i := range ids {
			ids[i] = uint32(i)
		}
		s.sortByKey(ids)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/topics, "ns/topic")
}
