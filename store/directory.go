package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gcd/internal/dirlock"
	"gcd/internal/owner"
	"gcd/internal/vfs"
	"gcd/store/snapshot"
	"gcd/wal"
)

// What may be done with a directory is decided here: whose it is, whether it has a store, and
// whether one may be made in it.

// lostAndFound is what a file system's root has; it is no reason to call a directory not empty.
const lostAndFound = "lost+found"

// putBeside are the ends of names that restore and repair give to directories beside a store's.
var putBeside = []string{".before-restore-", ".restore-", ".broken-", ".repair-"}

// firstFiles are the names of the files that a first start may leave when it is interrupted, its
// log's aside, and files those of a store: the reserve is made when a store serves.
var (
	firstFiles = []string{dirlock.FileName, snapshot.FileName, snapshot.FileName + snapshot.HalfMade}
	files      = append(slices.Clone(firstFiles), reserveName)
)

// Holds says whether a directory has a store, whole or damaged: a snapshot or a segment of a log.
// What has the name of one of a store's files and is no file, or is a link to what is not there, is
// ErrNotRegular.
func Holds(dir string) (bool, error) {
	for _, name := range files {
		if err := vfs.CheckRegular(filepath.Join(dir, name)); err != nil {
			return false, err
		}
	}
	log := LogDir(dir)
	switch info, err := os.Stat(log); {
	case err == nil && !info.IsDir():
		return false, fmt.Errorf("%s is not a directory: %w", log, wal.ErrNotOurs)
	case err != nil:
		if link := vfs.CheckLink(log); link != nil {
			return false, link
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	names, err := (vfs.OS{}).ReadDir(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, name := range names {
		if wal.IsOurs(name) {
			if err := vfs.CheckRegular(filepath.Join(log, name)); err != nil {
				return false, err
			}
		}
	}
	segments, _, err := wal.Contents(vfs.OS{}, log)
	if segments || err != nil {
		return segments, err
	}
	if _, err := os.Stat(SnapshotPath(dir)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else {
		return err == nil, err
	}
}

// Empty says whether a store may be made in a directory: nil if there is nothing but what an
// interrupted first start leaves, and an error that is ErrNoStore and wal.ErrNotOurs, and names
// something else that there is.
func Empty(dir string) error {
	names, err := (vfs.OS{}).ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var others []string
	for _, name := range names {
		if name != lostAndFound && name != logName && !slices.Contains(firstFiles, name) {
			others = append(others, name)
		}
	}
	_, inLog, err := wal.Contents(vfs.OS{}, LogDir(dir))
	if err != nil {
		return err
	}
	for _, name := range inLog {
		others = append(others, filepath.Join(logName, name))
	}
	if len(others) == 0 {
		return nil
	}
	more := ""
	if n := len(others) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%w: %s, and it is not empty, there is %s%s: %w",
		ErrNoStore, dir, others[0], more, wal.ErrNotOurs)
}

// finished says whether a store may be made in a directory that is empty, or not there:
// ErrUnfinished if a restore or a repair put something beside it.
func finished(dir string) error {
	var beside []string
	for _, place := range places(dir) {
		names, err := (vfs.OS{}).ReadDir(filepath.Dir(place))
		// systemd's state directories are in one that is closed to us.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			for _, end := range putBeside {
				if strings.HasPrefix(name, filepath.Base(place)+end) {
					beside = append(beside, filepath.Join(filepath.Dir(place), name))
				}
			}
		}
	}
	if len(beside) == 0 {
		return nil
	}
	return fmt.Errorf("%w: there is no store in %s, and beside it stands %s",
		ErrUnfinished, dir, strings.Join(beside, ", "))
}

// places are where a directory is, or would be: under the name that it was given, and where that
// leads.
func places(dir string) []string {
	place, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(place); err == nil && real != place {
		return []string{place, real}
	}
	if target, err := os.Readlink(place); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(place), target)
		}
		return []string{place, filepath.Clean(target)}
	}
	return []string{place}
}

// take makes the directory, if one may be made, and locks it. As a server it also shows itself as
// one.
func (s *Store) take(ctx context.Context, server bool) error {
	o := s.options
	switch info, err := os.Stat(s.dir); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a directory: %w", s.dir, wal.ErrNotOurs)
	case errors.Is(err, fs.ErrNotExist):
		if err := errors.Join(finished(s.dir), vfs.CheckLink(s.dir)); err != nil {
			return err
		}
		if o.NoCreate {
			return fmt.Errorf("%w: %s is not there", ErrNoStore, s.dir)
		}
		if err := o.files.MkdirAll(s.dir); err != nil {
			for dir := filepath.Dir(s.dir); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
				if err := vfs.CheckLink(dir); err != nil { // which mkdir calls a file that exists
					return err
				}
			}
			return fmt.Errorf("store: %w", err)
		}
	case err != nil:
		if link := vfs.CheckLink(s.dir); link != nil {
			return link
		}
	}
	waitedFor := false // a store was there when the waiting began
	var err error
	s.lock, err = dirlock.Own(ctx, s.dir, dirlock.Options{
		Server: server, Wait: o.LockWait, Admit: func() error { return s.admit(waitedFor) },
		Waiting: func() {
			waitedFor, _ = Holds(s.dir)
			o.Logger.Warn("a gcd-tool has the directory: waiting until it has ended",
				"data", s.dir, "longest_seconds", o.LockWait.Seconds())
		},
	})
	if err != nil {
		return err
	}
	if s.lock.Alone() {
		o.Logger.Warn("this system cannot lock a directory: the file LOCK alone keeps other processes out, "+
			"so nobody may remove or replace it", "data", s.dir)
	}
	return nil
}

// admit looks at a directory before anything is made in it. A start that has waited for a store
// makes none where that was removed, replaced or covered meanwhile.
func (s *Store) admit(waitedFor bool) error {
	there, err := Holds(s.dir)
	if there || err != nil {
		return err
	}
	if waitedFor {
		return fmt.Errorf("%w: a store was in %s when the waiting began, and is gone", ErrMoved, s.dir)
	}
	return s.mayCreate()
}

// mayCreate says whether a store may be made in a directory that has none.
func (s *Store) mayCreate() error {
	if err := Empty(s.dir); err != nil {
		return err
	}
	if err := finished(s.dir); err != nil {
		return err
	}
	if s.options.NoCreate {
		return fmt.Errorf("%w: %s", ErrNoStore, s.dir)
	}
	return nil
}

// Init makes a store in a directory, or leaves the one that is there as it is, and says which store
// it is. What a start does not make a store in, it does not either; of a directory that a server
// has it says ErrLocked. What root makes gets the directory's owner.
func Init(ctx context.Context, dir string, o Options) (id wal.ID, made bool, err error) {
	s := newStore(dir, o)
	if err := s.take(ctx, false); err != nil {
		return wal.ID{}, false, err
	}
	defer func() { err = errors.Join(err, s.lock.Release()) }()
	there, err := Holds(dir)
	if err != nil {
		return wal.ID{}, false, err
	}
	if there {
		switch m, err := snapshot.At(SnapshotPath(dir)).Meta(); {
		case err == nil && m.State != snapshot.StateCreating:
			return m.Store, false, nil
		case errors.Is(err, fs.ErrNotExist): // the next start makes it anew
			log, err := wal.Open(LogDir(dir), wal.Options{Covered: math.MaxUint64})
			if err != nil {
				return wal.ID{}, false, err
			}
			return log.ID(), false, log.Close()
		case err != nil:
			return wal.ID{}, false, err
		}
	}
	return s.make()
}

// make makes the store, in the locked directory, and closes it.
func (s *Store) make() (id wal.ID, made bool, err error) {
	err = s.load()
	if err == nil {
		err = s.syncPlace()
	}
	if err == nil {
		id = s.wal.ID()
		err = s.markClosed()
	}
	if s.wal != nil {
		err = errors.Join(err, s.wal.Close())
	}
	for _, path := range []string{SnapshotPath(s.dir), LogDir(s.dir)} {
		if err == nil {
			err = owner.Keep(s.dir, path)
		}
	}
	return id, err == nil, err
}

// syncPlace makes the name of a new store's directory durable: it may have been made by a process
// that was killed before that. Its parent may be closed to us, as systemd's state directories are;
// whoever made it then answers for the name.
func (s *Store) syncPlace() error {
	if err := s.options.files.SyncDir(filepath.Dir(filepath.Clean(s.dir))); err != nil &&
		!errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// look says whether the directory is still the one that was opened, with its log and its snapshot.
// If it is not, nothing is acknowledged any more.
func (s *Store) look() error {
	err := s.lock.Check()
	if err == nil {
		if path, ok := s.wal.InPlace(); !ok {
			err = fmt.Errorf("%w: %s was removed, replaced or cut off", ErrMoved, path)
		}
	}
	if err == nil && s.opened != nil { // the log may go back no further than this
		now, statErr := os.Stat(s.file.Path)
		if errors.Is(statErr, fs.ErrNotExist) || statErr == nil && !os.SameFile(now, s.opened) {
			err = fmt.Errorf("%w: %s was removed or replaced", ErrMoved, s.file.Path)
		}
	}
	if errors.Is(err, ErrMoved) {
		s.fail(err)
		return err
	}
	return nil // it cannot be found out just now: what is done there next tells
}

// lookEvery is the time between two looks at the directory.
const lookEvery = time.Second

// watch looks after the directory.
func (s *Store) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for told := false; ; {
		select {
		case <-s.ctx.Done():
			return
		case <-s.failed:
			return
		case <-tick.C:
		}
		if s.look() != nil {
			return
		}
		s.noteDisk()
		renewed, err := s.lock.Renew(s.ctx)
		switch {
		case errors.Is(err, ErrLocked):
			s.fail(fmt.Errorf("%w: its LOCK was removed or replaced, and now an older gcd has that", err))
		case err != nil && !told && s.ctx.Err() == nil:
			told = true
			s.options.Logger.Warn("LOCK was removed or replaced, and cannot be locked again: no older gcd may be "+
				"started here",
				"data", s.dir, "error", err)
		case renewed:
			s.options.Logger.Warn("LOCK was removed or replaced, and is locked again: leave it alone", "data", s.dir)
			s.snapshot.doubted.Store(true)
			select {
			case s.logGrew <- struct{}{}:
			default: // it is woken already
			}
		}
	}
}
