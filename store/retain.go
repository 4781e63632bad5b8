package store

import (
	"fmt"
	"time"
)

// Retain says which segments of the log are kept although the snapshot covers them. History, and
// dumps of the past, go back as far as these do. A covered segment is removed when it is older than
// Age, and when all that are kept have more than Bytes together; a field that is 0 sets no such
// bound. With both 0 nothing is kept that recovery does not need.
type Retain struct {
	Age   time.Duration // since the segment was closed, by the times of records
	Bytes int64         // of segment files
}

// shorten removes covered segments that are not to be retained, oldest first.
func (s *Store) shorten() error {
	upTo, err := s.spent(s.snapshot.replay.Load())
	if err != nil {
		err = fmt.Errorf("age of a segment: %w", err)
	}
	if upTo > 0 {
		if err := s.wal.Release(upTo); err != nil {
			return fmt.Errorf("removing covered segments: %w", err)
		}
	}
	return err
}

// spent returns the index of the last record that need not be kept, of those at or below replay; 0
// if there is none. With an error it says what is surely so.
func (s *Store) spent(replay uint64) (uint64, error) {
	r := s.options.Retain
	if r == (Retain{}) {
		return replay, nil
	}
	segments := s.wal.Segments()
	covered := segments[:0]
	kept := int64(0)
	for _, seg := range segments[:len(segments)-1] { // the last is never closed
		if seg.Last > replay {
			break
		}
		covered = append(covered, seg)
		kept += seg.Size
	}
	upTo := uint64(0)
	for _, seg := range covered {
		if !(r.Bytes > 0 && kept > r.Bytes) {
			if r.Age <= 0 {
				break
			}
			closed, known, err := s.timeOf(seg.Last + 1)
			if err != nil {
				return upTo, err
			}
			if !known || s.options.now().Sub(closed) <= r.Age {
				break
			}
		}
		upTo = seg.Last
		kept -= seg.Size
	}
	return upTo, nil
}

// timeOf returns when a record was written, if it is there. Asked for the first record of a segment
// it reads little; that is why a segment's age is counted from the record after it and not from
// its own last, for which all of it would be read. No record of a segment is younger than that, so
// whatever is younger than Retain.Age is kept.
func (s *Store) timeOf(index uint64) (at time.Time, known bool, err error) {
	for r, err := range s.wal.Records(index) {
		if err != nil {
			return time.Time{}, false, err
		}
		return r.Time, true, nil
	}
	return time.Time{}, false, nil
}
