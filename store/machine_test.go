package store

import (
	"bytes"
	"math"
	"testing"
)

// TestApply has a row for each relation between a topic's state and a change.
func TestApply(t *testing.T) {
	t.Parallel()
	const max = math.MaxUint64
	for _, row := range []struct {
		name   string
		at     Value
		change change
		want   Value
		ok     bool
	}{
		{"count that follows", Value{4, 2}, change{epoch: 2, sum: 4, n: 3}, Value{7, 2}, true},
		{"count held already", Value{7, 2}, change{epoch: 2, sum: 4, n: 3}, Value{7, 2}, true},
		{"count held long ago", Value{70, 2}, change{epoch: 2, sum: 4, n: 3}, Value{70, 2}, true},
		{"count held in part", Value{6, 2}, change{epoch: 2, sum: 4, n: 3}, Value{}, false},
		{"count behind a gap", Value{3, 2}, change{epoch: 2, sum: 4, n: 3}, Value{}, false},
		{"count of an older epoch", Value{1, 3}, change{epoch: 2, sum: 4, n: 3}, Value{1, 3}, true},
		{"count of a later epoch", Value{4, 1}, change{epoch: 2, sum: 4, n: 3}, Value{}, false},
		{"first count of a later epoch", Value{4, 1}, change{epoch: 2, n: 3}, Value{}, false},
		{"count to the end", Value{max - 1, 0}, change{sum: max - 1, n: 1}, Value{max, 0}, true},
		{"reset that follows", Value{4, 2}, change{epoch: 2, sum: 4}, Value{0, 3}, true},
		{"reset held already", Value{0, 3}, change{epoch: 2, sum: 4}, Value{0, 3}, true},
		{"reset of another sum", Value{5, 2}, change{epoch: 2, sum: 4}, Value{}, false},
		{"reset of an earlier sum", Value{3, 2}, change{epoch: 2, sum: 4}, Value{}, false},
		{"reset of a later epoch", Value{0, 1}, change{epoch: 2}, Value{}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine()
			topic := []byte("topic")
			l := m.loader()
			l.add(topic, row.at)
			l.finish()
			row.change.topic = topic
			for range 2 { // through the live path and through the bytes of a record
				err := m.apply(9, []change{row.change})
				if (err == nil) != row.ok {
					t.Fatalf("apply: %v", err)
				}
				err = m.replay(9, row.change.append(nil))
				if (err == nil) != row.ok {
					t.Fatalf("replay: %v", err)
				}
			}
			if got, _ := m.get(topic); row.ok && got != row.want {
				t.Fatalf("%+v, want %+v", got, row.want)
			}
		})
	}
}

func TestApplyToUnknownTopic(t *testing.T) {
	t.Parallel()
	m := newMachine()
	if err := m.apply(1, []change{{topic: []byte("a"), n: 5}, {topic: []byte("b")}, {topic: []byte("")}, {topic: []byte(""), epoch: 1, n: 2}}); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]Value{"a": {5, 0}, "b": {0, 1}, "": {2, 1}} {
		if got, ok := m.get([]byte(topic)); !ok || got != want {
			t.Errorf("%q: %+v %v, want %+v", topic, got, ok, want)
		}
	}
	if err := m.apply(2, []change{{topic: []byte("c"), sum: 1, n: 5}}); err == nil {
		t.Error("a count from 1 was applied to a topic that is not there")
	}
}

// FuzzReplay feeds arbitrary bytes to the decoder: no panic, and what decodes is what append writes.
func FuzzReplay(f *testing.F) {
	for _, c := range []change{{topic: []byte("orders"), epoch: 1, sum: 300, n: 64}, {topic: []byte(""), epoch: 0, sum: 0}, {topic: bytes.Repeat([]byte("x"), 200), n: math.MaxUint64}} {
		b := c.append(nil)
		if len(b) != c.size() {
			f.Fatalf("size %d, but %d bytes", c.size(), len(b))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := newMachine().replay(1, b); err == nil && len(b) == 0 {
			t.Fatal("an empty batch was applied")
		}
		for len(b) > 0 {
			c, rest, err := decodeChange(b)
			if err != nil {
				if c.topic != nil || rest != nil {
					t.Fatal("something was returned beside an error")
				}
				return
			}
			again, left, err := decodeChange(c.append(nil))
			if err != nil || len(left) != 0 || !bytes.Equal(again.topic, c.topic) || again.epoch != c.epoch || again.sum != c.sum || again.n != c.n {
				t.Fatalf("%+v became %+v: %v", c, again, err)
			}
			b = rest
		}
	})
}

func BenchmarkApply(b *testing.B) {
	for _, bench := range []struct {
		name   string
		topics int
	}{{"1_topic", 1}, {"1M_topics", 1 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			m := newMachine()
			sums := make([]uint64, bench.topics)
			topics := make([][]byte, bench.topics)
			for i := range topics {
				topics[i] = []byte("counter:" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune(0x4e00+i/676)))
			}
			changes := make([]change, 1)
			b.ReportAllocs()
			i, index := 0, uint64(0)
			for b.Loop() {
				i = (i*1664525 + 1013904223) % bench.topics
				if i < 0 {
					i = -i
				}
				index++
				changes[0] = change{topic: topics[i], sum: sums[i], n: 1}
				if err := m.apply(index, changes); err != nil {
					b.Fatal(err)
				}
				sums[i]++
			}
		})
	}
}
