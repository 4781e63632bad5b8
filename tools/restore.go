package tools

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"gcd/internal/dirlock"
	"gcd/internal/owner"
	"gcd/internal/vfs"
	"gcd/store"
	"gcd/wal"
)

// RestoreOptions say how a dump becomes a directory. The zero value works.
type RestoreOptions struct {
	Force       bool          // take the place of a directory that is not empty; the old one is kept aside
	Advance     uint64        // is added to every sum
	SegmentSize int64         // of the new log's files, in bytes, as store.Options has it; 0: the default
	LockWait    time.Duration // as store.Options has it
	Progress    ProgressFunc

	seams
}

// Restored is what Restore did.
type Restored struct {
	From    DumpHeader
	Entries uint64
	Store   wal.ID // the new directory's
	Aside   string // path of the directory whose place was taken; empty if there was none
}

// Restore makes a store's directory from a dump file, NDJSON or CSV: all of it or nothing. It is built beside dir, checked, made
// durable and renamed; interrupted at any moment it leaves what was there before, and perhaps a directory dir.restore-… beside
// it. The new directory is a store of its own, with a new UUID; its log goes on behind the dump's index.
//
// A dir that is not empty is fs.ErrExist without Force, and with it store.ErrNoStore and
// wal.ErrNotOurs if it holds something else than a store, store.ErrLocked while a server runs in
// it, and store.ErrBusy while another tool keeps it. Damage to the file is a *DumpError, and a
// newer version wal.ErrVersion. The directory above dir has to be there and writable, and dir must
// not be a mount point.
func Restore(ctx context.Context, file, dir string, o RestoreOptions) (Restored, error) {
	o.seams = o.seams.withDefaults()
	r := &restore{ctx: ctx, RestoreOptions: o}
	if err := r.open(file); err != nil {
		return Restored{}, err
	}
	defer r.file.Close()
	if err := r.read(); err != nil {
		return Restored{}, err
	}
	if err := r.target(dir); err != nil {
		return Restored{}, err
	}
	err := r.replace()
	if r.lock != nil {
		err = errors.Join(err, r.lock.Release())
	}
	return r.result, err
}

// restore is one Restore.
type restore struct {
	RestoreOptions
	ctx  context.Context
	file *os.File
	size int64

	// Of the first reading.
	footer DumpFooter
	sum    [sha256.Size]byte // of the entries as they are to be

	given  string        // as it was named
	dir    string        // absolute, no link
	lock   *dirlock.Lock // of dir; nil: nothing is there
	empty  bool          // an empty directory
	result Restored
}

func (r *restore) open(name string) error {
	if name == "-" {
		return errors.New("a dump is read twice, so it must be a file, not the standard input")
	}
	var err error
	if r.file, err = vfs.OpenRegular(name, os.O_RDONLY); errors.Is(err, vfs.ErrNotRegular) {
		err = fmt.Errorf("a dump is read twice, so it must be a file: %w", err)
	}
	if err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return errors.Join(err, r.file.Close())
	}
	r.size = info.Size()
	return nil
}

// read is the first reading: the file is whole, its digest is right, and no sum would be too large.
func (r *restore) read() error {
	sum := newEntrySum()
	header, footer, err := r.dump("checking the dump", 0, func(_ DumpHeader, e store.Entry) error {
		sum.add(e)
		return nil
	})
	if err != nil {
		return err
	}
	if header.Index > math.MaxInt64 {
		return fmt.Errorf("%s: the index %d leaves no room for a log behind it", r.file.Name(), header.Index)
	}
	r.footer, r.sum = footer, sum.sum()
	r.result.From, r.result.Entries = header, footer.Entries
	return nil
}

// dump reads the file from its beginning and calls each with its entries, advanced.
func (r *restore) dump(phase string, total uint64, each func(DumpHeader, store.Entry) error) (DumpHeader, DumpFooter, error) {
	var done uint64
	header, footer, err := ReadDump(io.NewSectionReader(r.file, 0, r.size), func(h DumpHeader, e store.Entry) error {
		done++
		if err := r.passed(phase, done, total); err != nil {
			return err
		}
		if e.Sum > math.MaxUint64-r.Advance {
			return fmt.Errorf("the sum %d of topic %.64q cannot be advanced by %d: the highest sum is %d", e.Sum, e.Topic, r.Advance, uint64(math.MaxUint64))
		}
		e.Sum += r.Advance
		return each(h, e)
	})
	if err != nil {
		return header, footer, fmt.Errorf("%s: %w", r.file.Name(), err)
	}
	return header, footer, r.ctx.Err()
}

// passed is called behind each entry: now and then it reports, and looks whether to go on.
func (r *restore) passed(phase string, done, total uint64) error {
	r.Progress.report(phase, "topics", done, total)
	if done%progressEvery == 0 {
		return r.ctx.Err()
	}
	return nil
}

// target finds out what is at dir, and locks it.
func (r *restore) target(dir string) (err error) {
	r.given = dir
	if r.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(r.dir); err == nil { // or a link would take the place of what it points at
		r.dir = real
	}
	wait := r.LockWait
	if wait == 0 {
		wait = lockWait
	}
	switch err := r.replaceable(); {
	case errors.Is(err, fs.ErrNotExist):
		return errors.Join(vfs.CheckLink(r.dir), r.parent())
	case err != nil:
		return err
	}
	r.lock, err = dirlock.Own(r.ctx, r.dir, dirlock.Options{NoFile: r.empty, Wait: wait, Admit: r.replaceable})
	return err
}

// replaceable says whether what is at dir may be replaced.
func (r *restore) replaceable() error {
	names, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return err
	}
	if r.empty = len(names) == 0; r.empty {
		return nil
	}
	if !r.Force {
		return &fs.PathError{Op: "restore", Path: r.given, Err: fs.ErrExist}
	}
	there, err := store.Holds(r.dir)
	if there || err != nil {
		return err
	}
	return store.Empty(r.given) // what is something else: perhaps it is the directory above that of a server, which would go on in what was put aside
}

// parent looks for the directory that the new one is to be in: a name that was mistyped makes none.
func (r *restore) parent() error {
	parent := filepath.Dir(r.dir)
	_, err := os.Stat(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be made: there is no directory %s", r.dir, parent)
	}
	return err
}

// replace builds the new directory and puts it where it belongs.
func (r *restore) replace() error {
	build, err := makeBeside(r.dir, ".restore-")
	if err != nil {
		return err
	}
	placed := false
	err = r.build(build)
	if err == nil {
		err = r.holding(r.ctx, build, func() (err error) { placed, err = r.place(build); return err })
	}
	if err != nil && !placed {
		err = errors.Join(err, os.RemoveAll(build))
	}
	return err
}

// build makes a whole, durable store in an empty directory.
func (r *restore) build(dir string) error {
	id, err := wal.NewID()
	if err != nil {
		return err
	}
	r.result.Store = id
	if err := r.step("begun"); err != nil {
		return err
	}
	if err := r.buildSnapshot(store.SnapshotPath(dir)); err != nil {
		return err
	}
	if err := r.step("snapshot"); err != nil {
		return err
	}
	if err := wal.Create(store.LogDir(dir), id, r.result.From.Index+1, newLog(r.fs, r.SegmentSize)); err != nil {
		return err
	}
	if err := r.step("log"); err != nil {
		return err
	}
	built := built{dir: dir, store: id, index: r.result.From.Index, entries: r.result.Entries, sum: r.sum}
	if err := built.check(r.fs, r.passed); err != nil {
		return fmt.Errorf("what was restored does not read back: %w", err)
	}
	if r.lock != nil {
		if err := owner.Keep(r.dir, dir); err != nil {
			return err
		}
	}
	if err := r.fs.SyncDir(dir); err != nil {
		return err
	}
	return r.step("durable")
}

// buildSnapshot is the second reading.
func (r *restore) buildSnapshot(path string) error {
	b, err := store.NewBuilder(r.fs, path, r.result.Store)
	if err != nil {
		return err
	}
	header, footer, err := r.dump("building", r.result.Entries, func(_ DumpHeader, e store.Entry) error { return b.Add(e) })
	if err == nil && (header != r.result.From || footer != r.footer) {
		err = fmt.Errorf("%s was changed while it was read", r.file.Name())
	}
	if err == nil {
		_, err = b.Finish(r.result.From.Index)
	}
	return errors.Join(err, b.Abort())
}

// replaceEmpty puts the new directory into the place of an empty one, in one step where the system
// can: a start finds the one or the other. It fails if somebody, who takes no lock, has put
// something into it.
func (r *restore) replaceEmpty(build string) (placed bool, err error) {
	if err := r.lock.Check(); err != nil {
		return false, err
	}
	switch err := r.exchange(build, r.dir); {
	case err == nil:
		if err = r.fs.Remove(build); err != nil {
			back := r.exchange(build, r.dir)
			return back != nil, errors.Join(err, back)
		}
		return true, nil
	case !errors.Is(err, errors.ErrUnsupported):
		return false, err
	}
	if err := r.fs.Remove(r.dir); err != nil {
		return false, err
	}
	err = r.fs.Rename(build, r.dir)
	return err == nil, err
}

// place gives the new directory its name. placed says that it has it, whatever the error is.
func (r *restore) place(build string) (placed bool, err error) {
	parent := filepath.Dir(r.dir)
	if err := r.fs.SyncDir(parent); err != nil {
		return false, err
	}
	switch {
	case r.lock == nil:
		err = r.fs.Rename(build, r.dir)
	case r.empty:
		placed, err = r.replaceEmpty(build)
	default:
		r.result.Aside, err = r.swap(build, r.dir, r.lock, r.dir+".before-restore-"+r.now().UTC().Format("20060102T150405Z"))
	}
	if err != nil {
		return placed, err
	}
	if err := r.step("placed"); err != nil {
		return true, err
	}
	if err := r.fs.SyncDir(parent); err != nil {
		return true, fmt.Errorf("%s is in its place, but a power loss may undo that: %w", r.dir, err)
	}
	return true, r.step("done")
}
