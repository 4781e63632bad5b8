package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"gcd/store/core"
)

// entrySteps is what an entry takes, in steps of a core.Yielder.
const entrySteps = 12

// Write puts entries of different topics into the file in one transaction and reads them back
// through another open. The log is durable up to index durable at least, which the file says from
// then on. It is quick where entries come in the order of keys. yield, if it is not nil, is called
// again and again, but by what bbolt does when it opens the file and commits.
func (f *File) Write(entries []Entry, durable uint64, yield func()) error {
	yielder := core.Yielder{Yield: yield}
	size := 0
	for i := range entries {
		if size += 3 * binary.MaxVarintLen64; len(entries[i].Topic) > core.MaxPlainTopic {
			size += len(entries[i].Topic)
		}
	}
	err := f.update(func(tx *bolt.Tx, m *Meta) error {
		sum := digestOf(m.Digest)
		b := tx.Bucket(bucketTopics)
		b.FillPercent = 0.9 // keys come in order
		present := orderedLookup{cursor: b.Cursor()}
		var key, scratch []byte
		values := make([]byte, 0, size)
		ends := make([]int, len(entries)) // of the values; bbolt keeps them until the commit
		for i := range entries {          // before any Put, which a cursor does not survive
			yielder.After(entrySteps, len(entries[i].Topic))
			begin := len(values)
			key, values = entries[i].key(key[:0]), entries[i].encode(values)
			ends[i] = len(values)
			if old := present.get(key); old != nil {
				sum.sub(entryHash(&scratch, key, old))
			} else {
				m.Count++
			}
			sum.add(entryHash(&scratch, key, values[begin:]))
		}
		begin := 0
		for i := range entries {
			yielder.After(entrySteps, len(entries[i].Topic))
			key = entries[i].key(key[:0])
			if err := b.Put(key, values[begin:ends[i]:ends[i]]); err != nil {
				return err
			}
			begin = ends[i]
		}
		m.Digest = sum.bytes()
		m.DurableAtLeast = max(m.DurableAtLeast, durable)
		return nil
	})
	if err != nil {
		return err
	}
	return f.view(func(tx *bolt.Tx) error {
		present := orderedLookup{cursor: tx.Bucket(bucketTopics).Cursor()}
		var key, value []byte
		for i := range entries {
			yielder.After(entrySteps, len(entries[i].Topic))
			key, value = entries[i].key(key[:0]), entries[i].encode(value[:0])
			if got := present.get(key); !bytes.Equal(got, value) {
				return f.damaged(fmt.Errorf("topic %.64q reads back as %x, written as %x", entries[i].Topic, got,
					value))
			}
		}
		return nil
	})
}

// orderedLookup finds keys in a bucket that nobody changes meanwhile. One that is next to the one
// before it in the bucket, too, costs a step instead of a search.
type orderedLookup struct {
	cursor *bolt.Cursor
	asked  []byte // the key before; nil: none
	k, v   []byte // where the cursor is: the first entry not before asked; nil: after the last
}

// get returns a key's value, valid as long as the transaction; nil if it is not there.
func (l *orderedLookup) get(key []byte) []byte {
	later := l.asked != nil && bytes.Compare(l.asked, key) < 0
	if later && bytes.Equal(l.k, l.asked) {
		l.k, l.v = l.cursor.Next()
	}
	if !later || l.k != nil && bytes.Compare(l.k, key) < 0 {
		l.k, l.v = l.cursor.Seek(key)
	}
	l.asked = append(l.asked[:0], key...)
	if !bytes.Equal(l.k, key) {
		return nil
	}
	return l.v
}
