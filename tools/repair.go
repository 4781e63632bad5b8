package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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

// RepairOptions say what a repair may do. The zero value only looks.
type RepairOptions struct {
	AcceptLoss  bool          // do it
	SegmentSize int64         // of the new log's files; 0: the default
	TempDir     string        // where what does not fit into memory goes; "": os.TempDir
	LockWait    time.Duration // as store.Options has it
	Progress    ProgressFunc

	// Report, if not nil, is called with the topics that are not sure, in the order of
	// core.CompareTopics, before anything is done. A counter is valid for one step of the
	// iteration. Report returns the iteration's error, if there is one, and its own; either ends
	// the repair.
	Report func(unsure iter.Seq2[*Counter, error]) error

	seams
	logFS  vfs.FS // that the old log is read on; nil: the OS
	memory int    // of collected topics, bytes; 0: repairMemory
}

// repairMemory is how much of the topics is collected before it goes to a temporary file, in bytes.
const repairMemory = 24 << 20

// mostUnsure is how many topics that are not sure are examples.
const mostUnsure = 10

// A Range is records, from First to Last; none if Last comes before First.
type Range struct{ First, Last uint64 }

// String is the range in words, such as "records 3 to 7".
func (r Range) String() string {
	switch {
	case r.First > r.Last:
		return fmt.Sprintf("no records after %d", r.Last)
	case r.First == r.Last:
		return fmt.Sprintf("record %d", r.First)
	}
	return fmt.Sprintf("records %d to %d", r.First, r.Last)
}

// Repaired is what a repair would do, or did.
type Repaired struct {
	Needless bool     // a server starts here: nothing was changed
	Reason   string   // why one does not start
	Lost     []Range  // records that cannot be read and that no sound snapshot has
	Open     bool     // more may have been lost after Index: nothing says where the log ended
	Believed bool     // the log is taken to end where it seems to: no snapshot that can be read says so
	Snapshot string   // what becomes of the snapshot: "sound", "missing", "not needed", "read in part"
	Index    uint64   // the highest index that is known of; the result goes on after it
	Topics   uint64   // of the result
	Sure     uint64   // of them: whose sums are what they were, or higher; of the others numbers may come again
	Unsure   [][]byte // the first few of those others, in the order of CompareTopics
	Doubtful uint64   // records whose payload had nothing to be compared with, taken all the same

	Done  bool
	Store wal.ID // of the result: a new one, unless nothing was lost
	Aside string // where the old directory is
}

const readInPart = "read in part"

// Partial says that there is a damaged snapshot whose entries are needed. There may have been
// topics that only entries which cannot be read had.
func (r *Repaired) Partial() bool { return r.Snapshot == readInPart }

// Whole says that nothing is lost.
func (r *Repaired) Whole() bool {
	return len(r.Lost) == 0 && !r.Open && !r.Partial() && r.Sure == r.Topics
}

// ErrTwoStores says that a snapshot and a log are of different stores: which of them is wanted no
// program can tell.
var ErrTwoStores = errors.New("tools: snapshot and log are of different stores; put the one that does not belong " +
	"here somewhere else, and try again")

// Repair makes a directory in which no server starts into one in which a server starts, and loses
// what cannot be read. Without AcceptLoss it only says what would be lost.
//
// The result is built beside dir from everything that can be read. Each topic gets the furthest
// state that anything shows, so that a number is handed out again only where nothing is left to
// show it. Then the result takes dir's place, and the old directory is kept whole as
// dir.broken-TIME. Interrupted at any moment it leaves what was there before, or the result; and
// perhaps a directory dir.repair-… beside it. Memory does not grow with the number of topics.
func Repair(ctx context.Context, dir string, o RepairOptions) (result *Repaired, err error) {
	o.seams = o.seams.withDefaults()
	if o.memory == 0 {
		o.memory = repairMemory
	}
	if o.logFS == nil {
		o.logFS = vfs.OS{}
	}
	if err := isDirectory(dir); err != nil {
		return nil, err
	}
	place, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if place, err = filepath.EvalSymlinks(place); err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, place, o.LockWait)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	r := &repair{RepairOptions: o, ctx: ctx, lock: lock, dir: dir, place: place, pause: newPause(ctx, nil),
		result: &Repaired{}}
	r.topics = newFurthest(r.collecting())
	defer func() { err = errors.Join(err, r.topics.Close()) }()
	if err := r.diagnose(); err != nil || r.result.Needless {
		return r.result, err
	}
	if err := r.gather(); err != nil {
		return r.result, err
	}
	if err := r.weigh(); err != nil || !o.AcceptLoss {
		return r.result, err
	}
	return r.result, r.replace()
}

// repair is one Repair.
type repair struct {
	RepairOptions
	ctx    context.Context
	pause  pause
	lock   *dirlock.Lock
	dir    string // as it was given
	place  string // the same without links, whose name the result gets
	result *Repaired

	meta    *snapshot.Meta // nil: cannot be read
	sound   bool           // the snapshot is
	missing bool           // it is not there
	id      wal.ID
	topics  furthest
	seen    []Range // records that were read, ascending and not touching
	began   uint64  // first index that the log has, as far as can be read; 0: none
	ended   bool    // the log was read to its end
	known   uint64  // the log reached at least this index, as the snapshot or the mark says
	beyond  bool    // a snapshot that is damaged names records after those of the log
}

func (r *repair) collecting() bytopic.Options {
	return bytopic.Options{Dir: r.TempDir, Memory: r.memory, Pause: r.pause}
}

// passed reports now and then, and says whether to go on.
func (r *repair) passed(phase, unit string, done, total uint64) error {
	r.Progress.report(phase, unit, done, total)
	return r.ctx.Err()
}

// entries gives those of a snapshot that is sound.
func (r *repair) entries(phase string, each func(snapshot.Entry) error) (snapshot.Meta, error) {
	var done uint64
	return (&snapshot.File{Path: store.SnapshotPath(r.dir), Rest: r.pause}).Read(func(m snapshot.Meta,
		e snapshot.Entry) error {
		done++
		if err := r.passed(phase, "topics", done, m.Count); err != nil {
			return err
		}
		return each(e)
	})
}

// diagnose finds out whether a start refuses, and why.
func (r *repair) diagnose() error {
	m, snapshotErr := r.entries("checking the snapshot", func(snapshot.Entry) error { return nil })
	var damage *wal.CorruptionError
	switch {
	case snapshotErr == nil:
		r.meta, r.sound = &m, true
	case errors.Is(snapshotErr, fs.ErrNotExist):
		r.missing = true
	case errors.As(snapshotErr, &damage), errors.Is(snapshotErr, wal.ErrNotOurs):
		r.result.Reason = snapshotErr.Error()
		if m, err := (&snapshot.File{Path: store.SnapshotPath(r.dir), Rest: r.pause}).Meta(); err == nil {
			r.meta = &m
		}
	default:
		return snapshotErr
	}
	var covered uint64
	if r.sound {
		covered = m.Replay
	}
	o := r.reading()
	o.Covered = covered
	log, logErr := wal.Open(store.LogDir(r.dir), o)
	var torn *wal.CorruptionError
	switch {
	case errors.Is(logErr, wal.ErrNoLog):
		if r.missing {
			return fmt.Errorf("%w: %s", store.ErrNoStore, r.dir)
		}
	case errors.As(logErr, &torn), errors.Is(logErr, wal.ErrNotOurs):
		if r.result.Reason == "" {
			r.result.Reason = logErr.Error()
		}
	case logErr != nil:
		return logErr
	}
	if r.meta != nil && log != nil && r.meta.Store != log.ID() {
		return ErrTwoStores
	}
	if r.result.Reason != "" {
		return nil
	}
	refusal := store.CheckTogether(r.dir, r.meta, log)
	if refusal == nil && log != nil {
		var err error
		if refusal, err = r.follows(log, covered); err != nil {
			return err
		}
	}
	if refusal == nil {
		r.result.Needless = true
		return nil
	}
	r.result.Reason = refusal.Error()
	return nil
}

// reading are the options that the log is read with.
func (r *repair) reading() wal.Options {
	o := wal.Options{FS: pausing{r.logFS, r.pause}}
	if r.meta != nil {
		o.Ours, o.Mark.Note = true, r.meta.Mark
	}
	return o
}

// follows replays what a start would replay, and finds what a start would refuse. err is what keeps
// it from that.
func (r *repair) follows(log *wal.Log, after uint64) (refusal, err error) {
	entries := func(each func(snapshot.Entry) error) error {
		if r.missing {
			return nil
		}
		_, err := r.entries("replaying the log", each)
		return err
	}
	changes := newChangesByTopic(r.collecting())
	refusal, err = changes.refusal(log, after, allOf(entries), func(done, total uint64) error {
		return r.passed("replaying the log", "records", done, total)
	})
	return refusal, errors.Join(err, changes.Close())
}

// gather reads all records, and of a snapshot that is damaged what makes sense, if the log cannot
// do without.
func (r *repair) gather() error {
	if r.sound {
		if _, err := r.entries("reading the snapshot", r.entry); err != nil {
			return err
		}
	}
	if r.meta != nil {
		r.id = r.meta.Store
	}
	found, err := wal.Survey(store.LogDir(r.dir), r.id, r.reading(), r.record)
	if err != nil && !errors.Is(err, wal.ErrNoLog) {
		return err
	}
	for _, s := range found {
		r.ended = s.Ends
		for _, damage := range s.Damage {
			var torn *wal.CorruptionError
			if !errors.As(damage, &torn) && !errors.Is(damage, wal.ErrNotOurs) {
				return damage // of a newer version, or the system cannot read it just now: it is not lost
			}
		}
		if r.id == (wal.ID{}) {
			r.id = s.Store
		}
		if r.began == 0 {
			r.began = max(s.Begins, s.First)
			if s.Begins > 0 && s.First > 0 {
				r.began = min(s.Begins, s.First)
			}
		}
	}
	mark, err := wal.FindMark(store.LogDir(r.dir), r.id, r.reading())
	if err = errors.Join(err, mark.Err); err != nil { // what cannot be read of it may name a later record
		return err
	}
	r.known = mark.Index
	if r.meta != nil {
		r.known = max(r.known, r.meta.DurableAtLeast)
	}
	switch {
	case r.sound:
		r.result.Snapshot = "sound"
	case r.began == 1:
		r.result.Snapshot = "not needed"
	case r.missing:
		r.result.Snapshot = "missing"
	default:
		r.result.Snapshot = readInPart
	}
	// Where it is not needed the log has everything. But without what a snapshot says of itself,
	// its entries alone show how far the log reached.
	needed := r.began != 1 || len(r.seen) != 1
	if r.sound || r.missing || !needed && r.meta != nil {
		return nil
	}
	if needed {
		r.result.Snapshot = readInPart // also where its entries replace records that are lost
	}
	highest := r.known
	if len(r.seen) > 0 {
		highest = max(highest, r.seen[len(r.seen)-1].Last)
	}
	return (&snapshot.File{Path: store.SnapshotPath(r.dir), Rest: r.pause}).Salvage(func(e snapshot.Entry) error {
		switch {
		case highest > 0 && e.Last > highest: // the entry is damaged, or records are missing
			r.beyond = true
		case needed:
			return errors.Join(r.entry(e), r.ctx.Err())
		}
		return r.ctx.Err()
	})
}

func (r *repair) entry(e snapshot.Entry) error { return r.topics.observe(e.Topic, e.Value, e.Last) }

// record takes what a record says: where its changes lead, and so where they start too, whatever is
// lost between.
func (r *repair) record(rec wal.Record, checked bool) error {
	for c, err := range core.Changes(rec.Type, rec.Payload) {
		if err != nil {
			return nil // an unchecked payload that is damaged: it counts as lost
		}
		if err := r.topics.observe(c.Topic, c.After(), rec.Index); err != nil {
			return err
		}
	}
	if !checked {
		r.result.Doubtful++
	}
	if n := len(r.seen); n > 0 && rec.Index == r.seen[n-1].Last+1 {
		r.seen[n-1].Last = rec.Index
	} else if n == 0 || rec.Index > r.seen[n-1].Last {
		r.seen = append(r.seen, Range{rec.Index, rec.Index})
	}
	r.Progress.report("reading the log", "records", rec.Index, 0)
	return r.ctx.Err()
}

// weigh finds out what is lost.
func (r *repair) weigh() error {
	res := r.result
	covered := uint64(0) // records up to here are in the snapshot, or were read
	if r.sound {
		covered = r.meta.Replay
	}
	for _, s := range r.seen {
		if s.First > covered+1 && !(res.Partial() && s == r.seen[0]) {
			res.Lost = append(res.Lost, Range{covered + 1, s.First - 1})
		}
		covered = max(covered, s.Last)
	}
	res.Index = covered
	if r.known > covered {
		res.Lost = append(res.Lost, Range{covered + 1, r.known})
		res.Index = r.known
	}
	res.Open = !r.proven()
	res.Believed = !res.Open && r.meta == nil
	err := r.topics.each(func(e snapshot.Entry) error {
		res.Topics++
		if r.sure(e) {
			res.Sure++
		} else if len(res.Unsure) < mostUnsure {
			res.Unsure = append(res.Unsure, bytes.Clone(e.Topic))
		}
		return r.passed("weighing", "topics", res.Topics, 0)
	})
	if err == nil && r.Report != nil {
		err = r.Report(r.unsure)
	}
	return err
}

// sure says whether no number of a topic can be handed out twice: a record after all lost ones
// names the topic.
func (r *repair) sure(e snapshot.Entry) bool {
	lastLost := uint64(0)
	if lost := r.result.Lost; len(lost) > 0 {
		lastLost = lost[len(lost)-1].Last
	}
	partial := r.result.Partial() && (r.began == 0 || e.Last < r.began)
	return !r.result.Open && !partial && (e.Last > lastLost || lastLost == 0)
}

// unsure yields the topics that are not sure, as they will be.
func (r *repair) unsure(yield func(*Counter, error) bool) {
	err := r.topics.each(func(e snapshot.Entry) error {
		if r.sure(e) {
			return r.pause()
		}
		e.Last = min(e.Last, r.result.Index)
		if !yield(&Counter{Entry: e}, nil) {
			return errEnough
		}
		return r.pause()
	})
	if err != nil && !errors.Is(err, errEnough) {
		yield(nil, err)
	}
}

// proven says whether the directory proves where the log ended.
//
// If the store was closed, the snapshot names the last record. If not, the end of the log must have
// been read, and must not come before the record that snapshot or mark name: such an end is that of
// a segment whose successors are missing, even where the snapshot has their records. Where there is
// no snapshot that says anything, a log that is whole from the first record on is believed, as at a
// start.
func (r *repair) proven() bool {
	last := max(r.began, 1) - 1
	if n := len(r.seen); n > 0 {
		last = r.seen[n-1].Last
	}
	switch {
	case r.meta == nil:
		return r.ended && r.began == 1 && len(r.result.Lost) == 0 && !r.beyond
	case r.meta.State == snapshot.StateClosed && last <= r.meta.DurableAtLeast && r.known == r.meta.DurableAtLeast:
		return true
	}
	return r.ended && last >= r.known
}

// replace builds the result and exchanges it for the directory.
func (r *repair) replace() error {
	res := r.result
	res.Store = r.id
	if !r.result.Whole() || r.id == (wal.ID{}) {
		id, err := wal.NewID()
		if err != nil {
			return err
		}
		res.Store = id
	}
	build, err := makeBeside(r.place, ".repair-")
	if err != nil {
		return err
	}
	if err = errors.Join(r.build(build), r.ctx.Err()); err == nil {
		err = r.holding(r.ctx, build, func() error { return r.exchangeFor(build) })
	}
	if err != nil && !res.Done {
		err = errors.Join(err, os.RemoveAll(build))
	}
	return err
}

// exchangeFor exchanges the directory for what was built.
func (r *repair) exchangeFor(build string) error {
	aside, err := r.swap(build, r.place, r.lock, r.place+".broken-"+r.now().UTC().Format("20060102T150405Z"))
	if err != nil {
		return err
	}
	r.result.Done, r.result.Aside = true, r.asGiven(aside)
	if err := r.step("placed"); err != nil {
		return err
	}
	if err := r.fs.SyncDir(filepath.Dir(r.place)); err != nil {
		return fmt.Errorf("%s is in its place, but a power loss may undo that: %w", r.dir, err)
	}
	return r.step("done")
}

// asGiven is a path relative to the working directory, if the directory was named so.
func (r *repair) asGiven(path string) string {
	if filepath.IsAbs(r.dir) {
		return path
	}
	here, err := filepath.Abs(".")
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	if err != nil {
		return path
	}
	if relative, err := filepath.Rel(here, path); err == nil {
		return relative
	}
	return path
}

// build makes the result: a snapshot of everything, and an empty log that goes on after it.
func (r *repair) build(dir string) error {
	res := r.result
	if err := r.step("begun"); err != nil {
		return err
	}
	sum := newEntrySum()
	if err := r.buildSnapshot(store.SnapshotPath(dir), sum); err != nil {
		return err
	}
	if err := r.step("snapshot"); err != nil {
		return err
	}
	if err := wal.Create(store.LogDir(dir), res.Store, res.Index+1, newLog(r.fs, r.SegmentSize)); err != nil {
		return err
	}
	if err := r.step("log"); err != nil {
		return err
	}
	built := built{dir: dir, store: res.Store, index: res.Index, entries: res.Topics, sum: sum.sum(), pause: r.pause}
	err := built.check(r.fs, func(phase string, done, total uint64) error {
		return r.passed(phase, "topics", done, total)
	})
	if err != nil {
		return fmt.Errorf("what was built does not read back: %w", err)
	}
	if err := owner.Keep(r.place, dir); err != nil {
		return err
	}
	if err := r.fs.SyncDir(dir); err != nil { // the names are durable already; its owner may not be
		return err
	}
	return r.step("durable")
}

func (r *repair) buildSnapshot(path string, sum *entrySum) error {
	b, err := snapshot.NewBuilder(r.fs, path, r.result.Store)
	if err != nil {
		return err
	}
	var done uint64
	err = r.topics.each(func(e snapshot.Entry) error {
		done++
		e.Last = min(e.Last, r.result.Index)
		sum.add(e)
		return errors.Join(b.Add(e), r.passed("building", "topics", done, r.result.Topics))
	})
	if err == nil {
		_, err = b.Finish(r.result.Index)
	}
	return errors.Join(err, b.Abort())
}
