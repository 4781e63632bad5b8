package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Topics come in the order of their keys, each once.
func TestSortTopics(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	m := NewMachine()
	topics := map[string]bool{"": true, strings.Repeat("x", MaxPlainTopic): true,
		strings.Repeat("x", MaxPlainTopic+1): true}
	for range 5000 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = "\x00\x00\x00a\xff"[rng.IntN(5)] // many have much in common, zeros above all
		}
		topics[string(b)] = true
	}
	for n := range 20 {
		topics[strings.Repeat("y", MaxPlainTopic-10+n)] = true
	}
	var ids []uint32
	for topic := range topics {
		ids = append(ids, m.insert(m.hash([]byte(topic)), []byte(topic)))
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	SortTopics(ids, m.Topic, nil)
	for i, id := range ids[1:] {
		if a, b := m.Topic(ids[i]), m.Topic(id); CompareTopics(a, b) >= 0 {
			t.Fatalf("%.64q comes before %.64q", a, b)
		}
	}
	if slices.Sort(ids); len(ids) != len(topics) || len(slices.Compact(ids)) != len(topics) {
		t.Error("they are not the same ids")
	}
}

func BenchmarkSortTopics(b *testing.B) {
	m := NewMachine()
	const topics = 1 << 20
	for i := range topics {
		topic := fmt.Appendf(nil, "key:%012d", i*7919%topics)
		m.insert(m.hash(topic), topic)
	}
	ids := make([]uint32, topics)
	for b.Loop() {
		for i := range ids {
			ids[i] = uint32(i)
		}
		SortTopics(ids, m.Topic, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/topics, "ns/topic")
}

// Whoever sorts topics yields again and again, of many short ones as of few long ones.
func TestSortYields(t *testing.T) {
	t.Parallel()
	for name, topics := range map[string][][]byte{"short": make([][]byte, 5000), "long": make([][]byte, 20)} {
		ids := make([]uint32, len(topics))
		for i := range topics {
			topics[i] = fmt.Appendf(nil, "%s %d", name, i)
			if name == "long" {
				topics[i] = append(topics[i], make([]byte, 60_000)...)
			}
			ids[i] = uint32(i)
		}
		yields := 0
		SortTopics(ids, func(id uint32) []byte { return topics[id] }, func() { yields++ })
		if yields < 10 {
			t.Errorf("%s topics: %d yields", name, yields)
		}
	}
}
