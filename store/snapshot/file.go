package snapshot

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"gcd/internal/dirlock"
	"gcd/internal/vfs"
	"gcd/wal"
)

// lockTimeout is how long an opening waits for the file's lock where File.Wait does not say it.
const lockTimeout = time.Second

// File is a snapshot's file. It is opened for each use, so that tools can take its lock in between.
// Fields are set before the first use. A File is used by one goroutine at a time.
type File struct {
	Path string
	// Open opens the file for reading, each time anew, if it is not to be found by its Path: it may
	// have no name any more. Errors name it by Path all the same.
	Open func() (*os.File, error)
	// Rest, if not nil, is called before each page that a walk looks at, and may wait; an error of
	// it ends the walk and is returned.
	Rest func() error
	// Wait is how long to wait for the file's lock, which a transaction of another process has;
	// default 1 s.
	Wait time.Duration
	// Marked says whether the log's mark on the disk is of this run, for Update and Write. Default:
	// it is not.
	Marked func() bool
	Hooks  Hooks

	known   *Meta // what update wrote last, so it must say that still; nil: nothing yet, or it is not known
	knownAt int   // id of that transaction, so it must be the last one
	size    int64 // of the file when it was opened last, bytes; -1: it could not be
}

// At is the file at a path.
func At(path string) *File { return &File{Path: path} }

// Hooks let a test stand at the places where a crash matters. A nil hook does nothing.
type Hooks struct {
	BeforeCommit func()                     // the file is about to change
	AfterCommit  func()                     // it has changed, durably
	Reader       func(*os.File) io.ReaderAt // what is read of the file by calls; nil: the file
	Opened       func(*bolt.DB)             // the file was opened, by bbolt
	NoSync       bool                       // bbolt need not sync: the test takes each commit as one step
}

func (h *Hooks) before() {
	if h.BeforeCommit != nil {
		h.BeforeCommit()
	}
}

func (h *Hooks) after() {
	if h.AfterCommit != nil {
		h.AfterCommit()
	}
}

func (h *Hooks) open(db *bolt.DB) {
	if h.Opened != nil {
		h.Opened(db)
	}
}

// Size is how many bytes the file had when it was opened last; less than 0 if it could not be.
func (f *File) Size() int64 { return f.size }

// damaged is the error for what is wrong with the file; that the system cannot read it is not
// damage.
func (f *File) damaged(err error) error {
	var ended *stopped
	if errors.As(err, &ended) {
		return ended.err
	}
	if errors.As(err, new(syscall.Errno)) {
		return fmt.Errorf("reading %s: %w", f.Path, err)
	}
	e := &wal.CorruptionError{File: f.Path, Err: err}
	var at *misplaced
	if errors.As(err, &at) {
		e.Offset = at.offset
	}
	return e
}

// reader is what is read of the file by calls, which tell of an error of the disk where the memory
// map faults.
func (f *File) reader(file *os.File) io.ReaderAt {
	if f.Hooks.Reader != nil {
		return f.Hooks.Reader(file)
	}
	return file
}

// ErrByteOrder says that a machine of the other byte order made a snapshot file: bbolt writes
// numbers as the machine has them.
var ErrByteOrder = errors.New("a machine of the other byte order made it")

// checkByteOrder looks for bbolt's magic number the other way round, on the first page, which is at
// the same place whatever the size of pages, or on the second.
func checkByteOrder(file io.ReaderAt) error {
	ne := binary.NativeEndian
	for _, off := range []int64{0, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		b := make([]byte, pageHeaderSize+metaSize)
		if _, err := file.ReadAt(b, off); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		magic, size := bits.ReverseBytes32(ne.Uint32(b[pageHeaderSize:])),
			bits.ReverseBytes32(ne.Uint32(b[pageHeaderSize+8:]))
		if magic == metaMagic && (off == 0 || int64(size) == off) {
			return ErrByteOrder
		}
		if ne.Uint32(b[pageHeaderSize:]) == metaMagic {
			return nil
		}
	}
	return nil
}

// readable reads the two pages with which bbolt begins, before it does: it takes a page that cannot
// be read for one that is damaged.
func (f *File) readable(file *os.File, size int64) error {
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

// readableAgain is readable after bbolt has refused a file: a disk that began to fail
// meanwhile has bbolt say the same as damage.
func (f *File) readableAgain() error {
	file, err := f.openFile(os.O_RDONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.readable(file, f.size), file.Close())
}

// open opens the existing file. It never creates one.
func (f *File) open(readOnly bool) (*database, error) {
	f.size = -1
	d, err := f.database(bolt.Options{
		Timeout: cmp.Or(f.Wait, lockTimeout), ReadOnly: readOnly, FreelistType: bolt.FreelistMapType,
		NoStatistics: true, NoSync: f.Hooks.NoSync,
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
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return nil, f.damaged(fmt.Errorf("neither of its first two pages is one of bbolt's: %w", err))
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%s: %w: %w", f.Path, wal.ErrVersion, err)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: another process, a server or a tool, has had it locked for %s: %w", f.Path,
			cmp.Or(f.Wait, lockTimeout), err)
	case err != nil && f.size >= 0 && !errors.As(err, &system):
		// what else bbolt has against a file: that it ends before its first two pages do
		return nil, f.damaged(&misplaced{f.size, fmt.Errorf("the file ends too early: %w", err)})
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", f.Path, err)
	}
	f.Hooks.open(d.bolt)
	return d, nil
}

// openFile opens the file itself; one of no bytes is refused, since bbolt would make it a new,
// empty database.
func (f *File) openFile(flag int) (*os.File, error) {
	open := f.Open
	if open == nil {
		open = func() (*os.File, error) { return vfs.OpenRegular(f.Path, flag) }
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
func (f *File) view(do func(tx *bolt.Tx) error) error {
	return f.with(true, func(d *database) error { return d.transact(false, do) })
}

// Update changes what the file says of itself, in one durable transaction.
func (f *File) Update(do func(*Meta)) error {
	return f.update(func(_ *bolt.Tx, m *Meta) error { do(m); return nil })
}

// update runs do in one durable transaction.
func (f *File) update(do func(tx *bolt.Tx, m *Meta) error) error {
	return f.with(false, func(d *database) error {
		var wrote *Meta
		err := d.transact(true, func(tx *bolt.Tx) error {
			m, err := f.readMeta(tx)
			if err != nil {
				return err
			}
			if f.known != nil && (!m.same(*f.known) || tx.ID() != f.knownAt+1) {
				return fmt.Errorf("%w: %s was replaced", dirlock.ErrMoved, f.Path)
			}
			if err := do(tx, &m); err != nil {
				return err
			}
			b := tx.Bucket(bucketMeta)
			if err := errors.Join(m.put(b), putMark(b, tx, f.Marked != nil && f.Marked())); err != nil {
				return err
			}
			f.known, f.knownAt, wrote = nil, tx.ID(), &m
			f.Hooks.before()
			return nil
		})
		if err == nil {
			f.known = wrote
			f.Hooks.after()
		}
		return f.named(err)
	})
}

// named gives an error of the system the name of the file, which bbolt's calls leave out where it
// syncs.
func (f *File) named(err error) error {
	var system syscall.Errno
	var path *fs.PathError
	if !errors.As(err, &system) || errors.As(err, &path) {
		return err
	}
	return &fs.PathError{Op: "sync", Path: f.Path, Err: err}
}

// Create makes the file for a store: durable under its name when Create returns, or not there.
// marked says that the log's mark is made with it; the flags of one that is there are not known
// then.
func (f *File) Create(fsys vfs.FS, id wal.ID, marked bool) error {
	tmp := f.Path + HalfMade
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	half := File{Path: tmp, size: math.MaxInt64}
	d, err := half.create(bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoSync: f.Hooks.NoSync,
	})
	if err != nil {
		return fmt.Errorf("creating %s: %w", tmp, err)
	}
	f.Hooks.open(d.bolt)
	err = d.transact(true, func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket(bucketTopics); err != nil {
			return err
		}
		b, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		if err := b.Put(keyFormat, binary.LittleEndian.AppendUint32(nil, format)); err != nil {
			return err
		}
		m := Meta{Store: id, State: StateCreating}
		return errors.Join(m.put(b), putMark(b, tx, marked))
	})
	if err = errors.Join(err, d.close()); err != nil {
		return fmt.Errorf("creating %s: %w", tmp, err)
	}
	f.Hooks.before()
	if err := fsys.Rename(tmp, f.Path); err != nil {
		return err
	}
	if err := fsys.SyncDir(filepath.Dir(f.Path)); err != nil {
		return err
	}
	f.Hooks.after()
	return nil
}
