package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// entrySteps is what an entry takes, in steps of a breath.
const entrySteps = 12

// write puts items of different topics into the file in one transaction and reads them back through another open. It is quick where they come in
// the order of keys. yield, if it is not nil, is called again and again, but by what bbolt does when it opens the file and commits.
func (f *snapshotFile) write(items []item, witness uint64, yield func()) error {
	breath := breath{yield: yield}
	size := 0
	for i := range items {
		if size += 3 * binary.MaxVarintLen64; len(items[i].topic) > maxPlainKey {
			size += len(items[i].topic)
		}
	}
	err := f.update(func(tx *bolt.Tx, m *meta) error {
		b := tx.Bucket(bucketTopics)
		b.FillPercent = 0.9 // keys come in order
		present := ascent{cursor: b.Cursor()}
		var key, scratch []byte
		values := make([]byte, 0, size)
		ends := make([]int, len(items)) // of the values; bbolt keeps them until the commit
		for i := range items {          // before any Put, which a cursor does not survive
			breath.after(entrySteps, len(items[i].topic))
			begin := len(values)
			key, values = items[i].key(key[:0]), items[i].encode(values)
			ends[i] = len(values)
			if old := present.get(key); old != nil {
				m.digest.sub(entryHash(&scratch, key, old))
			} else {
				m.count++
			}
			m.digest.add(entryHash(&scratch, key, values[begin:]))
		}
		begin := 0
		for i := range items {
			breath.after(entrySteps, len(items[i].topic))
			key = items[i].key(key[:0])
			if err := b.Put(key, values[begin:ends[i]:ends[i]]); err != nil {
				return err
			}
			begin = ends[i]
		}
		m.witness = max(m.witness, witness)
		return nil
	})
	if err != nil {
		return err
	}
	return f.view(func(tx *bolt.Tx) error {
		present := ascent{cursor: tx.Bucket(bucketTopics).Cursor()}
		var key, value []byte
		for i := range items {
			breath.after(entrySteps, len(items[i].topic))
			key, value = items[i].key(key[:0]), items[i].encode(value[:0])
			if got := present.get(key); !bytes.Equal(got, value) {
				return f.damaged(fmt.Errorf("topic %.64q reads back as %x, written as %x", items[i].topic, got, value))
			}
		}
		return nil
	})
}

// ascent finds keys in a bucket that nobody changes meanwhile. One that is next to the one before it in the bucket, too, costs a step instead of a search.
type ascent struct {
	cursor *bolt.Cursor
	asked  []byte // the key before; nil: none
	k, v   []byte // where the cursor is: the first entry that is not before asked; nil: behind the last
}

// get returns a key's value, valid as long as the transaction; nil if it is not there.
func (a *ascent) get(key []byte) []byte {
	behind := a.asked != nil && bytes.Compare(a.asked, key) < 0
	if behind && bytes.Equal(a.k, a.asked) {
		a.k, a.v = a.cursor.Next()
	}
	if !behind || a.k != nil && bytes.Compare(a.k, key) < 0 {
		a.k, a.v = a.cursor.Seek(key)
	}
	a.asked = append(a.asked[:0], key...)
	if !bytes.Equal(a.k, key) {
		return nil
	}
	return a.v
}
