package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// keyed is a topic's id with the eight bytes of the topic that its order hangs on now.
type keyed struct {
	word uint64 // big-endian, zeros behind the topic's end
	id   uint32
	rest uint8 // bytes of the topic in word, and 9 if there are more behind
}

// SortTopics orders ids of different topics as a snapshot does, by CompareTopics. topic returns the bytes of one, which stay. yield, if
// it is not nil, is called again and again.
//
// Comparing topics where they are would be two waits for memory per comparison. So eight bytes of each are brought together, sorted, and
// only topics that have them in common go on with the next eight (as in a multikey quicksort that caches; Bentley and
// Sedgewick, "Fast algorithms for sorting and searching strings", SODA 1997).
func SortTopics(ids []uint32, topic func(id uint32) []byte, yield func()) {
	s := sorter{topic: topic, breath: breath{yield: yield}}
	plain := make([]keyed, 0, len(ids))
	var long []hashed
	for _, id := range ids {
		t := topic(id)
		s.after(1, len(t))
		if len(t) > maxPlainKey {
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

// hashed is the id of a topic that is too long for a key, with what stands for it.
type hashed struct {
	sum [sha256.Size]byte
	id  uint32
}

// sorter is one SortTopics.
type sorter struct {
	topic func(id uint32) []byte
	breath
}

// sortFrom orders topics that have their first depth bytes in common.
func (s *sorter) sortFrom(list []keyed, depth int) {
	for i := range list {
		s.after(1, 0)
		list[i].load(s.topic(list[i].id)[depth:])
	}
	slices.SortFunc(list, func(a, b keyed) int {
		s.after(1, 0)
		// A topic that ends in word is a prefix of what else has the same word, which has zeros there.
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

// yieldWork is how much is done between two yields, in steps, of some 50 nanoseconds each: some 50 microseconds' work.
const yieldWork = 1024

// breath calls yield again and again while there is work.
type breath struct {
	yield func() // or nil
	work  int    // since the last call
}

// after is called after some steps, and so many bytes that were hashed or copied.
func (b *breath) after(steps, bytes int) {
	if b.work += steps + bytes/64; b.work >= yieldWork {
		b.work = 0
		if b.yield != nil {
			b.yield()
		}
	}
}
