package tools

import (
	"cmp"
	"context"
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
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// CompactOptions say how a directory is compacted. The zero value works.
type CompactOptions struct {
	KeepLog  bool          // remove no segment
	TempDir  string        // for changes that do not fit into memory; "": the store's directory
	LockWait time.Duration // as store.Options has it
	Progress ProgressFunc

	fs   vfs.FS                  // default the OS
	step func(done string) error // called after each step; an error ends the work as it is
	run  int                     // bytes of changes in memory; default replayMemory
}

// Compacted is what Compact did.
type Compacted struct {
	Nothing       bool   // there was nothing to do: no file was changed
	Index         uint64 // the snapshot's now
	Topics        uint64
	Records       uint64 // that were folded into the snapshot
	Segments      int    // that were removed
	First, Last   uint64 // the records in those; 0 if there were none
	Before, After int64  // bytes of all files
}

// Compact brings the snapshot of a stopped store up to the end of its log, writes its file anew
// without gaps, and removes the segments that it covers, with the history that they hold. It
// refuses what a start would refuse, with the same errors, and has changed nothing then. It is
// store.ErrLocked while a server runs, and store.ErrNoStore where there is no store. Interrupted at
// any moment it leaves a directory that starts, with the same counters. Memory does not grow with
// the number of topics.
func Compact(ctx context.Context, dir string, o CompactOptions) (Compacted, error) {
	if o.fs == nil {
		o.fs = vfs.OS{}
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	if o.run == 0 {
		o.run = replayMemory
	}
	if err := isDirectory(dir); err != nil {
		return Compacted{}, err
	}
	lock, err := lockDir(ctx, dir, o.LockWait)
	if err != nil {
		return Compacted{}, err
	}
	c := &compact{CompactOptions: o, ctx: ctx, lock: lock, dir: dir, path: store.SnapshotPath(dir),
		new: store.SnapshotPath(dir) + ".new"}
	err = c.do()
	return c.result, errors.Join(err, lock.Release())
}

// compact is one Compact, under the lock.
type compact struct {
	CompactOptions
	ctx       context.Context
	lock      *dirlock.Lock
	dir       string
	path, new string // of the snapshot

	before  snapshot.Meta
	missing bool // there was no snapshot: it is made from the whole log
	log     *wal.Log
	changes changesByTopic // after the snapshot
	result  Compacted

	segments []wal.SegmentInfo // of the log, when it was opened
	placed   bool              // the new snapshot is in its place: from then on nothing is interrupted

	// Under build.
	b   *snapshot.Builder
	sum *entrySum
}

func (c *compact) do() (err error) {
	if c.result.Before, err = c.size(); err != nil {
		return err
	}
	c.result.After = c.result.Before
	if err := c.open(); err != nil {
		return err
	}
	c.segments = c.log.Segments()
	err = c.fold()
	if vfs.NoRoom(err) {
		var freed bool
		if freed, err = c.makeRoom(err); freed {
			err = c.fold()
		}
	}
	err = errors.Join(err, c.log.Close())
	if err == nil {
		c.result.After, err = c.size()
	}
	return err
}

// pause ends the work with its context, as long as nothing was changed.
func (c *compact) pause() error {
	if c.placed {
		return nil
	}
	return c.ctx.Err()
}

// fold brings the snapshot up to the end of the log.
func (c *compact) fold() error {
	c.changes = newChangesByTopic(bytopic.Options{Dir: cmp.Or(c.TempDir, c.dir), Memory: c.run, Pause: c.pause})
	c.result.Records = 0
	err := c.readTail()
	if err == nil {
		err = c.write()
	}
	return errors.Join(err, c.changes.Close())
}

// makeRoom gives up what is not needed when the disk is full: the reserve, the spare, and the part
// of the log that the old snapshot covers and that would be removed anyway. freed says that there
// was something. If not, the error is full, which is the one of the full disk.
func (c *compact) makeRoom(full error) (freed bool, err error) {
	err = c.fs.Remove(store.ReservePath(c.dir))
	if freed = err == nil; freed {
		err = c.fs.SyncDir(c.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, errors.Join(full, err)
	}
	if err := c.log.Start(); err != nil {
		return false, errors.Join(full, err)
	}
	if !c.KeepLog {
		if err := c.log.Release(c.before.Replay); err != nil {
			return false, errors.Join(full, err)
		}
		freed = freed || c.removed() > 0
	}
	if !freed {
		return false, full
	}
	return true, c.step("room made")
}

// removed is how many segments were.
func (c *compact) removed() int { return len(c.segments) - len(c.log.Segments()) }

// open reads what a start reads before it replays, and refuses what a start refuses.
func (c *compact) open() error {
	m, err := (&snapshot.File{Path: c.path, Rest: c.pause}).Meta()
	if c.missing = errors.Is(err, fs.ErrNotExist); err != nil && !c.missing {
		return err
	}
	meta := &m
	if c.missing {
		meta = nil
	}
	c.log, err = wal.Open(store.LogDir(c.dir), wal.Options{
		FS: pausing{c.fs, c.pause}, Covered: m.Replay, Ours: !c.missing, Check: c.lock.Check,
		Mark: wal.MarkOptions{Note: m.Mark},
	})
	if errors.Is(err, wal.ErrNoLog) {
		if err := store.CheckTogether(c.dir, meta, nil); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", store.ErrNoStore, c.dir)
	}
	if err != nil {
		return err
	}
	if err := store.CheckTogether(c.dir, meta, c.log); err != nil {
		return errors.Join(err, c.log.Close())
	}
	c.before = m
	if c.missing {
		c.before.Store = c.log.ID()
	}
	c.result.Index = c.log.Last()
	return nil
}

// readTail collects the changes after the snapshot by topic.
func (c *compact) readTail() error {
	if c.log.Last() == c.before.Replay {
		return nil
	}
	total := c.log.Last() - c.before.Replay
	for r, err := range c.log.Records(c.before.Replay + 1) {
		if err != nil {
			return err
		}
		for change, err := range core.Changes(r.Type, r.Payload) {
			if err != nil {
				return c.damaged(r, err)
			}
			if err := c.changes.add(r.Index, change); err != nil {
				return err
			}
		}
		c.result.Records++
		if err := c.passed("reading the log", "records", c.result.Records, total); err != nil {
			return err
		}
	}
	if c.result.Records != total {
		return fmt.Errorf("%s: %d records were read, but there should be %d", store.LogDir(c.dir), c.result.Records,
			total)
	}
	return nil
}

func (c *compact) passed(phase, unit string, done, total uint64) error {
	c.Progress.report(phase, unit, done, total)
	return c.ctx.Err()
}

func (c *compact) damaged(r wal.Record, err error) error {
	file := store.LogDir(c.dir)
	for _, seg := range c.log.Segments() {
		if seg.Number == r.Segment {
			file = seg.Path
		}
	}
	return &wal.CorruptionError{File: file, Offset: r.Offset, Index: r.Index, Err: err}
}

// write makes the new snapshot. If that changes anything, it puts it into its place and removes
// what it covers.
func (c *compact) write() error {
	if err := c.fs.Remove(c.new); err != nil && !errors.Is(err, fs.ErrNotExist) { // half made, as a start removes it
		return err
	}
	placed := false
	err := c.build()
	if err == nil {
		err = c.ctx.Err()
	}
	if err == nil {
		if c.result.Nothing, err = c.nothing(); err == nil && !c.result.Nothing {
			placed, err = c.place()
		}
	}
	if !placed {
		if remove := c.fs.Remove(c.new); remove != nil && !errors.Is(remove, fs.ErrNotExist) {
			err = errors.Join(err, remove)
		}
	}
	return err
}

// build writes the new snapshot beside the old one, and reads it back.
func (c *compact) build() (err error) {
	if c.b, err = snapshot.NewBuilder(c.fs, c.new, c.before.Store); err != nil {
		return err
	}
	c.b.Mark = c.before.Mark // the mark stays as it is
	if err := c.step("begun"); err != nil {
		return errors.Join(err, c.b.Abort())
	}
	c.sum = newEntrySum()
	err = c.entries()
	var m snapshot.Meta
	if err == nil {
		m, err = c.b.Finish(c.log.Last())
	}
	if err := errors.Join(err, c.b.Abort()); err != nil {
		return err
	}
	if err := c.step("built"); err != nil {
		return err
	}
	c.result.Topics = m.Count
	back := newEntrySum()
	var done uint64
	read, err := (&snapshot.File{Path: c.new, Rest: c.pause}).Read(func(_ snapshot.Meta, e snapshot.Entry) error {
		back.add(e)
		done++
		return c.passed("reading back", "topics", done, m.Count)
	})
	if err == nil && (read != m || back.sum() != c.sum.sum()) {
		err = errors.New("it differs from what was written")
	}
	if err != nil {
		return fmt.Errorf("the new snapshot does not read back: %w", err)
	}
	return c.step("read back")
}

// entries brings the entries of the snapshot up to the end of the log, and adds them to the new
// one.
func (c *compact) entries() error {
	for e, err := range c.changes.replay(allOf(c.old), c.broken) {
		if err == nil {
			c.sum.add(e)
			err = c.b.Add(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// old are the entries of the snapshot, if there is one.
func (c *compact) old(each func(snapshot.Entry) error) error {
	if c.missing {
		return nil
	}
	var done uint64
	_, err := (&snapshot.File{Path: c.path, Rest: c.pause}).Read(func(m snapshot.Meta, e snapshot.Entry) error {
		if err := each(e); err != nil {
			return err
		}
		done++
		return c.passed("writing the snapshot", "topics", done, m.Count)
	})
	return err
}

// broken is a notFollowing.
func (c *compact) broken(topic []byte, index uint64, from, at core.Value) error {
	reason := doesNotFollow(topic, index, from, at)
	for r, err := range c.log.Records(index) {
		if err != nil {
			return err
		}
		return c.damaged(r, reason)
	}
	return reason
}

// nothing says that the directory is compact already: the new snapshot is like the old one, and no
// file can go.
func (c *compact) nothing() (bool, error) {
	if c.missing || c.result.Records > 0 || c.before.State != snapshot.StateClosed || c.log.Tail().Length > 0 ||
		c.releases() > 0 || c.removed() > 0 {
		return false, nil
	}
	if _, err := os.Lstat(filepath.Join(store.LogDir(c.dir), "spare")); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	var damage *wal.CorruptionError
	if _, err := (&snapshot.File{Path: c.path, Rest: c.pause}).Check(nil); errors.As(err, &damage) {
		return false, nil // of what no start reads, and the new one does not have
	} else if err != nil {
		return false, err
	}
	was, err := os.Stat(c.path)
	if err != nil {
		return false, err
	}
	is, err := os.Stat(c.new)
	return err == nil && is.Size() >= was.Size(), err
}

// releases is how many segments are to go.
func (c *compact) releases() int {
	if c.KeepLog {
		return 0
	}
	return len(c.log.Segments()) - 1
}

// place puts the new snapshot into the place of the old one. When that is durable it removes the
// segments that the snapshot covers. placed says that the snapshot is in its place, even if there
// is an error.
func (c *compact) place() (placed bool, err error) {
	from := c.path
	if c.missing {
		from = c.dir
	}
	if err := owner.Keep(from, c.new); err != nil {
		return false, err
	}
	if err := c.log.Start(); err != nil { // what the snapshot says of the log must be on the disk first
		return false, err
	}
	if err := c.step("log durable"); err != nil {
		return false, err
	}
	if err := c.lock.Check(); err != nil {
		return false, err
	}
	c.placed = true
	if err := c.fs.Rename(c.new, c.path); err != nil {
		c.placed = false
		return false, err
	}
	if err := c.step("renamed"); err != nil {
		return true, err
	}
	if err := c.fs.SyncDir(c.dir); err != nil {
		return true, err
	}
	if err := c.step("durable"); err != nil {
		return true, err
	}
	if !c.KeepLog {
		err := c.log.Release(c.log.Last())
		if c.result.Segments = c.removed(); c.result.Segments > 0 {
			c.result.First, c.result.Last = c.segments[0].First, c.segments[c.result.Segments-1].Last
		}
		if err != nil {
			return true, err
		}
	}
	return true, c.step("done")
}

// size is that of all files of the store, in bytes.
func (c *compact) size() (int64, error) {
	var total int64
	for _, dir := range []string{c.dir, store.LogDir(c.dir)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil {
				return 0, err
			}
			if info.Mode().IsRegular() {
				total += info.Size()
			}
		}
	}
	return total, nil
}
