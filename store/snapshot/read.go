package snapshot

import (
	"fmt"
	"iter"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Read calls each with every entry, in the order of core.CompareTopics, and returns what the file
// says of itself. Everything is checked as at a start, count and digest at the end: what each saw
// is to be believed only when the error is nil. An entry's topic is valid during the call. An error
// of each ends the reading and is returned. Otherwise errors are *wal.CorruptionError,
// wal.ErrNotOurs, wal.ErrVersion, and those of opening the file, which fails when a transaction is
// under way for longer than Wait.
func (f *File) Read(each func(Meta, Entry) error) (Meta, error) {
	return f.meta(func(tx *bolt.Tx, m Meta) error {
		var count uint64
		var sum digest
		var scratch []byte
		c, file := tx.Bucket(bucketTopics).Cursor(), memoryOf(tx)
		for k, v := c.First(); k != nil; k, v = c.Next() {
			e, err := decodeEntry(k, v)
			e.Offset = file.offset(k)
			if err != nil {
				return f.damaged(&misplaced{e.Offset, err})
			}
			count++
			sum.add(entryHash(&scratch, k, v))
			if err := each(m, e); err != nil {
				return err
			}
		}
		if should := digestOf(m.Digest); count != m.Count || sum != should {
			return f.damaged(fmt.Errorf("it holds %d entries with digest %016x%016x, but should hold %d with "+
				"%016x%016x",
				count, sum.hi, sum.lo, m.Count, should.hi, should.lo))
		}
		return nil
	})
}

// Meta reads what the file says of itself, and looks at no entry. Errors as Read's.
func (f *File) Meta() (Meta, error) {
	return f.meta(func(*bolt.Tx, Meta) error { return nil })
}

// Find is Meta that looks topics up as well, and calls each with the entries of those that are
// there. An error of each ends it and is returned.
func (f *File) Find(topics iter.Seq[[]byte], each func(Entry) error) (Meta, error) {
	return f.meta(func(tx *bolt.Tx, _ Meta) error {
		b := tx.Bucket(bucketTopics)
		var key []byte
		for topic := range topics {
			e := Entry{Topic: topic}
			key = e.key(key[:0])
			v := b.Get(key)
			if v == nil {
				continue
			}
			e, err := decodeEntry(key, v)
			if err != nil {
				return f.damaged(err)
			}
			if err := each(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Hold keeps a running store from changing the file until release is called: a transaction that
// finds it held for a second is put off, and the log is kept meanwhile; a start or a close waits
// for half a minute and fails. It waits at most Wait for one that is under way.
func (f *File) Hold() (release func() error, err error) {
	err = f.guard(nil, func() error {
		d, err := f.open(true)
		if err == nil {
			release = d.close
		}
		return err
	})
	return release, err
}

// meta runs do in a read transaction, once every page of it was looked at.
func (f *File) meta(do func(tx *bolt.Tx, m Meta) error) (m Meta, err error) {
	err = f.view(func(tx *bolt.Tx) error {
		err := f.checkPages(tx)
		if err != nil {
			return err
		}
		if m, err = f.readMeta(tx); err != nil {
			return err
		}
		return do(tx, m)
	})
	return m, err
}

// pages opens the file for a walk over what a transaction can reach, which closes it.
func (f *File) pages(tx *bolt.Tx, do func(file *os.File, w *pageWalk) error) error {
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
	return do(file,
		&pageWalk{file: f.reader(file), rest: f.Rest, pageSize: size, pages: uint64(tx.Size()) / uint64(size)})
}

// checkPages looks at every page that a transaction can reach, before bbolt does.
func (f *File) checkPages(tx *bolt.Tx) error {
	return f.pages(tx, func(_ *os.File, w *pageWalk) error {
		if err := w.check(uint64(tx.Cursor().Bucket().Root()), uint64(tx.ID())); err != nil {
			return f.damaged(err)
		}
		return nil
	})
}
