package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"gcd/internal/vfs"
	"gcd/wal"
)

// snapshotFile is counters.db. It is opened for each use, so that tools can take its lock in
// between.
type snapshotFile struct {
	path    string
	hooks   hooks
	timeout time.Duration            // how long to wait for its lock; 0: lockTimeout
	opened  fs.FileInfo              // which file it is, from the end of load on
	known   *meta                    // what update wrote last, so it must say that still; nil: nothing yet, or it is not known whether it did
	knownAt int                      // id of that transaction, so it must be the last one
	source  func() (*os.File, error) // opens it for reading, if it is not to be found under path
	marked  func() bool              // the log's mark on the disk is of this run; nil: it is not
	rest    func() error             // called before each page that a walk looks at; its error ends that; nil: nothing
	size    int64                    // of the file when it was opened last, bytes; -1: it could not be
}

// with runs do with the file open, and closes it whatever do does.
func (f *snapshotFile) with(readOnly bool, do func(db *bolt.DB) error) (err error) {
	var db *bolt.DB
	if err := f.guard(nil, func() (err error) { db, err = f.open(readOnly); return err }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return f.guard(db, func() error { return do(db) })
}

// guard runs do with faults of the memory map turned into errors: bbolt panics on pages that make
// no sense, which are damage, and a page that the system cannot read faults, which is none. db is
// the file if it is open.
func (f *snapshotFile) guard(db *bolt.DB, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr }) // of runtime.Error, if it is about an address
		if ok && f.within(db, fault.Addr()) {
			err = fmt.Errorf("reading %s: the system cannot read a page of it: %v", f.path, r)
			return
		}
		err = f.damaged(fmt.Errorf("unreadable page: %v", r))
	}()
	return do()
}

// within says whether an address is one of the file's bytes, as long as it was when it was opened.
// Where that cannot be told, it is.
func (f *snapshotFile) within(db *bolt.DB, addr uintptr) bool {
	if db == nil {
		return true
	}
	begin := db.Info().Data
	return addr >= begin && addr-begin < uintptr(f.size)
}

// damaged is the error for what is wrong with the file; that the system cannot read it is not
// damage.
func (f *snapshotFile) damaged(err error) error {
	var ended *stopped
	if errors.As(err, &ended) {
		return ended.err
	}
	if errors.As(err, new(syscall.Errno)) {
		return fmt.Errorf("reading %s: %w", f.path, err)
	}
	e := &wal.CorruptionError{File: f.path, Err: err}
	var at *misplaced
	if errors.As(err, &at) {
		e.Offset = at.offset
	}
	return e
}

// reader is what is read of the file by calls, which tell of an error of the disk where the memory
// map faults.
func (f *snapshotFile) reader(file *os.File) io.ReaderAt {
	if f.hooks.reader != nil {
		return f.hooks.reader(file)
	}
	return file
}

// readable reads the two pages with which bbolt begins, before it does: it takes a page that cannot
// be read for one that is damaged.
func (f *snapshotFile) readable(file *os.File, size int64) error {
	r := f.reader(file)
	if err := checkByteOrder(r); err != nil {
		return err
	}
	pageSize, err := salvagePageSize(r, size)
	b := make([]byte, pageHeaderSize+metaSize)
	for id := int64(0); id < 2 && err == nil; id++ {
		if _, err = r.ReadAt(b, id*int64(pageSize)); errors.Is(err, io.EOF) {
			return nil
		}
	}
	return err
}

// readableAgain is readable behind what bbolt has against a file: a disk that began to fail meanwhile
// has bbolt say the same as damage.
func (f *snapshotFile) readableAgain() error {
	file, err := f.openFile(os.O_RDONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.readable(file, f.size), file.Close())
}

// open opens the existing file. It never creates one.
func (f *snapshotFile) open(readOnly bool) (*bolt.DB, error) {
	f.size = -1
	db, err := bolt.Open(f.path, 0o600, &bolt.Options{
		Timeout: cmp.Or(f.timeout, lockTimeout), ReadOnly: readOnly, FreelistType: bolt.FreelistMapType, NoStatistics: true, NoSync: f.hooks.noSync,
		OpenFile: func(_ string, flag int, _ os.FileMode) (*os.File, error) {
			file, err := f.openFile(flag &^ os.O_CREATE)
			if err != nil {
				return nil, err
			}
			info, err := file.Stat()
			if err == nil {
				f.size = info.Size()
				err = f.readable(file, f.size)
			}
			if err != nil {
				return nil, errors.Join(err, file.Close())
			}
			return file, nil
		},
	})
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) {
		if again := f.readableAgain(); again != nil {
			err = again
		}
	}
	var damage *wal.CorruptionError
	var system syscall.Errno
	switch {
	case errors.As(err, &damage):
		return nil, damage
	case errors.Is(err, ErrByteOrder):
		return nil, fmt.Errorf("%s: %w", f.path, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return nil, f.damaged(fmt.Errorf("neither of its first two pages is one of bbolt's: %w", err))
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%s: %w: %w", f.path, wal.ErrVersion, err)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: another process, a server or a tool, has had it locked for %s: %w", f.path, cmp.Or(f.timeout, lockTimeout), err)
	case err != nil && f.size >= 0 && !errors.As(err, &system): // what else bbolt has against a file: that it ends before its first two pages do
		return nil, f.damaged(&misplaced{f.size, fmt.Errorf("the file ends too early: %w", err)})
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", f.path, err)
	}
	f.hooks.open(db)
	return db, nil
}

// openFile opens the file itself; one of no bytes is refused, since bbolt would make it a new,
// empty database.
func (f *snapshotFile) openFile(flag int) (*os.File, error) {
	open := f.source
	if open == nil {
		open = func() (*os.File, error) { return vfs.OpenRegular(f.path, flag) }
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() == 0 {
		err = f.damaged(errors.New("the file is empty"))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// view runs do in a read transaction of a fresh open.
func (f *snapshotFile) view(do func(tx *bolt.Tx) error) error {
	return f.with(true, func(db *bolt.DB) error { return db.View(do) })
}

// update runs do in one durable transaction.
func (f *snapshotFile) update(do func(tx *bolt.Tx, m *meta) error) error {
	return f.with(false, func(db *bolt.DB) error {
		var wrote *meta
		err := db.Update(func(tx *bolt.Tx) error {
			m, err := f.readMeta(tx)
			if err != nil {
				return err
			}
			if f.known != nil && (!m.same(*f.known) || tx.ID() != f.knownAt+1) {
				return fmt.Errorf("%w: %s was replaced", ErrMoved, f.path)
			}
			if err := do(tx, &m); err != nil {
				return err
			}
			b := tx.Bucket(bucketMeta)
			if err := errors.Join(m.put(b), putMark(b, tx, f.marked != nil && f.marked())); err != nil {
				return err
			}
			f.known, f.knownAt, wrote = nil, tx.ID(), &m
			f.hooks.before()
			return nil
		})
		if err == nil {
			f.known = wrote
			f.hooks.after()
		}
		return f.named(err)
	})
}

// named gives an error of the system the name of the file, which bbolt's calls leave out where it
// syncs.
func (f *snapshotFile) named(err error) error {
	var system syscall.Errno
	var path *fs.PathError
	if !errors.As(err, &system) || errors.As(err, &path) {
		return err
	}
	return &fs.PathError{Op: "sync", Path: f.path, Err: err}
}

// create makes the file for a store: durable under its name when create returns, or not there.
// marked says that the log's mark is made with it; the flags of one that is there are not known
// then.
func (f *snapshotFile) create(fsys vfs.FS, id wal.ID, marked bool) error {
	tmp := f.path + halfMade
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoSync: f.hooks.noSync})
	if err != nil {
		return fmt.Errorf("creating %s: %w", tmp, err)
	}
	f.hooks.open(db)
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket(bucketTopics); err != nil {
			return err
		}
		b, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		if err := b.Put(keyFormat, binary.LittleEndian.AppendUint32(nil, snapshotFormat)); err != nil {
			return err
		}
		m := meta{store: id, state: stateCreating}
		return errors.Join(m.put(b), putMark(b, tx, marked))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("creating %s: %w", tmp, err)
	}
	f.hooks.before()
	if err := fsys.Rename(tmp, f.path); err != nil {
		return err
	}
	if err := fsys.SyncDir(filepath.Dir(f.path)); err != nil {
		return err
	}
	f.hooks.after()
	return nil
}
