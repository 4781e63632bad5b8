package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/dirlock"
	"gcd/wal"
)

// What follows is for tools: it reads a store's files with the code of recovery, and never writes.

// SnapshotPath is the snapshot's file in a store's directory.
func SnapshotPath(dir string) string { return filepath.Join(dir, snapshotName) }

// LogDir is the log's directory in a store's directory.
func LogDir(dir string) string { return filepath.Join(dir, logName) }

// LockPath is the file in a store's directory that is locked behind the directory itself;
// docs/storage.md says why.
func LockPath(dir string) string { return filepath.Join(dir, dirlock.FileName) }

// Entry is one topic in a snapshot.
type Entry struct {
	Topic []byte
	Value
	Last   uint64 // index of the record that changed it last
	Offset int64  // in the snapshot's file, bytes, of one that was read there
}

// State says what a store's last process did to it.
type State uint8

// The states; docs/storage.md has them.
const (
	StateCreating = State(stateCreating) // its first start was interrupted
	StateOpen     = State(stateOpen)     // it is in use, or was not closed
	StateClosed   = State(stateClosed)   // it was closed, and nothing came since
)

// String is the state in a word or two.
func (s State) String() string {
	switch s {
	case StateCreating:
		return "being created"
	case StateOpen:
		return "open"
	case StateClosed:
		return "closed cleanly"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// SnapshotMeta is what a snapshot says of itself.
type SnapshotMeta struct {
	Store   wal.ID
	State   State
	Witness uint64   // the log reaches at least this index
	Replay  uint64   // every record up to this index is in the entries
	Count   uint64   // entries
	Digest  [16]byte // of the entries, big-endian; docs/storage.md says how it is made
	Mark    wal.MarkNote
}

func (m meta) export() SnapshotMeta {
	e := SnapshotMeta{Store: m.store, State: State(m.state), Witness: m.witness, Replay: m.replay, Count: m.count, Mark: m.mark}
	for i := range 8 {
		e.Digest[i], e.Digest[8+i] = byte(m.digest.hi>>(56-8*i)), byte(m.digest.lo>>(56-8*i))
	}
	return e
}

// ReadSnapshot calls each with every entry of a snapshot file, in the order of CompareTopics, and returns what the file
// says of itself. Everything is checked as at a start, count and digest at the end: what each saw is to be believed only when the error is nil. An
// entry's topic is valid during the call. An error of each ends the reading and is returned. Otherwise errors are *wal.CorruptionError, wal.ErrNotOurs,
// wal.ErrVersion, and those of opening the file, which fails after a second in which a transaction is under way.
func ReadSnapshot(path string, each func(SnapshotMeta, Entry) error) (SnapshotMeta, error) {
	f := snapshotFile{path: path}
	return f.export(each)
}

// ReadOpenSnapshot is ReadSnapshot of a file that open opens, for reading, each time anew; it may
// have no name any more. Errors name it as path. rest, if not nil, is called before each page that
// is looked at ahead of the entries, and may wait; an error of it ends the reading and is returned.
// open may be nil: the file is opened by its name.
func ReadOpenSnapshot(path string, open func() (*os.File, error), rest func() error,
	each func(SnapshotMeta, Entry) error) (SnapshotMeta, error) {
	f := snapshotFile{path: path, source: open, rest: rest}
	return f.export(each)
}

func (f *snapshotFile) export(each func(SnapshotMeta, Entry) error) (SnapshotMeta, error) {
	var exported SnapshotMeta // made once, not for each entry
	m, err := f.read(func(m meta, it item) error {
		if exported.Count == 0 {
			exported = m.export()
		}
		return each(exported, Entry{Topic: it.topic, Value: it.value, Last: it.last, Offset: it.offset})
	})
	return m.export(), err
}

// ReadSnapshotMeta reads what a snapshot file says of itself, and looks at no entry. Errors as ReadSnapshot's.
func ReadSnapshotMeta(path string) (SnapshotMeta, error) {
	return ReadOpenSnapshotMeta(path, nil, nil)
}

// ReadOpenSnapshotMeta is ReadSnapshotMeta of a file that open opens, with rests, as ReadOpenSnapshot has both.
func ReadOpenSnapshotMeta(path string, open func() (*os.File, error), rest func() error) (SnapshotMeta, error) {
	f := snapshotFile{path: path, source: open, rest: rest}
	var m meta
	err := f.view(func(tx *bolt.Tx) error {
		err := f.checkPages(tx)
		if err == nil {
			m, err = f.readMeta(tx)
		}
		return err
	})
	return m.export(), err
}

// FindInSnapshot is ReadOpenSnapshotMeta that looks topics up as well, and calls each with the
// entries of those that are there. An error of each ends it and is returned.
func FindInSnapshot(path string, open func() (*os.File, error), rest func() error, topics iter.Seq[[]byte],
	each func(Entry) error) (SnapshotMeta, error) {
	f := snapshotFile{path: path, source: open, rest: rest}
	var m meta
	err := f.view(func(tx *bolt.Tx) error {
		err := f.checkPages(tx)
		if err == nil {
			m, err = f.readMeta(tx)
		}
		if err != nil {
			return err
		}
		b := tx.Bucket(bucketTopics)
		var key []byte
		for topic := range topics {
			it := item{topic: topic}
			key = it.key(key[:0])
			v := b.Get(key)
			if v == nil {
				continue
			}
			if it, err = decodeItem(key, v); err != nil {
				return f.damaged(err)
			}
			if err := each(Entry{Topic: it.topic, Value: it.value, Last: it.last}); err != nil {
				return err
			}
		}
		return nil
	})
	return m.export(), err
}

// HoldSnapshot keeps a running store from changing its snapshot file until release is called: a transaction that finds it held for
// a second is put off, and the log is kept meanwhile; a start or a close waits for half a minute and fails. It waits at most timeout for one that is under way.
func HoldSnapshot(path string, timeout time.Duration) (release func() error, err error) {
	f := snapshotFile{path: path, timeout: timeout}
	err = f.guard(nil, func() error {
		db, err := f.open(true)
		if err == nil {
			release = db.Close
		}
		return err
	})
	return release, err
}

// Fits says whether a snapshot and a log make up a store that a start would take: nil, or the error that the start would end with. m is
// nil if there is no snapshot file, log is nil if there is no log (wal.ErrNoLog).
func Fits(dir string, m *SnapshotMeta, log *wal.Log) error {
	switch {
	case log == nil && (m == nil || m.State == StateCreating):
		return nil // there is no store yet, or its making was interrupted
	case log == nil:
		return &wal.CorruptionError{File: LogDir(dir), Err: fmt.Errorf("the log is gone; %s says that it reached record %d", snapshotName, m.Witness)}
	case m == nil && log.First() == 1:
		return nil // everything is in the log
	case m == nil:
		return &wal.CorruptionError{File: SnapshotPath(dir), Err: fmt.Errorf("it is missing, and the log begins at record %d, so counters that only it held are gone", log.First())}
	}
	switch first, last := log.First(), log.Last(); {
	case log.ID() != m.Store:
		return &wal.CorruptionError{File: LogDir(dir), Err: fmt.Errorf("the log belongs to store %s, %s to store %s: one of them was put here from elsewhere", log.ID(), snapshotName, m.Store)}
	case first > m.Replay+1:
		return &wal.CorruptionError{File: LogDir(dir), Err: fmt.Errorf("the log begins at record %d, but the snapshot ends at %d: records in between are gone", first, m.Replay)}
	case last < m.Witness:
		tail := log.Tail()
		return &wal.CorruptionError{File: tail.File, Offset: tail.Offset, Index: last + 1,
			Err: fmt.Errorf("the log ends at record %d, but %s is witness that it reached %d", last, snapshotName, m.Witness)}
	}
	return nil
}

// Change is one step of one topic in a record: from an epoch and a sum, by a count of N or, with N 0, by a reset.
type Change struct {
	Topic []byte
	Epoch uint64
	Sum   uint64
	N     uint64
}

// Before is the state that the change starts from.
func (c *Change) Before() Value { return Value{Sum: c.Sum, Epoch: c.Epoch} }

// After is the state that the change leads to.
func (c *Change) After() Value {
	if c.N == 0 {
		return Value{Epoch: c.Epoch + 1}
	}
	return Value{Sum: c.Sum + c.N, Epoch: c.Epoch}
}

// Step is the one rule of every replay: what a change makes of a topic that is at a state.
//
// held says that the topic has the change already: after is that state. A change that is not held
// must start from just that state. follows is false for one that does not: something is damaged,
// and after is what the change says of itself.
func (c *Change) Step(at Value) (after Value, held, follows bool) {
	return step(at, c.Epoch, c.Sum, c.N)
}

// step is Change.Step of a change from an epoch and a sum, by n.
func step(at Value, epoch, sum, n uint64) (after Value, held, follows bool) {
	if epoch < at.Epoch || n > 0 && epoch == at.Epoch && sum+n <= at.Sum {
		return at, true, true
	}
	after = Value{Epoch: epoch, Sum: sum + n}
	if n == 0 {
		after = Value{Epoch: epoch + 1}
	}
	return after, false, at == Value{Epoch: epoch, Sum: sum}
}

// Changes yields the changes in a record's payload, in their order. A topic is part of payload. What is no batch of
// changes is an error, which ends the loop.
func Changes(payload []byte) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if len(payload) == 0 {
			yield(Change{}, errBatchFormat)
			return
		}
		for rest := payload; len(rest) > 0; {
			var c change
			var err error
			if c, rest, err = decodeChange(rest); err != nil {
				yield(Change{}, err)
				return
			}
			if !yield(Change{Topic: c.topic, Epoch: c.epoch, Sum: c.sum, N: c.n}, nil) {
				return
			}
		}
	}
}

// CompareTopics orders topics as a snapshot does, by their keys: the short ones (1,024 bytes at most) byte by byte, then
// the long ones by their SHA-256.
func CompareTopics(a, b []byte) int {
	switch longA, longB := len(a) > maxPlainKey, len(b) > maxPlainKey; {
	case !longA && !longB:
		return bytes.Compare(a, b)
	case !longA:
		return -1
	case !longB:
		return 1
	}
	sumA, sumB := sha256.Sum256(a), sha256.Sum256(b)
	return bytes.Compare(sumA[:], sumB[:])
}
