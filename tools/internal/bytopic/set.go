package bytopic

import (
	"bytes"
	"hash/maphash"

	"gcd/store/core"
)

// topicSize is about what a topic takes in memory beside its bytes and its value, in bytes: its
// place in the list and in the index, and what sorting needs.
const topicSize = 80

// set is topics in memory, each with one value or more. V has no pointers, so that the garbage
// collector has next to nothing to look at, however many they are.
type set[V any] struct {
	seed   maphash.Seed
	index  map[uint64]uint32 // hash → 1 + place of the topic that came last of those that have it
	topics []topic
	values []value[V]
	bytes  []byte // of the topics, one after the other
}

type topic struct {
	at, length  uint32 // of its bytes
	next        uint32 // 1 + place of another topic that has the same hash; 0: none
	first, last uint32 // places of its values
}

type value[V any] struct {
	v     V
	later uint32 // place of the topic's next value, if this is not its last one
}

// newSet makes an empty set that grows without being copied up to a number of topics. Memory that
// is not needed for them is not touched.
func newSet[V any](most int) set[V] {
	return set[V]{
		seed: maphash.MakeSeed(), index: map[uint64]uint32{},
		topics: make([]topic, 0, most), values: make([]value[V], 0, most),
	}
}

func (s *set[V]) topic(i uint32) []byte {
	t := &s.topics[i]
	return s.bytes[t.at : t.at+t.length : t.at+t.length]
}

func (s *set[V]) hash(topic []byte) uint64 { return maphash.Bytes(s.seed, topic) }

// find returns a topic, which may be changed until something is added; nil if it is not there.
func (s *set[V]) find(hash uint64, name []byte) *topic {
	for next := s.index[hash]; next > 0; next = s.topics[next-1].next {
		if bytes.Equal(s.topic(next-1), name) {
			return &s.topics[next-1]
		}
	}
	return nil
}

// insert adds a topic that is not there, with its first value. Its bytes are copied.
func (s *set[V]) insert(hash uint64, name []byte, v V) *V {
	place := uint32(len(s.values))
	s.topics = append(s.topics, topic{
		at: uint32(len(s.bytes)), length: uint32(len(name)), next: s.index[hash], first: place, last: place,
	})
	s.bytes = append(s.bytes, name...)
	s.values = append(s.values, value[V]{v: v})
	s.index[hash] = uint32(len(s.topics))
	return &s.values[place].v
}

// append adds one more value to a topic that is there.
func (s *set[V]) append(t *topic, v V) {
	place := uint32(len(s.values))
	s.values = append(s.values, value[V]{v: v})
	s.values[t.last].later, t.last = place, place
}

// sorted is the places of all topics, in the order of keys.
func (s *set[V]) sorted() []uint32 {
	list := make([]uint32, len(s.topics))
	for i := range list {
		list[i] = uint32(i)
	}
	core.SortTopics(list, s.topic, nil)
	return list
}

// clear makes the set empty. Its memory is kept for what comes.
func (s *set[V]) clear() {
	clear(s.index)
	s.topics, s.values, s.bytes = s.topics[:0], s.values[:0], s.bytes[:0]
}
