package core

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// keyed is a topic's id, with the eight bytes of the topic that are compared next.
type keyed struct {
	word uint64 // big-endian; beyond the topic's end it has zeros
	id   uint32
	rest uint8 // bytes of the topic in word; 9 if the topic goes on after them
}

// MaxPlainTopic is the longest topic, in bytes, that is ordered by its own bytes.
const MaxPlainTopic = 1024

// CompareTopics orders topics as a snapshot does, by their keys: the short ones, of MaxPlainTopic
// bytes at most, byte by byte, then the long ones by their SHA-256.
func CompareTopics(a, b []byte) int {
	switch longA, longB := len(a) > MaxPlainTopic, len(b) > MaxPlainTopic; {
	case !longA && !longB:
		return bytes.Compare(a, b)
	case !longA:
		return -1
	case !longB:
		return 1
	}
	sumA, sumB := sha256.Sum256(a), sha256.Sum256(b)
	return bytes.Compare(sumA[:], sumB[:])
}

// SortTopics orders ids of different topics as a snapshot does, by CompareTopics. topic returns the
// bytes of one, which stay. yield, if it is not nil, is called again and again.
//
// Comparing topics where they are would be two waits for memory per comparison. So eight bytes of
// each are brought together, sorted, and only topics that have them in common go on with the next
// eight (as in a multikey quicksort that caches; Bentley and Sedgewick, "Fast algorithms for
// sorting and searching strings", SODA 1997).
func SortTopics(ids []uint32, topic func(id uint32) []byte, yield func()) {
	s := sorter{topic: topic, Yielder: Yielder{Yield: yield}}
	plain := make([]keyed, 0, len(ids))
	var long []hashed
	for _, id := range ids {
		t := topic(id)
		s.After(1, len(t))
		if len(t) > MaxPlainTopic {
			long = append(long, hashed{sha256.Sum256(t), id})
		} else {
			plain = append(plain, keyed{id: id})
		}
	}
	s.sortFrom(plain, 0)
	for i := range plain {
		ids[i] = plain[i].id
	}
	slices.SortFunc(long, func(a, b hashed) int { return bytes.Compare(a.sum[:], b.sum[:]) })
	for i := range long {
		ids[len(plain)+i] = long[i].id
	}
}

// hashed is the id of a topic longer than MaxPlainTopic, with the hash that is compared.
type hashed struct {
	sum [sha256.Size]byte
	id  uint32
}

// sorter is one SortTopics.
type sorter struct {
	topic func(id uint32) []byte
	Yielder
}

// sortFrom orders topics that have their first depth bytes in common.
func (s *sorter) sortFrom(list []keyed, depth int) {
	for i := range list {
		s.After(1, 0)
		list[i].load(s.topic(list[i].id)[depth:])
	}
	slices.SortFunc(list, func(a, b keyed) int {
		s.After(1, 0)
		// A topic that ends in word is a prefix of what else has the same word, which has zeros
		// there.
		return cmp.Or(cmp.Compare(a.word, b.word), cmp.Compare(a.rest, b.rest))
	})
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].word == list[0].word && list[n].rest == list[0].rest {
			n++
		}
		if n > 1 { // topics are unique, so these are longer
			s.sortFrom(list[:n], depth+8)
		}
		list = list[n:]
	}
}

func (k *keyed) load(topic []byte) {
	if len(topic) > 8 {
		k.word, k.rest = binary.BigEndian.Uint64(topic), 9
		return
	}
	var b [8]byte
	copy(b[:], topic)
	k.word, k.rest = binary.BigEndian.Uint64(b[:]), uint8(len(topic))
}

// yieldWork is how much is done between two yields, in steps, of some 50 nanoseconds each: some 50
// microseconds' work.
const yieldWork = 1024

// Yielder has other work come first, again and again, in work of seconds.
type Yielder struct {
	Yield func() // or nil
	work  int    // since the last call
}

// After is called after some steps, and so many bytes that were hashed or copied.
func (y *Yielder) After(steps, bytes int) {
	if y.work += steps + bytes/64; y.work >= yieldWork {
		y.work = 0
		if y.Yield != nil {
			y.Yield()
		}
	}
}
