package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"gcd/internal/vfs"
)

const (
	segmentSuffix = ".seg"
	spareName     = "spare"
)

// segment is what the log keeps in memory of each of its files.
type segment struct {
	segmentHeader
	path string
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// parseSegmentName returns the number in a segment's name; ok is false for every other name.
func parseSegmentName(name string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	if !found {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && number > 0 && segmentName(number) == name
}

// listSegments returns the numbers of the segments in dir, in order. ErrNoLog if there are none.
func listSegments(fsys vfs.FS, dir string) ([]uint64, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the log's segments: %w", err)
	}
	var numbers []uint64
	for _, name := range names { // sorted, and so are fixed-width numbers
		if n, ok := parseSegmentName(name); ok {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoLog)
	}
	return numbers, nil
}

// Contents says of a directory whether it has segments, and which names in it are none that a log's
// directory has. Nothing is opened. A directory that is not there has neither.
func Contents(fsys vfs.FS, dir string) (segments bool, others []string, err error) {
	names, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, nil, fmt.Errorf("list the log's segments: %w", err)
	}
	for _, name := range names {
		if _, ok := parseSegmentName(name); ok {
			segments = true
		} else if !IsOurs(name) && name != markName {
			others = append(others, name)
		}
	}
	return segments, others, nil
}

// IsOurs says whether a name is one that a log needs: a segment's, or that of what becomes one. The
// mark, which it does without, is none.
func IsOurs(name string) bool {
	_, ok := parseSegmentName(name)
	return ok || name == spareName
}

// readSegments reads and checks the header of every segment in dir, and that none is missing
// between two others. The first ones may be missing: Release removed them. With an error it returns
// the segments before the one that the error is about.
func readSegments(dir string, o Options) ([]segment, error) {
	numbers, err := listSegments(o.FS, dir)
	if err != nil {
		return nil, err
	}
	segs := make([]segment, 0, len(numbers))
	for i, number := range numbers {
		if i > 0 && number != numbers[i-1]+1 {
			return segs, &CorruptionError{File: path.Join(dir, segmentName(numbers[i-1]+1)),
				Err: fmt.Errorf("the segment is missing, %s is there", segmentName(number))}
		}
		seg, err := readSegmentHeader(path.Join(dir, segmentName(number)), number, o)
		if err != nil {
			return segs, classifyHeaderError(err, dir, number, numbers, o)
		}
		if i > 0 {
			if err := follows(seg, segs[i-1]); err != nil {
				return segs, err
			}
		}
		segs = append(segs, seg)
	}
	return segs, nil
}

// classifyHeaderError says what an error of reading a segment's header means: a file that does not
// begin as a segment is a damaged one where the log is known to be ours, or another of its segments
// is. Where the system does not let another one be read, that is not known.
func classifyHeaderError(err error, dir string, number uint64, numbers []uint64, o Options) error {
	if !errors.Is(err, ErrNotOurs) {
		return err
	}
	ours := o.Ours
	var unread error
	for i := 0; i < len(numbers) && !ours; i++ {
		_, other := readSegmentHeader(path.Join(dir, segmentName(numbers[i])), numbers[i], o)
		ours = other == nil
		if unreadable(other) {
			unread = cmp.Or(unread, other)
		}
	}
	if !ours {
		return cmp.Or(unread, err)
	}
	return &CorruptionError{File: path.Join(dir, segmentName(number)),
		Err: errors.New("it does not begin as a segment")}
}

// unreadable says whether an error is the system's, and not about what a segment holds.
func unreadable(err error) bool {
	return err != nil && !errors.As(err, new(*CorruptionError)) && !errors.Is(err, ErrNotOurs) &&
		!errors.Is(err, ErrVersion)
}

// readSegmentHeader reads one header and compares it with the file's name and length.
func readSegmentHeader(name string, number uint64, o Options) (segment, error) {
	f, err := o.FS.OpenRead(name)
	if err != nil {
		return segment{}, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return segment{}, fmt.Errorf("size of segment: %w", err)
	}
	damaged := func(offset int64, format string, args ...any) (segment, error) {
		return segment{}, &CorruptionError{File: name, Offset: offset, Err: fmt.Errorf(format, args...)}
	}
	if size < segmentHeaderSize {
		return damaged(0, "the file has %d bytes, less than a segment header", size)
	}
	b := make([]byte, segmentHeaderSize)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return segment{}, fmt.Errorf("read %s at offset 0: %w", name, err)
	}
	h, err := o.formats.decodeSegmentHeader(b)
	switch {
	case errors.Is(err, ErrNotOurs), errors.Is(err, ErrVersion):
		return segment{}, fmt.Errorf("%s at offset 0: %w", name, err)
	case err != nil:
		return damaged(0, "%w", err)
	case h.number != number:
		return damaged(32, "the header says segment %d, the name %d", h.number, number)
	case h.size != size:
		return damaged(48, "the header says %d bytes, the file has %d", h.size, size)
	}
	return segment{segmentHeader: h, path: name}, nil
}

// follows checks what can be told of two neighbours without reading their records.
func follows(seg, before segment) error {
	if seg.store != before.store {
		return &CorruptionError{File: seg.path, Offset: 16,
			Err: fmt.Errorf("the segment is of store %s, the one before it of store %s", seg.store, before.store)}
	}
	if seg.first < before.first {
		return &CorruptionError{File: seg.path, Offset: 40, Index: seg.first,
			Err: fmt.Errorf("the segment begins with record %d, the one before it with %d", seg.first, before.first)}
	}
	return nil
}

// A scanner reads the records of one segment in order and knows what must come next: only a record
// with the next index, written in this segment after the very record before it, is one. It stays
// where it is when there is none.
type scanner struct {
	seg  segment
	win  *window
	seed uint32

	off  int64   // where the next record should be
	next uint64  // its index
	link [4]byte // header sum of the record before it
}

func newScanner(seg segment, file vfs.File) *scanner {
	s := &scanner{
		seg: seg, win: newWindow(file, seg.path, seg.size), seed: seg.seedSum(),
		off: segmentHeaderSize, next: seg.first,
	}
	le.PutUint32(s.link[:], seg.previous)
	return s
}

// An invalid error says why the bytes at the scanner's offset are not the next record.
type invalid struct{ reason error }

func (e *invalid) Error() string { return e.reason.Error() }

// record reads the next record and steps over it. Its payload is valid until the next call.
// *invalid means that there is none at this offset, whatever is there instead; other errors are the
// disk's.
func (s *scanner) record() (Record, error) {
	room := s.seg.size - s.off
	if room < smallestRecord {
		return Record{}, &invalid{errRecordHeader}
	}
	b, err := s.win.from(s.off, recordHeaderSize)
	if err != nil {
		return Record{}, err
	}
	h, err := s.seg.format.decodeRecordHeader(b, s.seed, room)
	if err != nil {
		return Record{}, &invalid{err}
	}
	if h.index != s.next {
		return Record{}, &invalid{fmt.Errorf("record %d is where %d should be", h.index, s.next)}
	}
	size := recordSize(int(h.length))
	if b, err = s.win.from(s.off, int(size)); err != nil {
		return Record{}, err
	}
	if payloadSum(s.seed, s.link[:], b[recordHeaderSize:size]) != h.payloadSum {
		return Record{}, &invalid{errPayloadSum}
	}
	rec := Record{Index: h.index, Durable: h.durable, Time: time.Unix(0, h.time), Type: h.recordType,
		Payload: b[recordHeaderSize : recordHeaderSize+int(h.length)], Segment: s.seg.number, Offset: s.off}
	s.off += size
	s.next++
	le.PutUint32(s.link[:], h.sum)
	return rec, nil
}

// appeared says whether there is a next record by now, and does not step over it. A record that a
// later one calls durable was written before that one. So whoever has seen the later one finds it,
// unless it is damaged.
func (s *scanner) appeared() bool {
	again := *s
	again.win = newWindow(s.win.file, s.win.path, s.win.size) // what it holds is what was there before
	if _, err := again.record(); err != nil {
		return false
	}
	s.win = again.win
	return true
}

// sealed checks the end of a segment that has a next one. A segment is begun when every record
// before it is durable, so nothing here can be torn: only zeros may follow the last record, and the
// next segment must go on with the next index and with the last record's checksum. reason says why
// there is no further record here.
func (s *scanner) sealed(reason error, next segment) error {
	at, err := s.win.nonZero(s.off)
	if err != nil {
		return err
	}
	if at < s.seg.size {
		return &CorruptionError{File: s.seg.path, Offset: s.off, Index: s.next,
			Err: fmt.Errorf("%w, and the bytes from offset %d on are not zero though segment %d follows",
				reason, at, next.number)}
	}
	if next.first != s.next {
		return &CorruptionError{File: s.seg.path, Offset: s.off, Index: s.next,
			Err: fmt.Errorf("the segment ends before record %d, the next segment begins with record %d",
				s.next, next.first)}
	}
	if link := le.Uint32(s.link[:]); next.previous != link {
		return &CorruptionError{File: next.path, Offset: 56, Index: next.first,
			Err: fmt.Errorf("the segment follows a record with checksum %08x, the last one of %s has %08x",
				next.previous, s.seg.path, link)}
	}
	return nil
}

// torn looks at what follows the last valid record of the last segment. It returns the length of
// the part that is not zeros, counted from the scanner's offset.
//
// It is damage, and no torn write, if a later record says that the missing one was durable: that
// record was written after a sync. Such a record is looked for at every eighth byte, since a
// damaged one does not say where it ends. Its index must be one that it can have at that distance,
// so that no leftover speaks here. syncEach says that each record was synced before the next was
// appended. Then there is one torn record at most, and anything after that is damage, too.
func (s *scanner) torn(reason error, syncEach bool) (int64, error) {
	end, limit, beyond := s.off, s.seg.size, int64(0)
	if syncEach {
		var err error
		if limit, err = s.oneRecord(); err != nil {
			return 0, err
		}
	}
	for off := s.off; ; off += alignment {
		var err error
		if off, err = s.win.nonZero(off); err != nil {
			return 0, err
		}
		if off >= s.seg.size {
			break
		}
		end = off + alignment
		if beyond == 0 && off >= limit {
			beyond = off
		}
		room := s.seg.size - off
		if room < smallestRecord {
			continue
		}
		b, err := s.win.from(off, recordHeaderSize)
		if err != nil {
			return 0, err
		}
		h, err := s.seg.format.decodeRecordHeader(b, s.seed, room)
		if err == nil && h.durable >= s.next && h.index-s.next <= uint64(off-s.off)/smallestRecord {
			return 0, &CorruptionError{File: s.seg.path, Offset: s.off, Index: s.next,
				Err: fmt.Errorf("%w, but record %d at offset %d says that record %d was durable",
					reason, h.index, off, h.durable)}
		}
	}
	if beyond > 0 {
		return 0, &CorruptionError{File: s.seg.path, Offset: s.off, Index: s.next,
			Err: fmt.Errorf("%w, and the bytes from offset %d on are not zero: "+
				"more than one record is after the last, though each was synced before the next", reason, beyond)}
	}
	return end - s.off, nil
}

// oneRecord is where the record ends that was being written at the scanner's offset: by its header
// if that can be read, else as far as the longest record goes.
func (s *scanner) oneRecord() (int64, error) {
	room := s.seg.size - s.off
	if room < smallestRecord {
		return s.seg.size, nil
	}
	b, err := s.win.from(s.off, recordHeaderSize)
	if err != nil {
		return 0, err
	}
	if h, err := s.seg.format.decodeRecordHeader(b, s.seed, room); err == nil && h.index == s.next {
		return s.off + recordSize(int(h.length)), nil
	}
	return min(s.seg.size, s.off+recordSize(maxPayload)), nil
}
