// Package dirlock keeps a store's directory for one process. The lock is on the directory itself.
// So no file has to be there, and the lock does not go when a file is removed or replaced.
// docs/storage.md, "Locks", has the protocol. Errors name the directory and change nothing in it.
//
// The order is always the same: the directory, then LOCK, then (a server) the log's directory. A
// lock is on a file and not on a name. So when all are taken, each name must still lead to what was
// locked; if not, all of it begins again.
package dirlock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gcd/internal/owner"
	"gcd/internal/vfs"
)

// Names in a store's directory.
const (
	// FileName is locked after the directory, for older versions, which know it alone, and because
	// not every system can lock a directory.
	FileName = "LOCK"
	// LogName is the directory that a server holds as long as it runs, and no tool does.
	LogName = "wal"
)

const (
	poll = 10 * time.Millisecond // between two tries
	// grace is how long a lock is tried again that should be free: a process that ends gives its
	// locks back one after the other.
	grace = 500 * time.Millisecond
	// logTimeout is how long a server waits for the log's directory, which others take for an
	// instant to see whether it is free.
	logTimeout = 10 * time.Second
	// mostReplaced is how many times in a row a name may lead to another file than the one that was
	// locked.
	mostReplaced = 1000
)

var (
	// ErrLocked says that a server has the directory, or an older version, which locks LOCK alone.
	ErrLocked = errors.New("directory is in use by another process")
	// ErrBusy says that a tool has the directory, and had it for as long as Own was to wait.
	ErrBusy = errors.New("directory is in use by a gcd-tool")
	// ErrMoved says that the directory, or the log in it, is no longer the one that was locked: it
	// was removed or renamed, or something else has its name.
	ErrMoved = errors.New("directory is not the one any more that was opened")
)

// errReplaced says that another file got the name while the lock was taken: begin again.
var errReplaced = errors.New("replaced meanwhile")

// Options say how a directory is taken. The zero value is a tool's that does not wait.
type Options struct {
	Server  bool          // hold the log's directory too
	NoFile  bool          // take LOCK if it is there, but make none
	Wait    time.Duration // the most to wait for a tool
	Waiting func()        // called once when the waiting begins; nil: nothing
	// Admit is called when the directory is locked, before a lock file is made in it. Its error
	// ends Own. nil admits everything. With Wait it may be called more than once.
	Admit func() error

	system system
}

// system locks an open file or directory if it is free. errors.ErrUnsupported says that there is no
// lock for it. nil is the function lock.
type system func(f *os.File, how mode) (free bool, err error)

func (s system) lock(f *os.File, how mode) (free bool, err error) {
	if s == nil {
		return lock(f, how)
	}
	return s(f, how)
}

// A Lock is a directory that this process has. Its methods may run beside each other, except Renew,
// TakeLog and Release.
type Lock struct {
	path string
	how  mode
	system
	dir  held // its file is nil where a directory cannot be locked
	file held // LOCK
	log  held // a server's
}

// held is an open file or directory, and which one it is.
type held struct {
	open *os.File
	info fs.FileInfo // nil: nothing is held
}

// Close unlocks an open file and closes it. Closing alone is not enough: a process that was just
// forked has the descriptor, and so the lock, until it executes its program, and a memory map of
// the file has the lock until it is unmapped.
func Close(open *os.File) error { return errors.Join(unlock(open), open.Close()) }

// release gives back what is held, if anything is.
func (h *held) release() error {
	open := h.open
	if *h = (held{}); open == nil {
		return nil
	}
	return Close(open)
}

// Own takes the directory for a process that may change it. It returns ErrLocked at once, ErrBusy
// if a tool keeps the directory for longer than Wait, ErrMoved if the directory is gone after the
// waiting, what Admit returned, or an error of the system.
func Own(ctx context.Context, path string, o Options) (*Lock, error) {
	var waited, replaced int
	for began := time.Now(); ; {
		l, err := own(ctx, path, o)
		gone := waited > 0 && errors.Is(err, fs.ErrNotExist) // what exchanges it for another may be between two steps
		switch {
		case errors.Is(err, errReplaced) && replaced < mostReplaced:
			replaced++
			continue
		case !errors.Is(err, ErrBusy) && !gone:
			return l, err
		case time.Since(began) < o.Wait:
		case gone:
			return nil, fmt.Errorf("%w: %s was there, and is gone", ErrMoved, path)
		default:
			return nil, err
		}
		if waited++; waited == 1 && o.Waiting != nil {
			o.Waiting()
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// own is one try of Own.
func own(ctx context.Context, path string, o Options) (*Lock, error) {
	l := &Lock{path: path, how: exclusive, system: o.system}
	free, err := l.takeDir()
	if err == nil && !free {
		err = l.holder()
	} else if err == nil {
		err = l.takeRest(ctx, o)
		if stands := l.stands(); errors.Is(stands, ErrMoved) {
			err = errReplaced // so what was found was found elsewhere
		} else if err == nil {
			err = stands
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

// takeRest takes what comes after the directory itself.
func (l *Lock) takeRest(ctx context.Context, o Options) error {
	if o.Admit != nil {
		if err := o.Admit(); err != nil {
			return err
		}
	}
	if err := l.takeFile(ctx, os.O_RDWR, !o.NoFile); err != nil && !(o.NoFile && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	if o.Server {
		return l.TakeLog(ctx)
	}
	return within(ctx, l.logPath(), grace, func() (bool, error) { served, err := l.served(); return !served, err })
}

// Read takes the directory for reading: nobody may change it meanwhile, and several may read it at
// once. It makes no file. nil without an error says that somebody has it who may change it.
func Read(path string) (*Lock, error) { return read(path, nil) }

func read(path string, on system) (*Lock, error) {
	for range mostReplaced {
		l := &Lock{path: path, how: shared, system: on}
		free, err := l.unchanged()
		var stands error
		if l.dir.info != nil {
			stands = l.stands()
		}
		if err == nil && free && stands == nil {
			return l, nil
		}
		if err = errors.Join(err, l.Release()); err != nil || !errors.Is(stands, ErrMoved) {
			return nil, cmp.Or(err, stands)
		}
	}
	return nil, fmt.Errorf("%s: %w", path, errReplaced)
}

// unchanged takes the directory, and LOCK if it is there, for a reader.
func (l *Lock) unchanged() (free bool, err error) {
	if free, err = l.takeDir(); err != nil || !free {
		return false, err
	}
	switch err := l.takeFile(context.Background(), os.O_RDONLY, false); {
	case errors.Is(err, ErrLocked):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	served, err := l.served()
	return !served && err == nil, err
}

// takeDir opens and locks the directory. Where the system cannot, it only notes which one it is.
func (l *Lock) takeDir() (free bool, err error) {
	if l.dir, err = openDir(l.path); err != nil {
		return false, err
	}
	switch free, err = l.lock(l.dir.open, l.how); {
	case errors.Is(err, errors.ErrUnsupported):
		err = l.dir.open.Close() // an open directory cannot be renamed everywhere
		l.dir.open = nil
	case err != nil:
		return false, unlockable(l.path, err)
	case !free:
		return false, nil
	}
	return true, err
}

// stands says whether the path still leads to the directory that was locked: nil, or ErrMoved. Any
// other error says that this cannot be found out, and proves nothing.
func (l *Lock) stands() error { return still(l.path, l.dir.info) }

// takeFile opens and locks LOCK, and makes it if it may. Whoever has it although the directory was
// free is an older version, or a process that is about to end.
func (l *Lock) takeFile(ctx context.Context, flag int, mayMake bool) error {
	path := filepath.Join(l.path, FileName)
	timeout := grace
	if l.how == shared {
		timeout = 0
	}
	return within(ctx, path, timeout, func() (bool, error) {
		f, err := vfs.OpenRegular(path, flag)
		if errors.Is(err, fs.ErrNotExist) && mayMake {
			f, err = l.makeFile(path)
		}
		if err != nil {
			return false, err
		}
		free, err := l.lock(f, l.how)
		if errors.Is(err, errors.ErrUnsupported) && l.dir.open != nil {
			free, err = true, nil // the directory's is enough
		}
		var info, now fs.FileInfo
		if free && err == nil {
			info, err = f.Stat()
		}
		if free && err == nil {
			if now, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, info) {
				free, err = false, nil // removed or replaced meanwhile: the one that is there now counts
			}
		}
		if free && err == nil {
			l.file = held{f, info}
			return true, nil
		}
		return false, errors.Join(unlockable(path, err), f.Close())
	})
}

// makeFile makes LOCK. It gets the owner of the directory, and mode 0600 whatever the umask takes
// away.
func (l *Lock) makeFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) { // since we looked
		return vfs.OpenRegular(path, os.O_RDWR)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Chmod(0o600), owner.Keep(l.path, path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// TakeLog takes the log's directory, if it is there: that is how others know a server. It waits for
// those that only try whether it is free.
func (l *Lock) TakeLog(ctx context.Context) error {
	if l.log.info != nil {
		return nil
	}
	path := l.logPath()
	return within(ctx, path, logTimeout, func() (bool, error) {
		h, err := openDir(path)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		free, err := true, error(nil)
		if l.dir.open != nil {
			free, err = l.lock(h.open, exclusive)
		}
		if err == nil && free {
			l.log = h
			return true, nil
		}
		return false, errors.Join(unlockable(path, err), h.release())
	})
}

func (l *Lock) logPath() string { return filepath.Join(l.path, LogName) }

// served says whether somebody has the log's directory. It takes it for an instant, shared, so that
// two that try at the same time both find it free.
func (l *Lock) served() (bool, error) {
	h, err := openDir(l.logPath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	free, err := l.lock(h.open, shared)
	if errors.Is(err, errors.ErrUnsupported) {
		free, err = true, nil
	}
	return !free, errors.Join(unlockable(l.logPath(), err), h.release())
}

// unlockable gives an error of a lock the name of what was to be locked.
func unlockable(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("locking %s: %w", path, err)
}

// holder is the error that says who has the directory.
func (l *Lock) holder() error {
	served, err := l.served()
	if err != nil {
		return err
	}
	if served {
		return fmt.Errorf("%w: %s", ErrLocked, l.path)
	}
	return fmt.Errorf("%w: %s", ErrBusy, l.path)
}

// Alone says that the system cannot lock the directory, so that LOCK alone keeps others away.
func (l *Lock) Alone() bool { return l.dir.open == nil }

// Check says whether the directory, and the log's if that is held, are still there under their
// names: nil, or ErrMoved. Another error says that it cannot be found out.
func (l *Lock) Check() error {
	if err := l.stands(); err != nil {
		return err
	}
	if l.log.info == nil {
		return nil
	}
	return still(l.logPath(), l.log.info)
}

func still(path string, was fs.FileInfo) error {
	now, err := os.Stat(path)
	switch {
	case notThere(err):
		return fmt.Errorf("%w: %s is gone", ErrMoved, path)
	case err != nil:
		return err
	case !os.SameFile(was, now):
		return fmt.Errorf("%w: something else is %s now", ErrMoved, path)
	}
	return nil
}

// Renew takes LOCK again if it was removed or replaced, so that an older version is kept away;
// renewed says that it had to. ErrLocked: such a one has it already.
func (l *Lock) Renew(ctx context.Context) (renewed bool, err error) {
	now, err := os.Stat(filepath.Join(l.path, FileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && os.SameFile(now, l.file.info) {
		return false, err
	}
	old := l.file
	if err := l.takeFile(ctx, os.O_RDWR, true); err != nil {
		return false, err
	}
	return true, old.release()
}

// Release gives the directory back.
func (l *Lock) Release() error {
	return errors.Join(l.log.release(), l.file.release(), l.dir.release())
}

// within tries until it is done, or until the timeout is over: then somebody has the lock.
func within(ctx context.Context, path string, timeout time.Duration, try func() (done bool, err error)) error {
	for began := time.Now(); ; {
		done, err := try()
		if done || err != nil {
			return err
		}
		if time.Since(began) >= timeout {
			return fmt.Errorf("%w: %s", ErrLocked, path)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
