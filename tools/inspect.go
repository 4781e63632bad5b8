package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// How fast a start is, for an estimate: measured by the benchmarks of package store on two slow
// cores. The order of magnitude is what matters.
const (
	loadRate   = 2_000_000 // entries of a snapshot, a second
	replayRate = 500 << 20 // bytes of the log after the snapshot, a second
)

// An InspectedFile is one file or directory entry.
type InspectedFile struct {
	Name  string    `json:"name"` // in the directory
	Kind  string    `json:"kind"`
	Bytes int64     `json:"bytes"`
	Time  time.Time `json:"time"`            // of the last change
	First uint64    `json:"first,omitempty"` // record
	Last  uint64    `json:"last,omitempty"`
	Begun time.Time `json:"begun,omitzero"` // time of the first record
}

// Inspected is what is in a store's directory.
type Inspected struct {
	Dir      string          `json:"dir"`
	Running  bool            `json:"running"`
	Store    string          `json:"store,omitempty"`
	State    string          `json:"state,omitempty"` // as the snapshot says
	Topics   uint64          `json:"topics"`          // in snapshot and log, as far as they can be read
	AtMost   bool            `json:"topics_at_most"`  // some of them may have been counted twice
	Entries  uint64          `json:"entries"`         // in the snapshot
	Replay   uint64          `json:"replay"`          // record up to which the snapshot reaches
	Witness  uint64          `json:"witness"`
	First    uint64          `json:"first"` // record of the log that can be read; after Last if there is none
	Last     uint64          `json:"last"`
	Records  uint64          `json:"records"` // of the log that can be read
	Behind   uint64          `json:"behind"`  // of them after the snapshot
	Mark     string          `json:"mark"`    // what the log's mark is good for: sound, missing, and so on
	Durable  uint64          `json:"durable"` // record up to which the mark says that the log was durable; or 0
	Tail     int64           `json:"tail"`    // bytes of the log after the snapshot, about
	Files    []InspectedFile `json:"files"`
	Estimate time.Duration   `json:"estimate_ns"`       // of how long a start takes: an estimate; 0 if one would refuse
	Problem  string          `json:"problem,omitempty"` // why a start would refuse
}

// InspectOptions say how a directory is looked into. The zero value works.
type InspectOptions struct {
	TempDir string // for a copy of the snapshot; "": os.TempDir
	Rest    func() // nil or as in DumpOptions
}

// Inspect lists what is in a store's directory. It reads what a start reads of the log, and the
// pages of the snapshot. Problem says what a start would refuse; that is no error. The error is
// what the system says against reading.
func Inspect(ctx context.Context, dir string, o InspectOptions) (result *Inspected, err error) {
	r, err := openDirView(ctx, dir, dirViewOptions{tempDir: o.TempDir, rest: o.Rest})
	if errors.Is(err, ErrTemp) { // the snapshot cannot be copied
		r, err = openDirView(ctx, dir, dirViewOptions{rest: o.Rest, noEntries: true})
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	return r.inspect(o.TempDir)
}

// inspect is Inspect of files that are open.
func (r *dirView) inspect(tempDir string) (*Inspected, error) {
	dir := r.dir
	in := &Inspected{Dir: dir, Running: r.running, First: 1}
	problem := func(err error) {
		if in.Problem == "" {
			in.Problem = err.Error()
		}
	}
	m, metaErr := r.snapshotMeta()
	sound := &m
	switch {
	case errors.Is(metaErr, fs.ErrNotExist):
		sound = nil
	case refused(metaErr), errors.Is(metaErr, snapshot.ErrByteOrder):
		problem(metaErr)
		sound = nil
	case metaErr != nil:
		return nil, metaErr
	default:
		in.Store, in.State, in.Entries, in.Replay, in.Witness = m.Store.String(), m.State.String(), m.Count,
			m.Replay, m.DurableAtLeast
	}
	o := wal.Options{FS: r.fs, Covered: in.Replay, Ours: sound != nil, Mark: wal.MarkOptions{Note: m.Mark}}
	log, logErr := wal.Open(store.LogDir(dir), o)
	if errors.Is(logErr, wal.ErrNoLog) && errors.Is(metaErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", store.ErrNoStore, dir)
	}
	if logErr != nil && !refused(logErr) {
		return nil, logErr
	} else if logErr != nil && !errors.Is(logErr, wal.ErrNoLog) {
		problem(logErr)
	} else if fit := store.CheckTogether(dir, sound, log); fit != nil {
		problem(fit)
	}
	segments := map[string]inspectedSegment{}
	changes := changesOf(log, in.Replay)
	if log != nil {
		in.Store, in.First, in.Last = log.ID().String(), log.First(), log.Last()
		in.Records, in.Behind = in.Last+1-in.First, in.Last-min(in.Last, in.Replay)
		for _, s := range log.Segments() {
			segments[filepath.Base(s.Path)] = inspectedSegment{kind: "segment, format 1", first: s.First, last: s.Last}
			if s.Last > in.Replay {
				in.Tail += s.Size
			}
		}
	} else if in.Problem != "" {
		changes = func(do func(index uint64, c core.Change) error) error {
			named := newFurthest(bytopic.Options{Dir: tempDir, Memory: repairMemory, Pause: r.pause})
			err := r.survey(in, m.Store, o, segments, named)
			if err == nil {
				err = named.each(func(e snapshot.Entry) error { return do(0, core.Change{Topic: e.Topic}) })
			}
			return errors.Join(err, named.Close())
		}
	}
	topics, exact, err := r.countTopics(sound, changes)
	if in.Topics, in.AtMost = topics, !exact; err != nil {
		return nil, err
	}
	if err := in.readMark(store.LogDir(dir), m.Store, log, o); err != nil {
		return nil, err
	}
	kind := "snapshot, format 1"
	switch {
	case errors.Is(metaErr, wal.ErrVersion):
		kind = "snapshot, of another version"
	case errors.Is(metaErr, snapshot.ErrByteOrder):
		kind = "snapshot, of the other byte order"
	case metaErr != nil:
		kind = "snapshot, not readable"
	}
	if err := in.list(dir, "", kind, log, segments); err != nil {
		return nil, err
	}
	if err := in.list(store.LogDir(dir), filepath.Base(store.LogDir(dir)), kind, log, segments); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if in.Problem != "" {
		return in, nil
	}
	in.Estimate = time.Duration(float64(in.Entries)/loadRate*1e9) + time.Duration(float64(in.Tail)/replayRate*1e9)
	return in, nil
}

// readMark notes what the mark says.
func (in *Inspected) readMark(dir string, id wal.ID, log *wal.Log, o wal.Options) error {
	if log != nil {
		id = log.ID()
	}
	mark, err := wal.FindMark(dir, id, o)
	in.Mark, in.Durable = mark.State.String(), mark.Index
	return err
}

// inspectedSegment is what is known of a segment.
type inspectedSegment struct {
	kind        string
	first, last uint64 // records that can be read; none if last is 0, or comes before first
	begun       time.Time
}

// survey reads what can be read of a log that a start refuses. It collects the topics that records
// after the snapshot name, since the change by which a topic came into being may be lost.
func (r *dirView) survey(in *Inspected, id wal.ID, o wal.Options, segments map[string]inspectedSegment,
	named furthest) error {
	in.Records, in.First, in.Last = 0, 1, 0
	found, err := wal.Survey(store.LogDir(r.dir), id, o, func(rec wal.Record, checked bool) error {
		if in.Records++; in.Records == 1 {
			in.First = rec.Index
		}
		in.Last = max(in.Last, rec.Index)
		if rec.Index <= in.Replay {
			return nil
		}
		if in.Behind++; !checked {
			return nil
		}
		return changesIn(rec, func(index uint64, c core.Change) error {
			return named.observe(c.Topic, c.After(), index)
		})
	})
	if errors.Is(err, wal.ErrNoLog) {
		return nil
	}
	for _, s := range found {
		kind := "segment, format 1"
		if len(s.Damage) > 0 {
			kind = "segment, damaged"
		}
		if in.Store == "" && s.Store != (wal.ID{}) {
			in.Store = s.Store.String()
		}
		segments[filepath.Base(s.Path)] = inspectedSegment{kind: kind, first: s.First, last: s.Last, begun: s.Began}
		for _, damage := range s.Damage {
			if !refused(damage) {
				err = errors.Join(err, damage) // the system's
			}
		}
	}
	return err
}

// list adds the files of a directory; snapshot is the kind that one has.
func (in *Inspected) list(dir, under, snapshot string, log *wal.Log, segments map[string]inspectedSegment) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // a running server removed it
		}
		if err != nil {
			return err
		}
		if info.IsDir() {
			continue
		}
		f := InspectedFile{Name: filepath.Join(under, e.Name()), Bytes: info.Size(), Time: info.ModTime(),
			Kind: "not ours"}
		switch {
		case under == "" && e.Name() == filepath.Base(store.SnapshotPath("")):
			f.Kind = snapshot
		case under == "" && e.Name() == filepath.Base(store.SnapshotPath(""))+".new":
			f.Kind = "half-made snapshot, removed at a start"
		case under == "" && e.Name() == filepath.Base(store.LockPath("")):
			f.Kind = "lock"
		case under == "" && e.Name() == filepath.Base(store.ReservePath("")):
			f.Kind = "room held for the next snapshot"
		case under != "" && e.Name() == filepath.Base(wal.MarkPath("")):
			f.Kind = "mark of how far the log was durable"
		case under != "" && e.Name() == "spare":
			f.Kind = "the next segment's zeros"
		case under != "" && strings.HasSuffix(e.Name(), ".seg"):
			f.Kind = "segment, not readable"
			if s, ok := segments[e.Name()]; ok {
				f.Kind = s.kind
				if s.last >= max(s.first, 1) {
					f.First, f.Last, f.Begun = s.first, s.last, s.begun
				}
				if log != nil && f.Last > 0 {
					for rec, err := range log.Records(s.first) {
						if err != nil && !refused(err) {
							return err
						}
						if err == nil {
							f.Begun = rec.Time
						}
						break
					}
				}
			}
		}
		in.Files = append(in.Files, f)
	}
	return nil
}
