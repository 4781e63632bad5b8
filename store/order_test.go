package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/wal"
)

// Topics come in the order of their keys, each once.
func TestSortTopics(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	m := newMachine()
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
		ids = append(ids, m.insert(m.hash([]byte(topic)), []byte(topic)))
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	SortTopics(ids, m.topic, nil)
	for i, id := range ids[1:] {
		if a, b := m.topic(ids[i]), m.topic(id); CompareTopics(a, b) >= 0 {
			t.Fatalf("%.64q comes before %.64q", a, b)
		}
	}
	if slices.Sort(ids); len(ids) != len(topics) || len(slices.Compact(ids)) != len(topics) {
		t.Error("they are not the same ids")
	}
}

func BenchmarkSortTopics(b *testing.B) {
	m := newMachine()
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
		SortTopics(ids, m.topic, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/topics, "ns/topic")
}

// Whoever sorts or writes topics yields again and again, of many short ones as of few long ones.
func TestYields(t *testing.T) {
	t.Parallel()
	file := snapshotFile{path: filepath.Join(t.TempDir(), snapshotName), hooks: hooks{noSync: true}}
	if err := file.create(vfs.OS{}, wal.ID{1}, false); err != nil {
		t.Fatal(err)
	}
	for name, topics := range map[string][][]byte{"short": make([][]byte, 5000), "long": make([][]byte, 20)} {
		ids, items := make([]uint32, len(topics)), make([]item, len(topics))
		for i := range topics {
			topics[i] = fmt.Appendf(nil, "%s %d", name, i)
			if name == "long" {
				topics[i] = append(topics[i], make([]byte, 60_000)...)
			}
			ids[i], items[i] = uint32(i), item{topic: topics[i]}
		}
		sorting, writing := 0, 0
		SortTopics(ids, func(id uint32) []byte { return topics[id] }, func() { sorting++ })
		if err := file.write(items, 5, func() { writing++ }); err != nil {
			t.Fatal(err)
		}
		if sorting < 10 || writing < 10 {
			t.Errorf("%s topics: %d and %d yields", name, sorting, writing)
		}
	}
}
