package tools

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gcd/internal/dirlock"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/wal"
)

// What restore and repair have in common: a directory is built beside another one, read back, and
// takes its place.

// seams are where tests take part in the work on a directory. The zero value is the real thing.
type seams struct {
	fs   vfs.FS                  // default the OS
	step func(done string) error // called after each step; an error ends the work as it is
	now  func() time.Time
}

func (o seams) withDefaults() seams {
	if o.fs == nil {
		o.fs = vfs.OS{}
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

// makeBeside makes an empty directory beside dir, to build in. Its name begins with dir's and kind.
// It has mode 0700, whatever the umask: later it gets the owner of dir, who may be another user.
func makeBeside(dir, kind string) (string, error) {
	build, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+kind)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(build, 0o700); err != nil {
		return "", errors.Join(err, os.Remove(build))
	}
	return build, nil
}

// holding does something while a directory that was built is locked. So who waits for the directory
// that it replaces gets the new one when all is done.
func (o seams) holding(ctx context.Context, build string, do func() error) error {
	lock, err := dirlock.Own(ctx, build, dirlock.Options{NoFile: true})
	if err != nil {
		return err
	}
	return errors.Join(do(), lock.Release())
}

// swap puts a directory that was built into the place of dir, which is locked. The old one is kept
// aside under the name, or one like it that is free. Where the system can exchange two names there
// is always a directory in that place: the new one gets the name for the old one, and then the two
// are exchanged. After an error everything is as before.
func (o seams) swap(build, dir string, lock *dirlock.Lock, name string) (aside string, err error) {
	if aside, err = freeName(name); err != nil {
		return "", err
	}
	if err := o.fs.Rename(build, aside); err != nil {
		return "", err
	}
	back := func(err error) error { return errors.Join(err, o.fs.Rename(aside, build)) }
	if err := o.step("named"); err != nil {
		return "", back(err)
	}
	if err := o.fs.SyncDir(filepath.Dir(aside)); err != nil {
		return "", back(err)
	}
	if err := lock.Check(); err != nil { // or it would put aside a directory that it has not locked
		return "", back(err)
	}
	err = immovable(dir, o.fs.Exchange(aside, dir))
	if err == nil {
		return aside, nil
	}
	if err := back(nil); err != nil {
		return "", err
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return "", err
	}
	if err := o.fs.Rename(dir, aside); err != nil {
		return "", immovable(dir, err)
	}
	undo := func(err error) error { return errors.Join(err, o.fs.Rename(aside, dir)) }
	if err := o.step("aside"); err != nil {
		return "", undo(err)
	}
	if err := o.fs.Rename(build, dir); err != nil {
		return "", undo(err)
	}
	return aside, nil
}

// ErrLayer and ErrMountPoint say why a directory cannot be put aside.
var (
	ErrLayer = errors.New("tools: it comes from a lower layer of an overlay file system, which lets no " +
		"directory of it be renamed")
	ErrMountPoint = errors.New("tools: it is a mount point, which cannot be renamed")
)

// immovable explains why a directory cannot be renamed. The other name is in the same directory, so
// the file system is the same.
func immovable(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("%s cannot be put aside: %w: %w", dir, ErrLayer, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%s cannot be put aside: %w: %w", dir, ErrMountPoint, err)
	}
	return err
}

// freeName is a name that nothing has yet: this one, or the same with a number.
func freeName(name string) (string, error) {
	for i := 1; ; i++ {
		free := name
		if i > 1 {
			free = fmt.Sprintf("%s-%d", name, i)
		}
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
	}
}

// newLog are the options of a log that is made: with a mark.
func newLog(fsys vfs.FS, segmentSize int64) wal.Options {
	return wal.Options{FS: fsys, SegmentSize: segmentSize, Mark: wal.MarkOptions{Keep: true}}
}

// built is a new directory, and what it should hold.
type built struct {
	dir     string
	store   wal.ID
	index   uint64
	entries uint64
	sum     [sha256.Size]byte // entrySum of them
	pause   pause
}

// check reads the directory as a start would, and compares every entry with what was meant.
func (b built) check(fsys vfs.FS, passed func(phase string, done, total uint64) error) error {
	sum := newEntrySum()
	var done uint64
	m, err := (&snapshot.File{Path: store.SnapshotPath(b.dir), Rest: b.pause}).Read(func(_ snapshot.Meta,
		e snapshot.Entry) error {
		done++
		if err := passed("reading back", done, b.entries); err != nil {
			return err
		}
		sum.add(e)
		return nil
	})
	if err != nil {
		return err
	}
	log, err := wal.Open(store.LogDir(b.dir), wal.Options{FS: fsys, Mark: wal.MarkOptions{Note: m.Mark}})
	if err != nil {
		return err
	}
	switch {
	case sum.sum() != b.sum:
		err = errors.New("the entries differ from those that were meant")
	case m.State != snapshot.StateClosed || m.Store != b.store || m.Replay != b.index || log.First() != b.index+1 ||
		log.Last() != b.index:
		err = fmt.Errorf("snapshot and log are not those of a closed store at index %d", b.index)
	default:
		err = store.CheckTogether(b.dir, &m, log)
	}
	return errors.Join(err, log.Close())
}

// entrySum is a digest of entries in their order. It depends on no format of a file.
type entrySum struct {
	hash hash.Hash
	buf  []byte
}

func newEntrySum() *entrySum { return &entrySum{hash: sha256.New()} }

func (s *entrySum) add(e snapshot.Entry) {
	b := binary.AppendUvarint(s.buf[:0], uint64(len(e.Topic)))
	b = append(b, e.Topic...)
	b = binary.AppendUvarint(b, e.Sum)
	b = binary.AppendUvarint(b, e.Epoch)
	b = binary.AppendUvarint(b, e.Last)
	s.hash.Write(b)
	s.buf = b
}

func (s *entrySum) sum() [sha256.Size]byte { return [sha256.Size]byte(s.hash.Sum(nil)) }
