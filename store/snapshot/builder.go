package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/wal"
)

// buildBytes is how many bytes of entries a Builder collects before it writes them in one
// transaction: with them bounded its memory is, however long the topics are.
const buildBytes = 4 << 20

// A Builder writes a new snapshot file from entries that come in order, without gaps between its
// pages. It is for tools; a running store changes its file in place. A Builder is used by one
// goroutine, and ended by Finish or Abort.
type Builder struct {
	fs     vfs.FS
	file   File
	db     *database
	meta   Meta
	digest digest // of the entries so far

	ends    []int // where each pending entry's key ends in pending, and where its value does
	pending []byte
	before  []byte // the last key
	scratch []byte
	err     error // the first; it is final
	done    bool  // Finish has succeeded

	// Mark is what the file says of the mark of its log. NewBuilder makes it wal.MarkCurrent: the
	// mark is made with the log.
	Mark wal.MarkNote
}

// NewBuilder begins a snapshot file for a store. There must be no file of that name. The file has
// no good state before Finish, so it wants a name that nobody takes for a snapshot.
func NewBuilder(fsys vfs.FS, path string, id wal.ID) (*Builder, error) {
	b := &Builder{fs: fsys, file: File{Path: path, size: math.MaxInt64}, meta: Meta{Store: id, State: StateCreating},
		Mark: wal.MarkCurrent}
	empty, err := fsys.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating a snapshot: %w", err)
	}
	if err := empty.Close(); err != nil {
		return nil, fmt.Errorf("creating %s: %w", path, err)
	}
	// Nothing of it is of use before it is whole: one sync at the end does.
	b.db, err = b.file.create(bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoStatistics: true, NoSync: true, NoGrowSync: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("creating %s: %w", path, err), fsys.Remove(path))
	}
	err = b.update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(bucketTopics)
		if err != nil {
			return err
		}
		m, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		return m.Put(keyFormat, binary.LittleEndian.AppendUint32(nil, format))
	})
	if err != nil {
		return nil, errors.Join(err, b.Abort())
	}
	return b, nil
}

// Add adds an entry, which must follow the one before it in the order of core.CompareTopics.
// The topic is copied. Every error is final.
func (b *Builder) Add(e Entry) error {
	if b.err != nil {
		return b.err
	}
	if len(e.Topic) > core.MaxTopicLen || e.Epoch > core.MaxEpoch {
		b.err = fmt.Errorf("topic %.64q of %d bytes in epoch %d: longest is %d, highest %d", e.Topic, len(e.Topic),
			e.Epoch, core.MaxTopicLen, uint64(core.MaxEpoch))
		return b.err
	}
	start := len(b.pending)
	b.pending = e.key(b.pending)
	keyEnd := len(b.pending)
	b.pending = e.encode(b.pending)
	key, value := b.pending[start:keyEnd], b.pending[keyEnd:]
	if bytes.Compare(key, b.before) <= 0 {
		b.err = fmt.Errorf("topic %.64q comes out of order", e.Topic)
		return b.err
	}
	b.before = append(b.before[:0], key...)
	b.ends = append(b.ends, keyEnd, len(b.pending))
	b.meta.Count++
	b.digest.add(entryHash(&b.scratch, key, value))
	if len(b.pending) >= buildBytes || len(b.ends) >= 2*TransactionEntries {
		b.err = b.flush()
	}
	return b.err
}

// flush writes what is pending in one transaction.
func (b *Builder) flush() error {
	err := b.update(func(tx *bolt.Tx) error {
		topics := tx.Bucket(bucketTopics)
		topics.FillPercent = 0.9 // room for sums that grow longer
		start := 0
		for i := 0; i < len(b.ends); i += 2 {
			keyEnd, end := b.ends[i], b.ends[i+1]
			if err := topics.Put(b.pending[start:keyEnd], b.pending[keyEnd:end]); err != nil {
				return err
			}
			start = end
		}
		return nil
	})
	b.ends, b.pending = b.ends[:0], b.pending[:0]
	return err
}

// Finish completes the file as that of a store that was closed cleanly after the record at index,
// and makes its bytes durable; that its name is, is up to the caller. It returns what the file says
// of itself. The entries of the file are then as they were added only as far as memory can be
// trusted: who is careful reads it back.
func (b *Builder) Finish(index uint64) (Meta, error) {
	if b.err != nil {
		return Meta{}, b.err
	}
	b.err = errors.New("the snapshot is finished")
	if err := b.flush(); err != nil {
		return Meta{}, err
	}
	b.meta.State, b.meta.DurableAtLeast, b.meta.Replay = StateClosed, index, index
	b.meta.Digest, b.meta.Mark = b.digest.bytes(), b.Mark
	err := b.update(func(tx *bolt.Tx) error {
		m := tx.Bucket(bucketMeta)
		if err := b.meta.put(m); err != nil || b.Mark == wal.MarkUnknown {
			return err
		}
		return putMark(m, tx, b.Mark == wal.MarkCurrent)
	})
	if err != nil {
		return Meta{}, err
	}
	if err := b.seal(); err != nil {
		return Meta{}, fmt.Errorf("writing a snapshot: %w", err)
	}
	b.done = true
	return b.meta, nil
}

// seal closes the file and makes it durable.
func (b *Builder) seal() error {
	var size int64
	err := b.db.transact(false, func(tx *bolt.Tx) error { size = tx.Size(); return nil })
	if err = errors.Join(err, b.db.close()); err != nil {
		return err
	}
	if err := os.Truncate(b.file.Path, size); err != nil { // bbolt makes its file longer in large steps
		return err
	}
	file, err := b.fs.Open(b.file.Path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Abort ends the building and removes the file. After a Finish that succeeded it does nothing.
func (b *Builder) Abort() error {
	if b.done {
		return nil
	}
	b.done, b.err = true, errors.New("the building was given up")
	return errors.Join(b.db.close(), b.fs.Remove(b.file.Path))
}

func (b *Builder) update(do func(*bolt.Tx) error) error {
	err := b.db.transact(true, do)
	if err != nil {
		return fmt.Errorf("writing %s: %w", b.file.Path, err)
	}
	return nil
}
