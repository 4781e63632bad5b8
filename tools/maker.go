package tools

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gcd/internal/dirlock"
	"gcd/internal/owner"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/wal"
)

// maker makes a store's directory from entries, all of it or nothing: it is built beside its place,
// read back, made durable, and renamed. Interrupted at any moment it leaves what was there before,
// and perhaps a directory dir.restore-… beside it.
type maker struct {
	seams
	ctx         context.Context
	force       bool // take the place of a directory that has a store
	segmentSize int64
	lockWait    time.Duration // as RestoreOptions has it
	progress    ProgressFunc

	// What the store will hold.
	index   uint64 // of the last record before its log
	count   uint64
	sum     [sha256.Size]byte                           // entrySum of the entries
	entries func(each func(snapshot.Entry) error) error // calls each with them, in the order of keys

	given string        // the place as it was named
	dir   string        // absolute, no link
	lock  *dirlock.Lock // of dir; nil: nothing is there
	empty bool          // an empty directory

	store wal.ID // of what was made
	aside string // path of the directory whose place was taken; empty if there was none
}

// passed is called after each entry: it reports now and then, and ends the work with the context.
func (m *maker) passed(phase string, done, total uint64) error {
	m.progress.report(phase, "topics", done, total)
	return m.ctx.Err()
}

// release gives up the lock of the place, if there is one.
func (m *maker) release() error {
	if m.lock == nil {
		return nil
	}
	return m.lock.Release()
}

// target finds out what is at dir, and locks it.
func (m *maker) target(dir string) (err error) {
	m.given = dir
	if m.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(m.dir); err == nil { // or the link would be replaced, and not the directory
		m.dir = real
	}
	wait := m.lockWait
	if wait == 0 {
		wait = lockWait
	}
	switch err := m.replaceable(); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.Join(vfs.CheckLink(m.dir), m.parent())
	case err != nil:
		if link := vfs.CheckLink(m.dir); link != nil {
			return link
		}
		return err
	}
	m.lock, err = dirlock.Own(m.ctx, m.dir, dirlock.Options{NoFile: m.empty, Wait: wait, Admit: m.replaceable})
	return err
}

// replaceable says whether what is at dir may be replaced.
func (m *maker) replaceable() error {
	names, err := m.fs.ReadDir(m.dir)
	if err != nil {
		return err
	}
	if m.empty = len(names) == 0; m.empty {
		return nil
	}
	if !m.force {
		return &fs.PathError{Op: "make a store in", Path: m.given, Err: fs.ErrExist}
	}
	there, err := store.Holds(m.dir)
	if there || err != nil {
		return err
	}
	// Something that is not a store may be the directory above that of a server. It would go on
	// running in what was put aside.
	return store.Empty(m.given)
}

// parent looks for the directory above the new one. It makes none, since the name may be mistyped.
func (m *maker) parent() error {
	parent := filepath.Dir(m.dir)
	_, err := os.Stat(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be made: there is no directory %s", m.dir, parent)
	}
	return err
}

// replace builds the new directory and puts it where it belongs.
func (m *maker) replace() error {
	build, err := makeBeside(m.dir, ".restore-")
	if err != nil {
		return err
	}
	placed := false
	err = m.build(build)
	if err == nil {
		err = m.holding(m.ctx, build, func() (err error) { placed, err = m.place(build); return err })
	}
	if err != nil && !placed {
		err = errors.Join(err, os.RemoveAll(build))
	}
	return err
}

// build makes a whole, durable store in an empty directory.
func (m *maker) build(dir string) error {
	id, err := wal.NewID()
	if err != nil {
		return err
	}
	m.store = id
	if err := m.step("begun"); err != nil {
		return err
	}
	if err := m.buildSnapshot(store.SnapshotPath(dir)); err != nil {
		return err
	}
	if err := m.step("snapshot"); err != nil {
		return err
	}
	if err := wal.Create(store.LogDir(dir), id, m.index+1, newLog(m.fs, m.segmentSize)); err != nil {
		return err
	}
	if err := m.step("log"); err != nil {
		return err
	}
	built := built{dir: dir, store: id, index: m.index, entries: m.count, sum: m.sum, pause: newPause(m.ctx, nil)}
	if err := built.check(m.fs, m.passed); err != nil {
		return fmt.Errorf("what was made does not read back: %w", err)
	}
	if m.lock != nil {
		if err := owner.Keep(m.dir, dir); err != nil {
			return err
		}
	}
	if err := m.fs.SyncDir(dir); err != nil { // the names are durable already; its owner may not be
		return err
	}
	return m.step("durable")
}

func (m *maker) buildSnapshot(path string) error {
	b, err := snapshot.NewBuilder(m.fs, path, m.store)
	if err != nil {
		return err
	}
	if err = m.entries(b.Add); err == nil {
		_, err = b.Finish(m.index)
	}
	return errors.Join(err, b.Abort())
}

// replaceEmpty puts the new directory into the place of an empty one, in one step where the system
// can: a start finds the one or the other. It fails if the empty one is empty no more, because
// somebody who takes no lock has put something into it.
func (m *maker) replaceEmpty(build string) (placed bool, err error) {
	if err := m.lock.Check(); err != nil {
		return false, err
	}
	switch err := m.fs.Exchange(build, m.dir); {
	case err == nil:
		if err = m.fs.Remove(build); err != nil {
			back := m.fs.Exchange(build, m.dir)
			return back != nil, errors.Join(err, back)
		}
		return true, nil
	case !errors.Is(err, errors.ErrUnsupported):
		return false, err
	}
	if err := m.fs.Remove(m.dir); err != nil {
		return false, err
	}
	err = m.fs.Rename(build, m.dir)
	return err == nil, err
}

// place gives the new directory its name. placed says that it has the name, even if there is an
// error.
func (m *maker) place(build string) (placed bool, err error) {
	parent := filepath.Dir(m.dir)
	if err := m.fs.SyncDir(parent); err != nil {
		return false, err
	}
	switch {
	case m.lock == nil:
		err = m.fs.Rename(build, m.dir)
	case m.empty:
		placed, err = m.replaceEmpty(build)
	default:
		m.aside, err = m.swap(build, m.dir, m.lock, m.dir+".before-restore-"+m.now().UTC().Format("20060102T150405Z"))
	}
	if err != nil {
		return placed, err
	}
	if err := m.step("placed"); err != nil {
		return true, err
	}
	if err := m.fs.SyncDir(parent); err != nil {
		return true, fmt.Errorf("%s is in its place, but a power loss may undo that: %w", m.dir, err)
	}
	return true, m.step("done")
}
