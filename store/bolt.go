package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	bolt "go.etcd.io/bbolt"

	"gcd/wal"
)

// The snapshot file's format; docs/storage.md, "The snapshot".
const (
	snapshotName   = "counters.db"
	halfMade       = ".new" // behind the snapshot's name, of the next one
	snapshotFormat = 1

	stateCreating byte = 1
	stateOpen     byte = 2
	stateClosed   byte = 3

	keyPlain    byte = 0x01 // followed by the topic
	keyHashed   byte = 0x02 // followed by the topic's SHA-256; the topic is in the value
	maxPlainKey      = 1024 // the longest topic with a plain key, bytes

	lockTimeout  = time.Second      // a tool that reads the file puts a transaction off
	lockPatience = 30 * time.Second // but a start and a close wait for it
)

var (
	bucketMeta   = []byte("meta")
	bucketTopics = []byte("topics")

	keyFormat  = []byte("format")
	keyStore   = []byte("store")
	keyState   = []byte("state")
	keyWitness = []byte("witness")
	keyReplay  = []byte("replay")
	keyCount   = []byte("count")
	keyDigest  = []byte("digest")
	keyMark    = []byte("mark")
)

// meta is the meta bucket.
type meta struct {
	store   wal.ID
	state   byte
	witness uint64
	replay  uint64
	count   uint64
	digest  digest
	mark    wal.MarkNote // as it was read; put does not write it
}

// same says whether two say the same of the entries, the store and its log.
func (m meta) same(other meta) bool {
	m.mark, other.mark = 0, 0
	return m == other
}

// digest is the sum modulo 2^128 of a hash of each entry, so it is kept up to date in place and does not depend on the order.
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

// item is one entry of the topics bucket.
type item struct {
	topic  []byte
	value  Value
	last   uint64 // index of the record that changed it last
	offset int64  // of its key in the file, bytes, of one that was read
}

// key appends the item's key to b.
func (it *item) key(b []byte) []byte {
	if len(it.topic) <= maxPlainKey {
		return append(append(b, keyPlain), it.topic...)
	}
	sum := sha256.Sum256(it.topic)
	return append(append(b, keyHashed), sum[:]...)
}

// encode appends the item's value to b.
func (it *item) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, it.value.Epoch)
	b = binary.AppendUvarint(b, it.value.Sum)
	b = binary.AppendUvarint(b, it.last)
	if len(it.topic) > maxPlainKey {
		b = append(b, it.topic...)
	}
	return b
}

// decodeItem is the inverse of key and encode; the topic is part of k or v.
func decodeItem(k, v []byte) (item, error) {
	var it item
	rest := v
	for _, f := range []*uint64{&it.value.Epoch, &it.value.Sum, &it.last} {
		x, n := binary.Uvarint(rest)
		if n <= 0 {
			return item{}, fmt.Errorf("entry %.64x has a value of %d bytes that is cut off", k, len(v))
		}
		*f, rest = x, rest[n:]
	}
	switch {
	case it.value.Epoch > maxEpoch:
		return item{}, fmt.Errorf("entry %.64x has epoch %d", k, it.value.Epoch)
	case len(k) > 0 && k[0] == keyPlain && len(k) <= 1+maxPlainKey && len(rest) == 0:
		it.topic = k[1:]
	case len(k) == 1+sha256.Size && k[0] == keyHashed && len(rest) > maxPlainKey && len(rest) <= MaxTopicLen:
		it.topic = rest
		if sum := sha256.Sum256(rest); !bytes.Equal(sum[:], k[1:]) {
			return item{}, fmt.Errorf("entry %x has another topic's name", k)
		}
	default:
		return item{}, fmt.Errorf("entry %.64x is of no known form", k)
	}
	return it, nil
}

// entryHash is what an entry adds to the digest: XXH64 of the key's length (uint32), key and value. scratch is reused.
func entryHash(scratch *[]byte, k, v []byte) uint64 {
	b := binary.LittleEndian.AppendUint32((*scratch)[:0], uint32(len(k)))
	b = append(append(b, k...), v...)
	*scratch = b
	return xxhash.Sum64(b)
}

func (m *meta) put(b *bolt.Bucket) error {
	le := binary.LittleEndian
	return errors.Join(
		b.Put(keyStore, m.store[:]),
		b.Put(keyState, []byte{m.state}),
		b.Put(keyWitness, le.AppendUint64(nil, m.witness)),
		b.Put(keyReplay, le.AppendUint64(nil, m.replay)),
		b.Put(keyCount, le.AppendUint64(nil, m.count)),
		b.Put(keyDigest, le.AppendUint64(le.AppendUint64(nil, m.digest.lo), m.digest.hi)),
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

func (f *snapshotFile) readMeta(tx *bolt.Tx) (meta, error) {
	b := tx.Bucket(bucketMeta)
	switch topics := tx.Bucket(bucketTopics); {
	case b == nil && topics == nil:
		return meta{}, fmt.Errorf("%s: %w: it is a bbolt file without gcd's buckets", f.path, wal.ErrNotOurs)
	case b == nil || topics == nil:
		return meta{}, f.damaged(errors.New("one of its two buckets is missing"))
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
	if v := le.Uint32(get(keyFormat, 4)); bad == nil && v != snapshotFormat {
		return meta{}, fmt.Errorf("%s: %w: it has format %d, this program knows %d", f.path, wal.ErrVersion, v, snapshotFormat)
	}
	var m meta
	copy(m.store[:], get(keyStore, len(m.store)))
	m.state = get(keyState, 1)[0]
	m.witness = le.Uint64(get(keyWitness, 8))
	m.replay = le.Uint64(get(keyReplay, 8))
	m.count = le.Uint64(get(keyCount, 8))
	d := get(keyDigest, 16)
	m.digest = digest{lo: le.Uint64(d), hi: le.Uint64(d[8:])}
	m.mark = readMark(b, tx)
	if bad != nil {
		return meta{}, f.damaged(fmt.Errorf("meta key %q is missing or has the wrong length", bad))
	}
	if m.state < stateCreating || m.state > stateClosed || m.replay > m.witness {
		return meta{}, f.damaged(fmt.Errorf("state %d, replay %d, witness %d make no sense", m.state, m.replay, m.witness))
	}
	return m, nil
}

// pages opens the file for a walk over what a transaction can reach, which closes it.
func (f *snapshotFile) pages(tx *bolt.Tx, do func(file *os.File, w *pageWalk) error) error {
	file, err := f.openFile(os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if tx.Size() > info.Size() {
		return f.damaged(fmt.Errorf("it has %d bytes, but should have %d", info.Size(), tx.Size()))
	}
	size := tx.DB().Info().PageSize
	return do(file, &pageWalk{file: f.reader(file), rest: f.rest, pageSize: size, pages: uint64(tx.Size()) / uint64(size)})
}

// checkPages looks at every page that a transaction can reach, before bbolt does.
func (f *snapshotFile) checkPages(tx *bolt.Tx) error {
	return f.pages(tx, func(_ *os.File, w *pageWalk) error {
		if err := w.check(uint64(tx.Cursor().Bucket().Root()), uint64(tx.ID())); err != nil {
			return f.damaged(err)
		}
		return nil
	})
}

// read calls each with every entry, in the order of keys, and checks count and digest. The item is valid during the call. An error of
// each ends it.
func (f *snapshotFile) read(each func(m meta, it item) error) (meta, error) {
	var m meta
	err := f.view(func(tx *bolt.Tx) error {
		err := f.checkPages(tx)
		if err != nil {
			return err
		}
		if m, err = f.readMeta(tx); err != nil {
			return err
		}
		var count uint64
		var sum digest
		var scratch, before []byte
		c := tx.Bucket(bucketTopics).Cursor()
		begin := uint64(tx.DB().Info().Data) // all of the file is in memory from here on
		for k, v := c.First(); k != nil; k, v = c.Next() {
			offset := int64(0)
			if at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(k)))) - begin; at < uint64(tx.Size()) { // bbolt may have copied a bucket of a few entries
				offset = int64(at)
			}
			if bytes.Compare(before, k) >= 0 { // so no topic comes twice
				return f.damaged(&misplaced{offset, fmt.Errorf("entry %.64x comes behind %.64x", k, before)})
			}
			before = k
			it, err := decodeItem(k, v)
			if err != nil {
				return f.damaged(&misplaced{offset, err})
			}
			it.offset = offset
			count++
			sum.add(entryHash(&scratch, k, v))
			if err := each(m, it); err != nil {
				return err
			}
		}
		if count != m.count || sum != m.digest {
			return f.damaged(fmt.Errorf("it holds %d entries with digest %016x%016x, but should hold %d with %016x%016x",
				count, sum.hi, sum.lo, m.count, m.digest.hi, m.digest.lo))
		}
		return nil
	})
	return m, err
}

// check looks at every page, ours and bbolt's way.
func (f *snapshotFile) check() error {
	return f.view(func(tx *bolt.Tx) error {
		if err := f.checkPages(tx); err != nil {
			return err
		}
		return f.checkBolt(tx)
	})
}

// checkBolt runs bbolt's own consistency check over what a transaction can reach. Nothing ends it
// before it is through, so of a large tree it is one part after the other: that these go together
// was found by the walk over pages, which came before.
func (f *snapshotFile) checkBolt(tx *bolt.Tx) error {
	parts, err := f.parts(tx)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return f.checkPart(tx)
	}
	for _, id := range parts {
		if f.rest != nil {
			if err := f.rest(); err != nil {
				return err
			}
		}
		if err := f.checkPart(tx, bolt.WithPageId(id)); err != nil {
			return err
		}
	}
	return nil
}

func (f *snapshotFile) checkPart(tx *bolt.Tx, options ...bolt.CheckOption) (first error) {
	for err := range tx.Check(options...) { // it must be read to its end
		if first == nil {
			first = f.damaged(err)
		}
	}
	return first
}

// parts are the pages below the root of the tree of topics; none if that has one page alone.
func (f *snapshotFile) parts(tx *bolt.Tx) (ids []uint64, err error) {
	topics := tx.Bucket(bucketTopics)
	if topics == nil || topics.Root() == 0 {
		return nil, nil
	}
	err = f.pages(tx, func(_ *os.File, w *pageWalk) error {
		w.inUse = make([]bool, w.pages)
		page, err := w.read(uint64(topics.Root()))
		if err != nil {
			return f.damaged(err)
		}
		ids = below(page)
		return nil
	})
	return ids, err
}
