package wal

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"sync/atomic"
	"time"
)

// A Record is one entry of the log.
type Record struct {
	Index   uint64
	Durable uint64    // the highest index known to be durable when this record was written
	Time    time.Time // wall clock when it was written, for audits
	Type    uint8
	Payload []byte // valid until the next record is read
	Segment uint64 // number of the segment that holds it
	Offset  int64  // in that segment's file
}

// Records yields the records from index from on, in order, up to what was the end when the loop
// began: before Start the last record, after it the last durable one. Of the segments that it reads
// it checks all that Open checks. An error comes with a zero Record and ends the loop: a
// *CorruptionError, or the disk's. It may run beside every other method, but a segment that Release
// removes before it is read is an error.
func (l *Log) Records(from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		end := l.durable.Load()
		if !l.started.Load() {
			end = l.last.Load()
		}
		l.mu.Lock()
		segs := slices.Clone(l.segs)
		l.mu.Unlock()
		if first := segs[0].first; from < first {
			yield(Record{}, fmt.Errorf("records from %d: the log in %s begins with record %d", from, l.dir, first))
			return
		}
		for i, seg := range segs {
			sealed := i < len(segs)-1
			if sealed && segs[i+1].first <= from || seg.first > end {
				continue
			}
			if more, err := l.segmentRecords(segs[i:], from, end, yield); err != nil {
				yield(Record{}, err)
				return
			} else if !more {
				return
			}
		}
	}
}

// segmentRecords yields the records of the first of segs. It returns false when the loop was left.
func (l *Log) segmentRecords(segs []segment, from, end uint64, yield func(Record, error) bool) (bool, error) {
	f, err := l.o.FS.OpenRead(segs[0].path)
	if err != nil {
		return false, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	s := newScanner(segs[0], f)
	sealed := len(segs) > 1
	for sealed || s.next <= end {
		rec, err := s.record()
		if err != nil {
			var bad *invalid
			switch {
			case !errors.As(err, &bad):
				return false, err
			case sealed:
				return true, s.sealed(bad.reason, segs[1])
			}
			return false, &CorruptionError{File: s.seg.path, Offset: s.off, Index: s.next, Err: bad.reason}
		}
		if rec.Index >= from && rec.Index <= end && !yield(rec, nil) {
			return false, nil
		}
	}
	return true, nil
}

// Scan yields the records of the log in dir, oldest first, up to the first damage. It reads and
// checks what Open does, but gives what is before the damage; Open's error then comes last, with a
// zero Record. ErrNoLog if there is no segment.
func Scan(dir string, o Options) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		o, err := o.withDefaults()
		if err != nil {
			yield(Record{}, err)
			return
		}
		found := readMark(o.FS, dir)
		segs, err := readSegments(dir, o)
		if errors.Is(err, ErrNoLog) {
			err = cmp.Or(found.gone(dir), err)
		}
		for i := range segs {
			more, scanErr := scanSegment(segs[i:], o, found.judge(segs[0].store, o.Mark.Note), err != nil, yield)
			if scanErr != nil {
				yield(Record{}, scanErr)
			}
			if scanErr != nil || !more {
				return
			}
		}
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// scanSegment yields the records of the first of segs and judges its end. cut says that segments
// after the last of segs cannot be read: then its end cannot be judged. It returns false when the
// loop was left.
func scanSegment(segs []segment, o Options, mark Mark, cut bool, yield func(Record, error) bool) (bool, error) {
	f, err := o.FS.OpenRead(segs[0].path)
	if err != nil {
		return false, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	for s := newScanner(segs[0], f); ; {
		rec, err := s.record()
		if err == nil {
			if !yield(rec, nil) {
				return false, nil
			}
			continue
		}
		var end *invalid
		switch {
		case !errors.As(err, &end):
			return false, err
		case len(segs) > 1:
			return true, s.sealed(end.reason, segs[1])
		case cut:
			return true, nil
		}
		_, err = s.torn(end.reason, mark.SyncEach)
		if err != nil && o.Live && s.appeared() {
			continue
		}
		if err == nil {
			err = mark.cutOff(path.Dir(s.seg.path), s.seg.path, s.off, s.next-1)
		}
		return true, err
	}
}

// SegmentInfo describes one segment.
type SegmentInfo struct {
	Number uint64
	First  uint64 // index of its first record
	Last   uint64 // index of its last record; First-1 when it holds none
	Size   int64  // of the file, in bytes
	Path   string
}

// Segments lists the segments, oldest first.
func (l *Log) Segments() []SegmentInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	infos := make([]SegmentInfo, len(l.segs))
	for i, seg := range l.segs {
		infos[i] = SegmentInfo{
			Number: seg.number, First: seg.first, Last: l.last.Load(), Size: seg.size, Path: seg.path,
		}
		if i+1 < len(l.segs) {
			infos[i].Last = l.segs[i+1].first - 1
		}
	}
	return infos
}

// First is the index of the first record of the oldest segment, which that record has or will have.
func (l *Log) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segs[0].first
}

// Stats counts what was done since Open. Bytes are those of records with header and padding.
type Stats struct {
	Records   int64
	Bytes     int64
	Syncs     int64
	Rotations int64
	Segments  int64 // there now
}

type counters struct{ records, bytes, syncs, rotations, segments atomic.Int64 }

// Stats may be called from anywhere, at any time.
func (l *Log) Stats() Stats {
	return Stats{
		Records:   l.stats.records.Load(),
		Bytes:     l.stats.bytes.Load(),
		Syncs:     l.stats.syncs.Load(),
		Rotations: l.stats.rotations.Load(),
		Segments:  l.stats.segments.Load(),
	}
}
