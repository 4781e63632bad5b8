package core

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
		change Change
		want   Value
		ok     bool
	}{
		{"count that follows", Value{4, 2}, Change{Epoch: 2, Sum: 4, N: 3}, Value{7, 2}, true},
		{"count held already", Value{7, 2}, Change{Epoch: 2, Sum: 4, N: 3}, Value{7, 2}, true},
		{"count held long ago", Value{70, 2}, Change{Epoch: 2, Sum: 4, N: 3}, Value{70, 2}, true},
		{"count held in part", Value{6, 2}, Change{Epoch: 2, Sum: 4, N: 3}, Value{}, false},
		{"count after a gap", Value{3, 2}, Change{Epoch: 2, Sum: 4, N: 3}, Value{}, false},
		{"count of an older epoch", Value{1, 3}, Change{Epoch: 2, Sum: 4, N: 3}, Value{1, 3}, true},
		{"count of a later epoch", Value{4, 1}, Change{Epoch: 2, Sum: 4, N: 3}, Value{}, false},
		{"first count of a later epoch", Value{4, 1}, Change{Epoch: 2, N: 3}, Value{}, false},
		{"count to the end", Value{max - 1, 0}, Change{Sum: max - 1, N: 1}, Value{max, 0}, true},
		{"reset that follows", Value{4, 2}, Change{Epoch: 2, Sum: 4}, Value{0, 3}, true},
		{"reset held already", Value{0, 3}, Change{Epoch: 2, Sum: 4}, Value{0, 3}, true},
		{"reset of another sum", Value{5, 2}, Change{Epoch: 2, Sum: 4}, Value{}, false},
		{"reset of an earlier sum", Value{3, 2}, Change{Epoch: 2, Sum: 4}, Value{}, false},
		{"reset of a later epoch", Value{0, 1}, Change{Epoch: 2}, Value{}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := NewMachine()
			topic := []byte("topic")
			l := m.Loader()
			l.Add(topic, row.at)
			l.Finish(0)
			row.change.Topic = topic
			for range 2 { // through the live path and through the bytes of a record
				err := m.Apply(9, []Change{row.change})
				if (err == nil) != row.ok {
					t.Fatalf("apply: %v", err)
				}
				err = m.Replay(9, batch, row.change.Append(nil))
				if (err == nil) != row.ok {
					t.Fatalf("replay: %v", err)
				}
			}
			if got, _ := m.Get(topic); row.ok && got != row.want {
				t.Fatalf("%+v, want %+v", got, row.want)
			}
		})
	}
}

func TestApplyToUnknownTopic(t *testing.T) {
	t.Parallel()
	m := NewMachine()
	if err := m.Apply(1,
		[]Change{{Topic: []byte("a"), N: 5}, {Topic: []byte("b")}, {Topic: []byte("")},
			{Topic: []byte(""), Epoch: 1, N: 2}}); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]Value{"a": {5, 0}, "b": {0, 1}, "": {2, 1}} {
		if got, ok := m.Get([]byte(topic)); !ok || got != want {
			t.Errorf("%q: %+v %v, want %+v", topic, got, ok, want)
		}
	}
	if err := m.Apply(2, []Change{{Topic: []byte("c"), Sum: 1, N: 5}}); err == nil {
		t.Error("a count from 1 was applied to a topic that is not there")
	}
}

// FuzzReplay feeds arbitrary bytes to the decoder: no panic, and what decodes is what append
// writes.
func FuzzReplay(f *testing.F) {
	for _, c := range []Change{{Topic: []byte("orders"), Epoch: 1, Sum: 300, N: 64},
		{Topic: []byte(""), Epoch: 0, Sum: 0}, {Topic: bytes.Repeat([]byte("x"), 200), N: math.MaxUint64}} {
		b := c.Append(nil)
		if len(b) != c.size() {
			f.Fatalf("size %d, but %d bytes", c.size(), len(b))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := NewMachine().Replay(1, batch, b); err == nil && len(b) == 0 {
			t.Fatal("an empty batch was applied")
		}
		for len(b) > 0 {
			c, rest, err := decodeChange(batch, b)
			if err != nil {
				if c.Topic != nil || rest != nil {
					t.Fatal("something was returned beside an error")
				}
				return
			}
			again, left, err := decodeChange(batch, c.Append(nil))
			if err != nil || len(left) != 0 || !bytes.Equal(again.Topic, c.Topic) || again.Epoch != c.Epoch ||
				again.Sum != c.Sum || again.N != c.N {
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
			m := NewMachine()
			sums := make([]uint64, bench.topics)
			topics := make([][]byte, bench.topics)
			for i := range topics {
				topics[i] = []byte("counter:" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) +
					string(rune(0x4e00+i/676)))
			}
			changes := make([]Change, 1)
			b.ReportAllocs()
			i, index := 0, uint64(0)
			for b.Loop() {
				i = (i*1664525 + 1013904223) % bench.topics
				if i < 0 {
					i = -i
				}
				index++
				changes[0] = Change{Topic: topics[i], Sum: sums[i], N: 1}
				if err := m.Apply(index, changes); err != nil {
					b.Fatal(err)
				}
				sums[i]++
			}
		})
	}
}
