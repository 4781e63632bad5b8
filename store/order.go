package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// keyed is a topic's id with the eight bytes of the topic that its order hangs on now.
type keyed struct {
	word uint64 // big-endian, zeros behind the topic's end
	id   uint32
	rest uint8 // bytes of the topic in word, and 9 if there are more behind
}

// sortByKey orders ids so that neighbours in the file are written together. Topics never change, so it needs no owner.
//
// Comparing topics where they are would be two waits for memory per comparison. So eight bytes of each are brought together, sorted, and
// only topics that have them in common go on with the next eight (as in a multikey quicksort that caches; Bentley and
// Sedgewick, "Fast algorithms for sorting and searching strings", SODA 1997).
func (s *Store) sortByKey(ids []uint32) {
	plain := make([]keyed, 0, len(ids))
	var long []uint32 // by their bytes, too, although their keys are hashes: any order is as good
	for _, id := range ids {
		if len(s.machine.topic(id)) > maxPlainKey {
			long = append(long, id)
		} else {
			plain = append(plain, keyed{id: id})
		}
	}
	s.sortFrom(plain, 0)
	for i := range plain {
		ids[i] = plain[i].id
	}
	slices.SortFunc(long, func(a, b uint32) int { return bytes.Compare(s.machine.topic(a), s.machine.topic(b)) })
	copy(ids[len(plain):], long)
}

// sortFrom orders topics that have their first depth bytes in common.
func (s *Store) sortFrom(list []keyed, depth int) {
	for i := range list {
		list[i].load(s.machine.topic(list[i].id)[depth:])
	}
	slices.SortFunc(list, func(a, b keyed) int {
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
