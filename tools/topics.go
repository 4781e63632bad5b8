package tools

import (
	"bytes"
	"hash/maphash"
	"io"

	"gcd/store"
)

// cellSize is about what a topic takes in memory beside its bytes and its value, in bytes: its cell, its place in the index, and a place in the list that is sorted.
const cellSize = 80

// topics is a set of topics with a value of each, in memory. V has no pointers, so that the garbage collector has next to nothing to look at however many they are.
type topics[V any] struct {
	seed  maphash.Seed
	index map[uint64]uint32 // hash → 1 + place of the cell that came last of those that have it
	cells []cell[V]
	bytes []byte // of the topics, one behind the other
}

type cell[V any] struct {
	at, length uint32 // of the topic in bytes
	next       uint32 // 1 + place of another one that has the same hash; 0: none
	value      V
}

// newTopics makes an empty set that grows without being copied up to a number of topics. Nothing of that is used before it is needed.
func newTopics[V any](most int) topics[V] {
	return topics[V]{seed: maphash.MakeSeed(), index: map[uint64]uint32{}, cells: make([]cell[V], 0, most)}
}

func (t *topics[V]) topic(i uint32) []byte {
	c := &t.cells[i]
	return t.bytes[c.at : c.at+c.length : c.at+c.length]
}

// find returns the value of a topic, which can be changed until something is added; nil if it is not there.
func (t *topics[V]) find(topic []byte) *V {
	for next := t.index[maphash.Bytes(t.seed, topic)]; next > 0; next = t.cells[next-1].next {
		if bytes.Equal(t.topic(next-1), topic) {
			return &t.cells[next-1].value
		}
	}
	return nil
}

// add adds a topic that is not there. It is copied.
func (t *topics[V]) add(topic []byte, value V) *V {
	hash := maphash.Bytes(t.seed, topic)
	t.cells = append(t.cells, cell[V]{at: uint32(len(t.bytes)), length: uint32(len(topic)), next: t.index[hash], value: value})
	t.bytes = append(t.bytes, topic...)
	t.index[hash] = uint32(len(t.cells))
	return &t.cells[len(t.cells)-1].value
}

// sorted is the places of all topics, in the order of keys.
func (t *topics[V]) sorted() []uint32 {
	list := make([]uint32, len(t.cells))
	for i := range list {
		list[i] = uint32(i)
	}
	store.SortTopics(list, t.topic, nil)
	return list
}

// inOrder returns what gives the topics with their values one by one, in the order of keys, and io.EOF behind the last.
func (t *topics[V]) inOrder() func() (topic []byte, value V, err error) {
	list := t.sorted()
	return func() (topic []byte, value V, err error) {
		if len(list) == 0 {
			return nil, value, io.EOF
		}
		i := list[0]
		list = list[1:]
		return t.topic(i), t.cells[i].value, nil
	}
}

// clear makes it empty. Its memory is kept for what comes.
func (t *topics[V]) clear() {
	clear(t.index)
	t.cells, t.bytes = t.cells[:0], t.bytes[:0]
}
