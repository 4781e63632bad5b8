package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gcd/internal/vfs"
	"gcd/store"
	"gcd/wal"
)

// RepairOptions say what a repair may do. The zero value only looks.
type RepairOptions struct {
	AcceptLoss  bool  // do it
	SegmentSize int64 // of the new log's files; 0: the default
	Progress    ProgressFunc

	now func() time.Time
}

// A Range is records that are lost.
type Range struct{ First, Last uint64 }

// Repaired is what a repair would do, or did.
type Repaired struct {
	Needless bool     // a server starts here: nothing was changed
	Reason   string   // why one does not start
	Lost     []Range  // records that cannot be read and that no sound snapshot has
	Open     bool     // more may have been lost behind Index: nothing says where the log ended
	Snapshot string   // what becomes of the snapshot: "sound", "missing", "not needed", "read in part"
	Index    uint64   // the highest index that is known of; the result goes on behind it
	Topics   uint64   // of the result
	Sure     uint64   // of them: whose sums are what they were, or higher
	Unsure   [][]byte // the others, in the order of CompareTopics: numbers of theirs may be handed out again
	Doubtful uint64   // records whose payload had nothing to be compared with, taken all the same

	Done  bool
	Store wal.ID // of the result: a new one, unless nothing was lost
	Aside string // where the old directory is
}

// Whole says that nothing is lost.
func (r *Repaired) Whole() bool { return len(r.Lost) == 0 && !r.Open && len(r.Unsure) == 0 }

// ErrTwoStores says that a snapshot and a log are of different stores: which of them is wanted no program can tell.
var ErrTwoStores = errors.New("tools: snapshot and log are of different stores; put the one that does not belong here somewhere else, and try again")

// Repair makes a directory that no server starts in into one that starts, and loses what cannot be read. Without AcceptLoss it
// only says what that is. The result is built beside dir from everything that can be read; a topic has the furthest state that anything is witness to, so that a number is
// handed out again only where nothing is left to tell. Then it takes dir's place, and the old directory is kept whole as dir.broken-TIME. Memory: as a server's.
func Repair(ctx context.Context, dir string, o RepairOptions) (result *Repaired, err error) {
	if o.now == nil {
		o.now = time.Now
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	release, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	r := &repair{RepairOptions: o, ctx: ctx, dir: dir, topics: map[string]*salvaged{}, result: &Repaired{}}
	if err := r.look(); err != nil || r.result.Needless {
		return r.result, err
	}
	r.weigh()
	if !o.AcceptLoss {
		return r.result, nil
	}
	return r.result, r.replace()
}

// repair is one Repair.
type repair struct {
	RepairOptions
	ctx    context.Context
	dir    string
	result *Repaired

	meta   *store.SnapshotMeta // nil: cannot be read
	sound  bool                // the snapshot is, and it is needed
	id     wal.ID
	topics map[string]*salvaged
	seen   []Range // records that were read, ascending and not touching
	began  uint64  // first index that the log has, as far as can be read; 0: none
}

// salvaged is the furthest state of a topic that anything is witness to.
type salvaged struct {
	store.Value
	last uint64 // record that is witness
}

func further(a, b store.Value) bool { return a.Epoch > b.Epoch || a.Epoch == b.Epoch && a.Sum > b.Sum }

func (r *repair) take(topic []byte, v store.Value, index uint64) {
	t := r.topics[string(topic)]
	if t == nil {
		t = &salvaged{}
		r.topics[string(topic)] = t
	}
	if further(v, t.Value) {
		t.Value = v
	}
	t.last = max(t.last, index)
}

// look finds out whether a start refuses, and reads everything that can be read.
func (r *repair) look() error {
	path := store.SnapshotPath(r.dir)
	m, snapshotErr := store.ReadSnapshot(path, func(_ store.SnapshotMeta, e store.Entry) error {
		r.take(e.Topic, e.Value, e.Last)
		return r.ctx.Err()
	})
	missing := errors.Is(snapshotErr, fs.ErrNotExist)
	var damage *store.CorruptionError
	switch {
	case snapshotErr == nil:
		r.meta, r.sound = &m, true
	case missing:
	case errors.As(snapshotErr, &damage), errors.Is(snapshotErr, wal.ErrNotOurs):
		r.result.Reason = snapshotErr.Error()
		clear(r.topics)
		if m, err := store.ReadSnapshotMeta(path); err == nil {
			r.meta = &m
		}
	default:
		return snapshotErr
	}
	var settled uint64
	if r.sound {
		settled = m.Replay
	}
	log, logErr := wal.Open(store.LogDir(r.dir), wal.Options{Settled: settled})
	var torn *wal.CorruptionError
	switch {
	case errors.Is(logErr, wal.ErrNoLog):
		if missing {
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
	if r.result.Reason == "" {
		fit := store.Fits(r.dir, r.meta, log)
		if fit == nil {
			fit = r.follows(log, settled)
		}
		if fit == nil {
			r.result.Needless = true
			return nil
		}
		r.result.Reason = fit.Error()
	}
	return r.gather(path, missing)
}

// follows replays what a start would, and returns what it would refuse.
func (r *repair) follows(log *wal.Log, behind uint64) error {
	if log == nil {
		return nil
	}
	for rec, err := range log.Records(behind + 1) {
		if err != nil {
			return err
		}
		for c, err := range store.Changes(rec.Payload) {
			if err != nil {
				return err
			}
			var at store.Value
			if t := r.topics[string(c.Topic)]; t != nil {
				at = t.Value
			}
			if c.Held(at) {
				continue
			}
			if at != c.Before() {
				return doesNotFollow(c.Topic, rec.Index, c.Before(), at)
			}
			r.take(c.Topic, c.After(), rec.Index)
		}
	}
	return nil
}

// gather reads all records, and of a snapshot that is damaged what makes sense, if the log cannot do without.
func (r *repair) gather(path string, missing bool) error {
	if r.meta != nil {
		r.id = r.meta.Store
	}
	found, err := wal.Survey(store.LogDir(r.dir), r.id, wal.Options{}, r.record)
	if err != nil && !errors.Is(err, wal.ErrNoLog) {
		return err
	}
	for _, s := range found {
		for _, damage := range s.Damage {
			if errors.Is(damage, wal.ErrVersion) {
				return damage
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
	switch {
	case r.sound:
		r.result.Snapshot = "sound"
	case r.began == 1:
		r.result.Snapshot = "not needed"
	case missing:
		r.result.Snapshot = "missing"
	default:
		r.result.Snapshot = "read in part"
	}
	if r.sound || missing || r.began == 1 && len(r.seen) == 1 {
		return nil
	}
	r.result.Snapshot = "read in part" // also where it is to make up for records that are lost
	var highest uint64
	if r.meta != nil {
		highest = r.meta.Witness
	}
	if len(r.seen) > 0 {
		highest = max(highest, r.seen[len(r.seen)-1].Last)
	}
	return store.SalvageSnapshot(path, func(e store.Entry) error {
		if highest > 0 && e.Last > highest {
			return nil // no record has that index: the entry is damaged
		}
		r.take(e.Topic, e.Value, e.Last)
		return r.ctx.Err()
	})
}

// record takes what a record says: where its changes lead, and so also where they start, whatever is lost between.
func (r *repair) record(rec wal.Record, checked bool) error {
	for c, err := range store.Changes(rec.Payload) {
		if err != nil {
			return nil // an unchecked payload that is damaged: it counts as lost
		}
		r.take(c.Topic, c.After(), rec.Index)
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
func (r *repair) weigh() {
	res := r.result
	covered := uint64(0) // records up to here are in the snapshot, or were read
	if r.sound {
		covered = r.meta.Replay
	}
	for _, s := range r.seen {
		if s.First > covered+1 && !(res.Snapshot == "read in part" && s == r.seen[0]) {
			res.Lost = append(res.Lost, Range{covered + 1, s.First - 1})
		}
		covered = max(covered, s.Last)
	}
	res.Index = covered
	if r.meta != nil && r.meta.Witness > covered {
		res.Lost = append(res.Lost, Range{covered + 1, r.meta.Witness})
		res.Index = r.meta.Witness
	}
	switch {
	case r.meta != nil && r.meta.State == store.StateClosed:
		res.Open = false // the witness is the last record
	case len(r.seen) == 0:
		res.Open = true
	case r.meta == nil:
		res.Open = r.began != 1 || len(res.Lost) > 0 // else as for a start that finds no snapshot
	default:
		res.Open = len(res.Lost) > 0 && res.Lost[len(res.Lost)-1].Last == res.Index
	}
	behind := uint64(0) // a topic that a record behind this one is witness to is sure
	if len(res.Lost) > 0 {
		behind = res.Lost[len(res.Lost)-1].Last
	}
	for topic, t := range r.topics {
		res.Topics++
		partial := res.Snapshot == "read in part" && (r.began == 0 || t.last < r.began)
		if !res.Open && !partial && (t.last > behind || behind == 0) {
			res.Sure++
		} else {
			res.Unsure = append(res.Unsure, []byte(topic))
		}
	}
	slices.SortFunc(res.Unsure, store.CompareTopics)
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
	build, err := os.MkdirTemp(filepath.Dir(r.dir), filepath.Base(r.dir)+".repair-")
	if err != nil {
		return err
	}
	if err := r.build(build); err != nil {
		return errors.Join(err, os.RemoveAll(build))
	}
	aside := r.dir + ".broken-" + r.now().UTC().Format("20060102T150405.000Z")
	if _, err := os.Lstat(aside); err == nil {
		return errors.Join(&fs.PathError{Op: "repair", Path: aside, Err: fs.ErrExist}, os.RemoveAll(build))
	}
	err = exchange(build, r.dir)
	switch {
	case err == nil:
		res.Done, res.Aside = true, build // should the next step fail
		if err = os.Rename(build, aside); err == nil {
			res.Aside = aside
		}
	case errors.Is(err, errors.ErrUnsupported):
		if err = os.Rename(r.dir, aside); err != nil {
			return errors.Join(err, os.RemoveAll(build))
		}
		res.Aside = aside
		if err = os.Rename(build, r.dir); err == nil {
			res.Done = true
		}
	default:
		return errors.Join(err, os.RemoveAll(build))
	}
	return errors.Join(err, vfs.OS{}.SyncDir(filepath.Dir(r.dir)))
}

// build makes the result: a snapshot of everything, and an empty log behind it.
func (r *repair) build(dir string) error {
	keys := make([]string, 0, len(r.topics))
	for topic := range r.topics {
		keys = append(keys, topic)
	}
	slices.SortFunc(keys, func(a, b string) int { return store.CompareTopics([]byte(a), []byte(b)) })
	b, err := store.NewBuilder(vfs.OS{}, store.SnapshotPath(dir), r.result.Store)
	if err != nil {
		return err
	}
	for i, topic := range keys {
		r.Progress.report("building", "topics", uint64(i), uint64(len(keys)))
		t := r.topics[topic]
		if err := b.Add(store.Entry{Topic: []byte(topic), Value: t.Value, Last: min(t.last, r.result.Index)}); err != nil {
			return errors.Join(err, b.Abort())
		}
	}
	if _, err := b.Finish(r.result.Index); err != nil {
		return errors.Join(err, b.Abort())
	}
	if err := wal.Create(store.LogDir(dir), r.result.Store, r.result.Index+1, wal.Options{SegmentSize: r.SegmentSize}); err != nil {
		return err
	}
	i := 0
	_, err = store.ReadSnapshot(store.SnapshotPath(dir), func(_ store.SnapshotMeta, e store.Entry) error {
		if i >= len(keys) || !bytes.Equal(e.Topic, []byte(keys[i])) || e.Value != r.topics[keys[i]].Value {
			return errors.New("what was built does not read back")
		}
		i++
		return nil
	})
	if err == nil && i != len(keys) {
		err = errors.New("what was built does not read back")
	}
	if err != nil {
		return err
	}
	if err := keepOwner(r.dir, dir); err != nil {
		return err
	}
	return vfs.OS{}.SyncDir(dir)
}
