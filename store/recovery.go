package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gcd/internal/dirlock"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

const (
	// logName is the log's in a store's directory.
	logName = dirlock.LogName
	// lockTimeout is how long a start and a close wait for a tool that reads the snapshot's file.
	// A transaction of a running store is put off instead.
	lockTimeout = 30 * time.Second
)

// Recovery is what Open found.
type Recovery struct {
	Topics   int           // in the store now
	Entries  uint64        // read from the snapshot
	Records  uint64        // replayed from the log after it
	Index    uint64        // of the last record
	Torn     int64         // bytes after the last record that an interrupted, unacknowledged write left
	Clean    bool          // the store had been closed
	Created  bool          // the store is new
	Store    wal.ID        // which store it is
	Duration time.Duration // of Open
}

// Recovery says what Open found.
func (s *Store) Recovery() Recovery { return s.recover }

// Open opens the store in a directory, making it if there is none, and recovers its counters:
// newest snapshot, then the log after it. With dir "" the store has no directory and is gone when
// it is closed.
//
// It refuses rather than lies: damage that could hide an acknowledged count is a
// *wal.CorruptionError, files of another program or a newer version are wal.ErrNotOurs or
// wal.ErrVersion, a directory that a server has is ErrLocked, and one that a tool keeps ErrBusy.
// Where there is no store, and none may be made, it is ErrNoStore, ErrUnfinished or wal.ErrNotOurs;
// what is no file is ErrNotRegular. In all these cases nothing in the directory was changed.
func Open(dir string, o Options) (*Store, error) {
	if o.Sync != "" && o.Sync != SyncAlways && o.Sync != SyncInterval {
		return nil, fmt.Errorf("store: sync mode %q: use %q or %q", o.Sync, SyncAlways, SyncInterval)
	}
	s := newStore(dir, o)
	if dir == "" {
		s.log = &memoryLog{to: s}
		s.recover.Created = true
		s.start()
		return s, nil
	}
	began := time.Now()
	if err := s.take(context.Background(), true); err != nil {
		return nil, err
	}
	err := s.options.Locked()
	if err == nil {
		err = s.load()
	}
	if err == nil && s.recover.Created {
		err = s.syncPlace()
	}
	if err == nil {
		err = s.lock.TakeLog(context.Background()) // of a new store
	}
	if err != nil {
		if s.wal != nil {
			err = errors.Join(err, s.wal.Close())
		}
		return nil, errors.Join(err, s.lock.Release())
	}
	s.log = &diskLog{log: s.wal, sync: s.options.Sync == SyncAlways, to: s}
	s.recover.Store = s.wal.ID()
	s.recover.Topics = s.machine.Len()
	s.recover.Index = s.machine.Applied()
	s.recover.Duration = time.Since(began)
	s.file.Wait = 0 // a snapshot that a tool is in the way of is made later
	s.start()
	return s, nil
}

func newStore(dir string, o Options) *Store {
	s := &Store{dir: dir, options: o.withDefaults(), machine: core.NewMachine()}
	if s.options.logDir == "" {
		s.options.logDir = filepath.Join(dir, logName)
	}
	return s
}

// walOptions are those of the log; note is what the snapshot says of its mark.
func (s *Store) walOptions(note wal.MarkNote) wal.Options {
	return wal.Options{
		FS: s.options.fs, SegmentSize: s.options.SegmentSize, Now: s.options.now, Logger: s.options.Logger,
		Check: s.look, MakeSpare: s.reserve.spares,
		Mark: wal.MarkOptions{Keep: true, SyncEach: s.options.Sync == SyncAlways, Note: note},
	}
}

// load does all that comes before the first acknowledgement. It writes nothing before everything
// was checked.
func (s *Store) load() error {
	s.file = &snapshot.File{Path: SnapshotPath(s.dir), Hooks: s.options.hooks, Wait: lockTimeout}
	s.reserve = newReserve(s.dir, s.options)
	if err := s.reserve.find(); err != nil {
		s.options.Logger.Warn("the file that holds room for a snapshot cannot be used", "error", err)
	}
	logDir := s.options.logDir
	m, err := s.loadSnapshot()
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	o := s.walOptions(m.Mark)
	o.Ours = !missing
	// What is kept for history must not make a start slower. Without a snapshot this is 0, and all
	// is needed.
	o.Covered = m.Replay
	s.wal, err = wal.Open(logDir, o)
	if err != nil && !errors.Is(err, wal.ErrNoLog) {
		return err
	}
	found := &m
	if missing {
		found = nil
	}
	if err := CheckTogether(s.dir, found, s.wal); err != nil {
		return err
	}
	if s.wal == nil {
		if err := s.mayCreate(); err != nil {
			return err
		}
		s.recover.Created = true
		if m, err = s.create(m, logDir, missing); err != nil {
			return err
		}
	}
	s.recover.Clean = m.State == snapshot.StateClosed
	if err := s.replay(m.Replay); err != nil {
		return err
	}
	// Everything has been checked: from here on it may write.
	if missing && !s.recover.Created {
		s.options.Logger.Warn("the snapshot is missing; making it anew from the log, which goes back to the first "+
			"record", "file", s.file.Path)
		if err := s.withRoom(func() error { return s.file.Create(s.options.files, s.wal.ID(), false) }); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if err := s.withRoom(s.wal.Start); err != nil {
		return err
	}
	if err := s.options.files.Remove(s.file.Path + snapshot.HalfMade); err != nil &&
		!errors.Is(err, fs.ErrNotExist) { // half made
		return fmt.Errorf("store: %w", err)
	}
	s.file.Marked = s.wal.Marked
	s.snapshot.replay.Store(m.Replay)
	s.wal.Cover(m.Replay)
	s.snapshot.grown.Store(int64(s.recover.Records)) // a lower bound: records are longer than a byte
	if err := s.withRoom(func() error { return s.setState(snapshot.StateOpen) }); err != nil {
		return err
	}
	if s.opened, err = os.Stat(s.file.Path); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// create makes the files of a new store, or goes on where an interrupted first start stopped.
func (s *Store) create(m snapshot.Meta, logDir string, missing bool) (snapshot.Meta, error) {
	if missing {
		id, err := wal.NewID()
		if err != nil {
			return snapshot.Meta{}, fmt.Errorf("store: %w", err)
		}
		if err := s.withRoom(func() error { return s.file.Create(s.options.files, id, true) }); err != nil {
			return snapshot.Meta{}, fmt.Errorf("store: %w", err)
		}
		m = snapshot.Meta{Store: id, State: snapshot.StateCreating, Mark: wal.MarkCurrent}
	}
	if err := s.withRoom(func() error { return wal.Create(logDir, m.Store, 1, s.walOptions(m.Mark)) }); err != nil {
		return snapshot.Meta{}, err
	}
	var err error
	s.wal, err = wal.Open(logDir, s.walOptions(m.Mark))
	return m, err
}

// progressEvery is how many entries or records pass between two reports of progress, and pagesEvery
// how many pages.
const (
	progressEvery = 1 << 16
	pagesEvery    = 1 << 8
)

func (s *Store) loadSnapshot() (snapshot.Meta, error) {
	if _, err := os.Stat(s.file.Path); err != nil {
		return snapshot.Meta{}, err
	}
	l := s.machine.Loader()
	var pages uint64
	s.file.Rest = func() error { // before each page of the walk
		if pages++; pages%pagesEvery == 0 {
			total := uint64(max(0, s.file.Size())) / uint64(os.Getpagesize())
			s.options.Progress(Progress{Phase: "pages", Done: pages, Total: max(pages, total)})
		}
		return nil
	}
	defer func() { s.file.Rest = nil }()
	m, err := s.file.Read(func(m snapshot.Meta, e snapshot.Entry) error {
		if s.recover.Entries++; s.recover.Entries%progressEvery == 0 {
			s.options.Progress(Progress{Phase: "snapshot", Done: s.recover.Entries, Total: m.Count})
		}
		l.Add(e.Topic, e.Value)
		return nil
	})
	if err == nil {
		l.Finish(m.Replay)
	}
	return m, err
}

// replay applies the log's records after an index.
func (s *Store) replay(after uint64) error {
	total := s.wal.Last() - after
	s.recover.Torn = s.wal.Tail().Length
	if total == 0 {
		return nil
	}
	for r, err := range s.wal.Records(after + 1) {
		if err != nil {
			return err
		}
		if err := s.machine.Replay(r.Index, r.Type, r.Payload); err != nil {
			return &wal.CorruptionError{File: s.segmentPath(r.Segment), Offset: r.Offset, Index: r.Index, Err: err}
		}
		if s.recover.Records++; s.recover.Records%progressEvery == 0 {
			s.options.Progress(Progress{Phase: "log", Done: s.recover.Records, Total: total})
		}
	}
	if s.machine.Applied() != s.wal.Last() {
		return &wal.CorruptionError{File: s.options.logDir,
			Err: fmt.Errorf("the log was read to record %d, but it ends at %d", s.machine.Applied(), s.wal.Last())}
	}
	return nil
}

func (s *Store) segmentPath(number uint64) string {
	for _, seg := range s.wal.Segments() {
		if seg.Number == number {
			return seg.Path
		}
	}
	return s.options.logDir
}

// setState notes the state, and how far the log reaches, for the next start.
func (s *Store) setState(state snapshot.State) error {
	err := s.file.Update(func(m *snapshot.Meta) {
		m.State, m.DurableAtLeast = state, s.wal.Last()
	})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func (s *Store) markClosed() error { return s.setState(snapshot.StateClosed) }
