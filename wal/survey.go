package wal

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"
)

// A SegmentSurvey is what Survey found in one segment.
type SegmentSurvey struct {
	Number  uint64 // as in the file's name
	Path    string
	Missing bool   // the segments before and after it are there
	Size    int64  // of the file, in bytes
	Store   ID     // as in the header; zero if that cannot be read
	Begins  uint64 // the first index as in the header; 0 if that cannot be read

	First, Last uint64    // indices of the first and the last record that can be read; 0 if there is none
	Records     uint64    // that can be read
	Began       time.Time // the first record's
	Ended       time.Time // the last record's
	End         int64     // offset of the end of the last record
	Torn        int64     // bytes after it that an interrupted write left; only in the last segment

	// Ends says of the last segment that the log was read to its end: after the last record, or
	// after the header, there is room without a record, or no more than an interrupted write. It is
	// false where what follows may have been cut off, or is damaged.
	Ends bool

	// Damage is what is wrong, by offset: *CorruptionError, or wrapped ErrNotOurs and ErrVersion,
	// or the disk's error. What follows a disk's error was not read: that does not say that it is
	// damaged.
	Damage []error
}

// Survey reads every record of a damaged log that can still be read. Where Open stops, it says why
// in the segment's Damage and goes on after it. It calls each with the records, segment by segment
// and in each by offset. checked is false for a record whose header is whole, but whose payload
// cannot be compared with its checksum, because the record before it is gone. id is the store's if
// it is known from elsewhere, else zero; it serves where a header cannot be read. Records of other
// stores are not read.
//
// It finds no damage exactly where Open finds none. The error is that of each, or of listing dir:
// ErrNoLog if there is no segment.
func Survey(dir string, id ID, o Options, each func(r Record, checked bool) error) ([]SegmentSurvey, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	mark := readMark(o.FS, dir)
	numbers, err := listSegments(o.FS, dir)
	if err != nil {
		return nil, err
	}
	var found []SegmentSurvey
	var segs []segment // beside found; number 0: nothing of it can be read
	for i, number := range numbers {
		name := path.Join(dir, segmentName(number))
		if i > 0 && number != numbers[i-1]+1 {
			gap := path.Join(dir, segmentName(numbers[i-1]+1))
			found = append(found, SegmentSurvey{Number: numbers[i-1] + 1, Path: gap, Missing: true, Damage: []error{
				&CorruptionError{File: gap,
					Err: fmt.Errorf("the segment is missing, %s is there", segmentName(number))}}})
			segs = append(segs, segment{})
		}
		s := SegmentSurvey{Number: number, Path: name}
		seg, err := readSegmentHeader(name, number, o)
		if err == nil {
			s.Store, s.Begins, s.Size = seg.store, seg.first, seg.size
			if id == (ID{}) {
				id = seg.store
			}
		} else {
			known := o
			known.Ours = o.Ours || id != (ID{})
			s.Damage = append(s.Damage, classifyHeaderError(err, dir, number, numbers, known))
			seg = segment{}
		}
		found, segs = append(found, s), append(segs, seg)
	}
	for i := range found {
		s := surveyor{
			o: o, id: id, mark: mark.judge(id, o.Mark.Note), found: &found[i], last: i == len(found)-1,
			each: each,
		}
		if i > 0 && segs[i].number != 0 && segs[i-1].number != 0 {
			if err := follows(segs[i], segs[i-1]); err != nil {
				s.damage(err)
			}
		}
		if !s.last && segs[i+1].store == id {
			s.next = segs[i+1]
		}
		if err := s.survey(segs[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// A surveyor reads one segment.
type surveyor struct {
	o     Options
	id    ID
	mark  Mark
	found *SegmentSurvey
	next  segment // number 0: not known
	last  bool
	each  func(Record, bool) error
}

func (s *surveyor) damage(err error) { s.found.Damage = append(s.found.Damage, err) }

// survey reads the segment; number 0 stands for one without a header that can be read.
func (s *surveyor) survey(seg segment) error {
	if s.found.Missing || s.unread() {
		return nil
	}
	f, err := s.o.FS.OpenRead(s.found.Path)
	if err != nil {
		s.damage(err)
		return nil
	}
	defer f.Close()
	if s.found.Size, err = f.Size(); err != nil {
		s.damage(err)
		return nil
	}
	whole := seg.number != 0
	if !whole { // what its name and the other segments say of it is enough to read its records
		seg = segment{path: s.found.Path, segmentHeader: segmentHeader{format: s.o.formats.newest(), store: s.id,
			number: s.found.Number, size: s.found.Size &^ (alignment - 1)}}
	}
	if seg.store != s.id || seg.size <= segmentHeaderSize || s.foreign() {
		return nil
	}
	return s.records(newScanner(seg, f), whole)
}

// unread says whether the system did not let the header be read. It may do the same with the rest,
// which must not be taken for lost.
func (s *surveyor) unread() bool {
	return slices.ContainsFunc(s.found.Damage, unreadable)
}

// foreign says whether the segment is in another format: its bytes mean nothing to this program.
func (s *surveyor) foreign() bool {
	for _, err := range s.found.Damage {
		if errors.Is(err, ErrVersion) {
			return true
		}
	}
	return false
}

// records reads records to the end. whole says whether the header could be read: without it the
// scanner does not know what comes next.
func (s *surveyor) records(sc *scanner, whole bool) error {
	for known := whole; ; {
		rec, reason, err := s.record(sc, known)
		switch {
		case err != nil:
			s.damage(err)
			return nil
		case reason == nil:
			if err := s.yield(rec, true); err != nil {
				return err
			}
			continue
		}
		s.found.End = sc.off
		if known && s.last {
			torn, err := sc.torn(reason, s.mark.SyncEach)
			if err == nil {
				err = s.mark.cutOff(path.Dir(s.found.Path), s.found.Path, sc.off, sc.next-1)
			}
			if err == nil {
				// Without a header nothing says how long the file should be: only zeros where a
				// record would be show that none is missing.
				s.found.Torn, s.found.Ends = torn, whole || torn == 0 && sc.seg.size-sc.off >= smallestRecord
				return nil
			}
			s.damage(err)
		} else if known {
			var err error
			if s.next.number != 0 {
				err = sc.sealed(reason, s.next)
			} else if at, readErr := sc.win.nonZero(sc.off); readErr != nil {
				err = readErr
			} else if at < sc.seg.size {
				err = &CorruptionError{File: sc.seg.path, Offset: sc.off, Index: sc.next,
					Err: fmt.Errorf("%w, and the bytes from offset %d on are not zero", reason, at)}
			}
			if err == nil {
				return nil
			}
			s.damage(err)
		}
		rec, checked, found, err := s.resume(sc, known)
		if err != nil {
			s.damage(err)
			return nil
		}
		if !found {
			return nil
		}
		known = true
		if rec.Payload == nil {
			continue // a record whose payload is damaged: stepped over
		}
		if err := s.yield(rec, checked); err != nil {
			return err
		}
	}
}

// record is the scanner's next record, or the reason why there is none.
func (s *surveyor) record(sc *scanner, known bool) (rec Record, reason, err error) {
	if !known {
		return Record{}, errRecordHeader, nil
	}
	rec, err = sc.record()
	var bad *invalid
	if errors.As(err, &bad) {
		return Record{}, bad.reason, nil
	}
	return rec, nil, err
}

// resume looks for the next record header from the scanner's offset on and steps over its record.
// The payload is nil if the record is the one that should be there and its payload is damaged: the
// records after it can be compared with its header.
func (s *surveyor) resume(sc *scanner, known bool) (rec Record, checked, found bool, err error) {
	for off := sc.off; ; off += alignment {
		if off, err = sc.win.nonZero(off); err != nil || sc.seg.size-off < smallestRecord {
			return Record{}, false, false, err
		}
		b, err := sc.win.from(off, recordHeaderSize)
		if err != nil {
			return Record{}, false, false, err
		}
		h, err := sc.seg.format.decodeRecordHeader(b, sc.seed, sc.seg.size-off)
		if err != nil || known && (h.index < sc.next || h.index-sc.next > uint64(off-sc.off)/smallestRecord) {
			continue
		}
		if b, err = sc.win.from(off, int(recordSize(int(h.length)))); err != nil {
			return Record{}, false, false, err
		}
		rec := Record{Index: h.index, Durable: h.durable, Time: time.Unix(0, h.time), Type: h.recordType,
			Payload: b[recordHeaderSize : recordHeaderSize+int(h.length)], Segment: sc.seg.number, Offset: off}
		if known && off == sc.off {
			rec.Payload = nil
		}
		sc.off, sc.next = off+recordSize(int(h.length)), h.index+1
		le.PutUint32(sc.link[:], h.sum)
		return rec, false, true, nil
	}
}

func (s *surveyor) yield(rec Record, checked bool) error {
	if s.found.First == 0 {
		s.found.First, s.found.Began = rec.Index, rec.Time
	}
	s.found.Last, s.found.Ended, s.found.End = rec.Index, rec.Time, rec.Offset+recordSize(len(rec.Payload))
	s.found.Records++
	if s.each == nil {
		return nil
	}
	return s.each(rec, checked)
}
