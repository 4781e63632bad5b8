package core

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestFits: each change at its longest, and each that there may be.
func TestFits(t *testing.T) {
	t.Parallel()
	const one = 1 + MaxChangeLen
	for _, c := range []struct {
		ops     string // c counts, r resets, d deletes, g reads, s is a Size; each before its topic
		changes int
	}{
		{"", 0}, {"ca", 1}, {"ca ca ca", 1}, {"ca cb ca cb", 2}, {"ca ra", 2}, {"ca ra ca", 3}, {"ca da ca ca",
			3}, {"ca rb ca", 2},
		{"ra ra", 2}, {"da da", 2}, {"ga gb sa", 0}, {"ca ga ca", 1}, {"ra ca ca", 2}, {"cb ca ra ca cb", 4},
	} {
		var ops []Op
		for _, op := range strings.Fields(c.ops) {
			kind := map[byte]Kind{'c': Count, 'r': Reset, 'd': Delete, 'g': Read, 's': Size}[op[0]]
			ops = append(ops, Op{Kind: kind, Topic: []byte(op[1:])})
		}
		if !fits(ops, c.changes*one) {
			t.Errorf("%q does not fit as %d changes", c.ops, c.changes)
		}
		if c.changes > 0 && fits(ops, c.changes*one-1) {
			t.Errorf("%q fits a byte less than %d changes", c.ops, c.changes)
		}
	}
}

// TestWholeVersionIsOddMeanwhile: from before the first change of a whole group comes into effect
// until after the last one WholeVersion is odd. The group is held up between two of its topics, by
// a reader of where the second one is to be entered.
func TestWholeVersionIsOddMeanwhile(t *testing.T) {
	t.Parallel()
	c := newCounters()
	count := func(topics ...string) *Group {
		g := &Group{Whole: true}
		for _, topic := range topics {
			g.Ops = append(g.Ops, Op{Kind: Count, Topic: []byte(topic)})
		}
		return g
	}
	c.run(count("a"))
	before := c.WholeVersion()
	shard := func(topic string) uint64 { return c.hash([]byte(topic)) >> (64 - shardBits) }
	other := "b"
	for shard(other) == shard("a") {
		other += "b"
	}
	held := &c.shards[shard(other)].mu
	held.RLock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(count("a", other))
	}()
	sum := func(topic string) uint64 {
		v, _ := c.Get([]byte(topic))
		return v.Sum
	}
	for late := time.Now().Add(time.Minute); sum("a") != 2; runtime.Gosched() {
		if time.Now().After(late) {
			held.RUnlock()
			t.Fatal("the first topic is not counted")
		}
	}
	if v := c.WholeVersion(); v != before+1 || v%2 == 0 {
		t.Errorf("the version is %d between two topics, and was %d", v, before)
	}
	held.RUnlock()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the group is not in effect a minute after its way was free")
	}
	if v := c.WholeVersion(); v != before+2 || sum(other) != 1 {
		t.Errorf("the version is %d after the group, and was %d; the second topic is at %d", v, before,
			sum(other))
	}
}
