package store

import (
	"fmt"
	"path/filepath"

	"gcd/internal/dirlock"
	"gcd/store/snapshot"
	"gcd/wal"
)

// SnapshotPath is the snapshot's file in a store's directory.
func SnapshotPath(dir string) string { return filepath.Join(dir, snapshot.FileName) }

// LogDir is the log's directory in a store's directory.
func LogDir(dir string) string { return filepath.Join(dir, logName) }

// LockPath is the file in a store's directory that is locked after the directory itself;
// docs/storage.md says why.
func LockPath(dir string) string { return filepath.Join(dir, dirlock.FileName) }

// CheckTogether says whether a snapshot and a log make up a store that a start would take: nil, or
// the error that the start would end with. m is nil if there is no snapshot file, log is nil if
// there is no log (wal.ErrNoLog).
func CheckTogether(dir string, m *snapshot.Meta, log *wal.Log) error {
	switch {
	case log == nil && (m == nil || m.State == snapshot.StateCreating):
		return nil // there is no store yet, or its making was interrupted
	case log == nil:
		return &wal.CorruptionError{File: LogDir(dir),
			Err: fmt.Errorf("the log is gone; %s says that it reached record %d", snapshot.FileName, m.DurableAtLeast)}
	case m == nil && log.First() == 1:
		return nil // everything is in the log
	case m == nil:
		return &wal.CorruptionError{File: SnapshotPath(dir),
			Err: fmt.Errorf("it is missing, and the log begins at record %d, so counters that only it held are gone",
				log.First())}
	}
	switch first, last := log.First(), log.Last(); {
	case log.ID() != m.Store:
		return &wal.CorruptionError{File: LogDir(dir),
			Err: fmt.Errorf("the log belongs to store %s, %s to store %s: one of them was put here from elsewhere",
				log.ID(), snapshot.FileName, m.Store)}
	case first > m.Replay+1:
		return &wal.CorruptionError{File: LogDir(dir),
			Err: fmt.Errorf("the log begins at record %d, but the snapshot ends at %d: records in between are gone",
				first, m.Replay)}
	case last < m.DurableAtLeast:
		tail := log.Tail()
		return &wal.CorruptionError{File: tail.File, Offset: tail.Offset, Index: last + 1,
			Err: fmt.Errorf("the log ends at record %d, but %s is witness that it reached %d", last, snapshot.FileName,
				m.DurableAtLeast)}
	}
	return nil
}
