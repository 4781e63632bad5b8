// Package snapshot is the file counters.db, in which a store keeps its counters so that a start
// need not read all of the log: what it says of itself and one entry for each topic, in bbolt.
//
// A running store changes its file in place; tools read it, check it, and build new ones. Nothing
// in the file is believed that was not checked: bbolt trusts the offsets in its pages, so a walk of
// our own comes before it.
package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	bolt "go.etcd.io/bbolt"

	"gcd/store/core"
	"gcd/wal"
)

const (
	// FileName is the file's in a store's directory.
	FileName = "counters.db"
	// HalfMade is what the name of a file that is being made has after that.
	HalfMade = ".new"
	// TransactionEntries is how many entries are written in one transaction.
	TransactionEntries = 10_000
)

// The file's format; docs/storage.md, "The snapshot".
const (
	format = 1

	keyPlain  byte = 0x01 // followed by the topic
	keyHashed byte = 0x02 // followed by the topic's SHA-256; the topic is in the value
)

var (
	bucketMeta   = []byte("meta")
	bucketTopics = []byte("topics")

	keyFormat         = []byte("format")
	keyStore          = []byte("store")
	keyState          = []byte("state")
	keyDurableAtLeast = []byte("witness")
	keyReplay         = []byte("replay")
	keyCount          = []byte("count")
	keyDigest         = []byte("digest")
	keyMark           = []byte("mark")
)

// State says what a store's last process did to it.
type State uint8

// The states, as they are in the file; docs/storage.md has them.
const (
	StateCreating State = 1 // its first start was interrupted
	StateOpen     State = 2 // it is in use, or was not closed
	StateClosed   State = 3 // it was closed, and nothing came since
)

// String is the state in a word or two.
func (s State) String() string {
	switch s {
	case StateCreating:
		return "being created"
	case StateOpen:
		return "open"
	case StateClosed:
		return "closed cleanly"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Meta is what the file says of itself.
type Meta struct {
	Store          wal.ID
	State          State
	DurableAtLeast uint64       // the log reaches at least this index, or records of it are lost
	Replay         uint64       // every record up to this index is in the entries
	Count          uint64       // entries
	Digest         [16]byte     // of the entries, big-endian; docs/storage.md says how it is made
	Mark           wal.MarkNote // as it was read; put does not write it
}

// same says whether two say the same of the entries, the store and its log.
func (m Meta) same(other Meta) bool {
	m.Mark, other.Mark = 0, 0
	return m == other
}

// digest is the sum modulo 2^128 of a hash of each entry, so it is kept up to date in place and
// does not depend on the order.
type digest struct{ hi, lo uint64 }

func (d *digest) add(h uint64) {
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, h, 0)
	d.hi += carry
}

func (d *digest) sub(h uint64) {
	var borrow uint64
	d.lo, borrow = bits.Sub64(d.lo, h, 0)
	d.hi -= borrow
}

// digestOf is the digest with the bytes that Meta has.
func digestOf(b [16]byte) digest {
	return digest{hi: binary.BigEndian.Uint64(b[:]), lo: binary.BigEndian.Uint64(b[8:])}
}

func (d digest) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], d.hi)
	binary.BigEndian.PutUint64(b[8:], d.lo)
	return b
}

// Entry is one topic in the file.
type Entry struct {
	Topic []byte
	core.Value
	Last   uint64 // index of the record that changed it last
	Offset int64  // of its key in the file, bytes, of one that was read there; 0: not known
}

// key appends the item's key to b.
func (e *Entry) key(b []byte) []byte {
	if len(e.Topic) <= core.MaxPlainTopic {
		return append(append(b, keyPlain), e.Topic...)
	}
	sum := sha256.Sum256(e.Topic)
	return append(append(b, keyHashed), sum[:]...)
}

// encode appends the item's value to b.
func (e *Entry) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, e.Epoch)
	b = binary.AppendUvarint(b, e.Sum)
	b = binary.AppendUvarint(b, e.Last)
	if len(e.Topic) > core.MaxPlainTopic {
		b = append(b, e.Topic...)
	}
	return b
}

// decodeEntry is the inverse of key and encode; the topic is part of k or v.
func decodeEntry(k, v []byte) (Entry, error) {
	var e Entry
	rest := v
	for _, f := range []*uint64{&e.Epoch, &e.Sum, &e.Last} {
		x, n := binary.Uvarint(rest)
		if n <= 0 {
			return Entry{}, fmt.Errorf("entry %.64x has a value of %d bytes that is cut off", k, len(v))
		}
		*f, rest = x, rest[n:]
	}
	switch {
	case e.Epoch > core.MaxEpoch:
		return Entry{}, fmt.Errorf("entry %.64x has epoch %d", k, e.Epoch)
	case len(k) > 0 && k[0] == keyPlain && len(k) <= 1+core.MaxPlainTopic && len(rest) == 0:
		e.Topic = k[1:]
	case len(k) == 1+sha256.Size && k[0] == keyHashed && len(rest) > core.MaxPlainTopic &&
		len(rest) <= core.MaxTopicLen:
		e.Topic = rest
		if sum := sha256.Sum256(rest); !bytes.Equal(sum[:], k[1:]) {
			return Entry{}, fmt.Errorf("entry %x has another topic's name", k)
		}
	default:
		return Entry{}, fmt.Errorf("entry %.64x is of no known form", k)
	}
	return e, nil
}

// entryHash is what an entry adds to the digest: XXH64 of the key's length (uint32), key and value.
// scratch is reused.
func entryHash(scratch *[]byte, k, v []byte) uint64 {
	b := binary.LittleEndian.AppendUint32((*scratch)[:0], uint32(len(k)))
	b = append(append(b, k...), v...)
	*scratch = b
	return xxhash.Sum64(b)
}

func (m *Meta) put(b *bolt.Bucket) error {
	le, sum := binary.LittleEndian, digestOf(m.Digest)
	return errors.Join(
		b.Put(keyStore, m.Store[:]),
		b.Put(keyState, []byte{byte(m.State)}),
		b.Put(keyDurableAtLeast, le.AppendUint64(nil, m.DurableAtLeast)),
		b.Put(keyReplay, le.AppendUint64(nil, m.Replay)),
		b.Put(keyCount, le.AppendUint64(nil, m.Count)),
		b.Put(keyDigest, le.AppendUint64(le.AppendUint64(nil, sum.lo), sum.hi)),
	)
}

// putMark notes whose the flags of the log's mark are: the last run's, if the key is the id of the
// file's last transaction. An older gcd does not know the key, so its transactions make it
// another's.
func putMark(b *bolt.Bucket, tx *bolt.Tx, current bool) error {
	id := uint64(0)
	if current {
		id = uint64(tx.ID())
	}
	return b.Put(keyMark, binary.LittleEndian.AppendUint64(nil, id))
}

// readMark reads what putMark wrote.
func readMark(b *bolt.Bucket, tx *bolt.Tx) wal.MarkNote {
	switch v := b.Get(keyMark); {
	case v == nil:
		return wal.MarkUnknown
	case len(v) == 8 && binary.LittleEndian.Uint64(v) == uint64(tx.ID()):
		return wal.MarkCurrent
	}
	return wal.MarkOld
}

func (f *File) readMeta(tx *bolt.Tx) (Meta, error) {
	b := tx.Bucket(bucketMeta)
	switch topics := tx.Bucket(bucketTopics); {
	case b == nil && topics == nil:
		return Meta{}, fmt.Errorf("%s: %w: it is a bbolt file without gcd's buckets", f.Path, wal.ErrNotOurs)
	case b == nil || topics == nil:
		return Meta{}, f.damaged(errors.New("one of its two buckets is missing"))
	}
	var bad []byte
	get := func(key []byte, size int) []byte {
		v := b.Get(key)
		if len(v) != size {
			bad = key
			return make([]byte, size)
		}
		return v
	}
	le := binary.LittleEndian
	if v := le.Uint32(get(keyFormat, 4)); bad == nil && v != format {
		return Meta{}, fmt.Errorf("%s: %w: it has format %d, this program knows %d", f.Path, wal.ErrVersion, v, format)
	}
	var m Meta
	copy(m.Store[:], get(keyStore, len(m.Store)))
	m.State = State(get(keyState, 1)[0])
	m.DurableAtLeast = le.Uint64(get(keyDurableAtLeast, 8))
	m.Replay = le.Uint64(get(keyReplay, 8))
	m.Count = le.Uint64(get(keyCount, 8))
	d := get(keyDigest, 16)
	m.Digest = digest{lo: le.Uint64(d), hi: le.Uint64(d[8:])}.bytes()
	m.Mark = readMark(b, tx)
	if bad != nil {
		return Meta{}, f.damaged(fmt.Errorf("meta key %q is missing or has the wrong length", bad))
	}
	if m.State < StateCreating || m.State > StateClosed || m.Replay > m.DurableAtLeast {
		return Meta{}, f.damaged(fmt.Errorf("state %d, replay %d, witness %d make no sense", m.State, m.Replay,
			m.DurableAtLeast))
	}
	return m, nil
}
