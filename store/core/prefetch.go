package core

import "bytes"

const (
	// prefetchOps is how many ops are looked up at once: more than a processor has loads under way,
	// few enough to stay in its first cache.
	prefetchOps = 32
	// prefetchTopics is how many topics there must be for it: fewer are in a cache already.
	prefetchTopics = 4096
)

// prefetch looks the topics of the next ops of a batch up, all of them together.
//
// When topics are many, what a count costs is the wait for memory: a topic's slot, its entry, its
// name and its mark are four places, and each of them says where the next one is. One op after the
// other, that is four waits per op. Here each stage visits one of the places for all ops; they do
// not depend on each other, so the processor waits for many at once. (The idea is group
// prefetching: Chen, Ailamaki, Gibbons, Mowry, "Improving hash join performance through
// prefetching", ICDE 2004.)
type prefetch struct {
	found   [prefetchOps]lookup
	n, at   int    // how many of found are known, and how many of these were asked for
	touched uint64 // of use to nobody, so that the loads are not optimized away
}

// lookup is what is known of an op's topic.
type lookup struct {
	hash uint64 // 0 = not known: the op before has the same topic
	ref  uint32 // id+1 of an entry that may be the topic's; 0 = none is known
}

// next returns what is known of the topic of a group's op at pos. It has to be called for each op
// of a batch, in their order. When no more ops are looked up, it looks up the next ones, in this
// group and those after it.
func (l *prefetch) next(t *table, g *Group) lookup {
	if l.at == l.n {
		l.over(t, g)
	}
	l.at++
	return l.found[l.at-1]
}

// forget is for the beginning of a batch.
func (l *prefetch) forget() { l.n, l.at = 0, 0 }

// over looks up the next ops: those from pos on of a group that has one there, and of the groups
// after it.
func (l *prefetch) over(t *table, g *Group) {
	l.forget()
	var before []byte
	for ; g != nil && l.n < prefetchOps; g = g.next {
		ops := g.Ops[g.pos:]
		for i := range ops[:min(len(ops), prefetchOps-l.n)] {
			topic := ops[i].Topic
			if l.found[l.n] = (lookup{}); l.n == 0 || !bytes.Equal(topic, before) {
				l.found[l.n].hash = t.hash(topic)
			}
			before = topic
			l.n++
		}
	}
	if t.Len() >= prefetchTopics {
		l.visit(t, l.found[:l.n])
	}
}

// visit has everything that the topics need brought into the cache, and notes their entries.
func (l *prefetch) visit(t *table, found []lookup) {
	var touched uint64
	for i := range found {
		if s := &t.shards[found[i].hash>>(64-shardBits)]; len(s.slots) > 0 {
			touched += s.slots[uint32(found[i].hash)&uint32(len(s.slots)-1)]
		}
	}
	for i := range found {
		if found[i].hash != 0 {
			found[i].ref = t.candidate(found[i].hash)
		}
	}
	var names [prefetchOps]uint64
	for i := range found {
		if ref := found[i].ref; ref != 0 {
			names[i] = t.entry(ref - 1).topic
			touched += t.marked(ref - 1)
		}
	}
	arenas := *t.arenas.Load()
	for i := range found {
		if found[i].ref != 0 {
			if name := unpackName(names[i]); name.length > 0 {
				touched += uint64(arenas[name.arena][name.offset])
			}
		}
	}
	l.touched = touched
}
