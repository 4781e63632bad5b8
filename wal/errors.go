package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// What the package says no with. Errors come wrapped, with the file and the reason; compare with
// errors.Is.
var (
	// ErrNoLog: the directory is missing or holds no segment. It is also an fs.ErrNotExist.
	ErrNoLog = fmt.Errorf("no log here: %w", fs.ErrNotExist)
	// ErrExists: Create was asked to make a log where another one is. It is also an fs.ErrExist.
	ErrExists = fmt.Errorf("there is a log already: %w", fs.ErrExist)
	// ErrNotOurs: a file with a segment's name does not begin as one.
	ErrNotOurs = errors.New("not a file of gcd")
	// ErrVersion: a segment was written in a format that this program does not know.
	ErrVersion = errors.New("unknown format version")
	// ErrTooLarge: a payload is empty or longer than MaxRecord.
	ErrTooLarge = errors.New("payload size out of range")
	// ErrFull: the disk has no room for the record, or for the segment that it needs. It is not in
	// the log; PrepareSpare and Resume find out when there is room again.
	ErrFull = errors.New("no room for the log")
	// ErrNotStarted: Append or Sync before Start.
	ErrNotStarted = errors.New("log is not started")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
)

// A CorruptionError says that bytes which may have been acknowledged are gone or changed: in a log,
// in a file that is kept beside it, such as a snapshot, or because the two do not fit together.
// Nothing was written.
type CorruptionError struct {
	File   string // path of the segment, of the other file, or of the log's directory
	Offset int64  // of the first byte that is wrong, or of the record that holds it; see Whole
	Index  uint64 // of the record that is missing or damaged; 0 if it is not known, or of no record
	Err    error  // what is wrong
}

// Error names file, offset and record. What to do about it depends on who reads it.
func (e *CorruptionError) Error() string {
	switch {
	case e.Whole():
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	case e.Index != 0:
		return fmt.Sprintf("%s is damaged at offset %d (record %d): %v", e.File, e.Offset, e.Index, e.Err)
	case e.inSegment():
		return fmt.Sprintf("%s is damaged at offset %d: %v", e.File, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s at offset %d: %v", e.File, e.Offset, e.Err)
}

// Whole says that it is about File as a whole. What is wrong with a segment has a place in it
// always, if only at its beginning.
func (e *CorruptionError) Whole() bool { return e.Offset == 0 && e.Index == 0 && !e.inSegment() }

func (e *CorruptionError) inSegment() bool { return strings.HasSuffix(e.File, segmentSuffix) }

// Unwrap returns what is wrong.
func (e *CorruptionError) Unwrap() error { return e.Err }
