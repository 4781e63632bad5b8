package loadgen

import (
	"math/rand/v2"
	"sync/atomic"
)

// topics chooses topics for one goroutine.
type topics struct {
	thread int
	dist   Dist
	count  uint64
	random *rand.Rand
	zipf   *rand.Zipf
	next   *atomic.Uint64 // of Sequential, shared by all goroutines
}

func newTopics(o *Options, thread, client int, next *atomic.Uint64) *topics {
	t := &topics{thread: thread, dist: o.Dist, count: o.Topics, next: next}
	t.random = rand.New(rand.NewPCG(o.Seed, uint64(thread)<<32|uint64(client)))
	if o.Dist == Zipf {
		t.zipf = rand.NewZipf(t.random, ZipfExponent, 1, o.Topics-1)
	}
	return t
}

// choose returns the number of a topic.
func (t *topics) choose() uint64 {
	switch {
	case t.count == 1:
		return 0
	case t.dist == Sequential:
		return (t.next.Add(1) - 1) % t.count
	case t.dist == Zipf:
		return t.zipf.Uint64()
	}
	return t.random.Uint64N(t.count)
}
