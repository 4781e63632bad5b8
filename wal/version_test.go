package wal

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/vfs/vfstest"
)

// later is what a later program knows: a version whose segments have a second type of record. This
// is all that such a version needs in order to be read.
func later() formats { return append(knownFormats(), format{version: 2, types: 2}) }

// handmade is a segment of so many bytes with one record for each kind, which is its type. It
// returns the header sum of the last one.
func handmade(t *testing.T, disk *vfstest.Mem, h segmentHeader, kinds ...uint8) (link uint32) {
	t.Helper()
	b := make([]byte, h.size)
	copy(b, h.encode())
	link = h.previous
	off := int64(segmentHeaderSize)
	for i, kind := range kinds {
		index := h.first + uint64(i)
		p := payload(index, 100)
		record := b[off : off+recordSize(len(p))]
		link = encodeRecord(record, kind, h.seedSum(), link, index, index-1, testNow().UnixNano(), p)
		off += int64(len(record))
	}
	if err := disk.WriteFile(path.Join(testDir, segmentName(h.number)), b); err != nil {
		t.Fatal(err)
	}
	return link
}

// mixed is a log with segments of versions 1, 2, 1 and 2 in a row; each of version 2 has a record
// of the second type between two of the first.
func mixed(t *testing.T) *vfstest.Mem {
	t.Helper()
	disk := vfstest.NewMem()
	h := segmentHeader{store: testID, number: 1, first: 1, size: minSegmentSize}
	for i := range 4 {
		h.format = later()[i%2]
		kinds := []uint8{1, uint8(1 + i%2), 1}
		h.previous = handmade(t, disk, h, kinds...)
		h.first += uint64(len(kinds))
		h.number++
	}
	return disk
}

// TestVersionsInARow: each segment is read by its own version, whatever those beside it have, and
// the log goes on in the version of its last one.
func TestVersionsInARow(t *testing.T) {
	t.Parallel()
	disk := mixed(t)
	o := testOptions(disk)
	o.formats = later()
	wantKinds := func(what string, got []uint8) {
		t.Helper()
		if want := []uint8{1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1}; !slices.Equal(got[:min(len(got), 12)], want) {
			t.Errorf("%s: types %d, want %d", what, got, want)
		}
	}
	var scanned, surveyed []uint8
	for rec, err := range Scan(testDir, o) {
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		scanned = append(scanned, rec.Type)
	}
	wantKinds("scan", scanned)
	found, err := Survey(testDir, ID{}, o, func(rec Record, checked bool) error {
		surveyed = append(surveyed, rec.Type)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range found {
		if len(s.Damage) > 0 {
			t.Errorf("survey: %s: %v", s.Path, s.Damage)
		}
	}
	wantKinds("survey", surveyed)

	l := start(t, o)
	for range 3 {
		appendSizes(t, l, 3000)
	}
	if len(l.Segments()) != 5 {
		t.Fatalf("%d segments, want one more than 4", len(l.Segments()))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(testDir, o); err != nil {
		t.Fatal(err)
	}
	var read []uint8
	for rec, err := range l.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		if size := len(rec.Payload); !bytes.Equal(rec.Payload, payload(rec.Index, size)) {
			t.Errorf("record %d holds other bytes than were written", rec.Index)
		}
		read = append(read, rec.Type)
	}
	wantKinds("records", read)
	if len(read) != 15 || l.segs[4].format != o.formats.newest() {
		t.Errorf("%d records, want 15; the segment that was begun has %+v, want %+v", len(read), l.segs[4].format,
			o.formats.newest())
	}
}

// TestNewLogsAreOld: a later program makes a log that an older one reads.
func TestNewLogsAreOld(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.formats = later()
	l := create(t, o)
	for range 5 {
		appendSizes(t, l, 3000)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(testDir, testOptions(freeze(disk))); err != nil || l.Last() != 5 || len(l.segs) < 3 {
		t.Errorf("an older program: %v", err)
	}
}

// TestLaterTypeBeginsSegment: a record of the second type begins a segment of the version that has
// it, where the log is not in such a one, and the log stays in that version.
func TestLaterTypeBeginsSegment(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.SegmentSize, o.formats = 64<<10, later()
	l := create(t, o)
	for _, row := range []struct {
		recordType uint8
		segment    uint64
		err        error
	}{{1, 1, nil}, {3, 1, ErrVersion}, {1, 1, nil}, {2, 2, nil}, {1, 2, nil}, {2, 2, nil}, {0, 2, ErrVersion}} {
		index, err := l.Append(row.recordType, payload(l.Last()+1, 100))
		if err == nil {
			err = l.Sync()
		}
		if !errors.Is(err, row.err) || l.current.number != row.segment {
			t.Fatalf("a record of type %d: %v, in segment %d; want %v, in segment %d", row.recordType, err,
				l.current.number, row.err, row.segment)
		}
		if err == nil && index != l.Last() {
			t.Errorf("a record of type %d has index %d, and the last one %d", row.recordType, index, l.Last())
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Open(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	records, err := read(l, 1)
	if err != nil {
		t.Fatal(err)
	}
	var types []uint8
	for _, rec := range records {
		types = append(types, rec.Type)
		if !bytes.Equal(rec.Payload, payload(rec.Index, 100)) {
			t.Errorf("record %d holds other bytes than were appended", rec.Index)
		}
	}
	if want := []uint8{1, 1, 2, 1, 2}; !slices.Equal(types, want) {
		t.Errorf("types %d, want %d", types, want)
	}
	if l.segs[0].format != o.formats.first() || l.segs[1].format != o.formats.newest() {
		t.Errorf("the segments have %+v and %+v", l.segs[0].format, l.segs[1].format)
	}
}

// TestLaterTypeWithoutRoom: where there is no room for the segment that a record of the second type
// needs, it is refused, also by Resume, until there is.
func TestLaterTypeWithoutRoom(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	full := false
	o := testOptions(vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		if full && op.Kind == vfstest.KindCreate {
			return vfstest.Fail(syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	}))
	o.SegmentSize, o.formats = 64<<10, later()
	l := create(t, o)
	appendSizes(t, l, 100)
	full = true
	if _, err := l.Append(2, payload(2, 100)); !errors.Is(err, ErrFull) {
		t.Fatalf("without room: %v", err)
	}
	if err := l.Resume(); !errors.Is(err, ErrFull) {
		t.Fatalf("resumed without room: %v", err)
	}
	full = false
	if err := errors.Join(l.PrepareSpare(), l.Resume()); err != nil {
		t.Fatalf("resumed with room: %v", err)
	}
	if index, err := l.Append(2, payload(2, 100)); index != 2 || err != nil || l.current.number != 2 {
		t.Errorf("with room: record %d in segment %d, %v", index, l.current.number, err)
	}
}

// TestUnknownVersion: a program refuses a log with a segment of a version that it does not know,
// names that segment, says which versions it knows, and changes nothing.
func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	unknown := mixed(t)
	b, err := unknown.ReadFile(path.Join(testDir, segmentName(3)))
	if err != nil {
		t.Fatal(err)
	}
	le.PutUint32(b[8:], 3)
	le.PutUint32(b[60:], crcOf(b[:60]))
	if err := unknown.WriteFile(path.Join(testDir, segmentName(3)), b); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		disk  *vfstest.Mem
		known formats
		want  string
	}{
		{mixed(t), knownFormats(),
			segmentName(2) + " at offset 0: unknown format version 2: this program knows version 1"},
		{unknown, later(),
			segmentName(3) + " at offset 0: unknown format version 3: this program knows versions 1 to 2"},
	} {
		o := testOptions(freeze(row.disk))
		o.formats = row.known
		_, err := Open(testDir, o)
		if !errors.Is(err, ErrVersion) || !strings.HasSuffix(fmt.Sprint(err), row.want) {
			t.Errorf("%s: %v, want %s", row.known.known(), err, row.want)
		}
		var scanned error
		for _, scanned = range Scan(testDir, o) {
		}
		if !errors.Is(scanned, ErrVersion) {
			t.Errorf("%s, scan: %v", row.known.known(), scanned)
		}
	}
}

// TestTypesGoByVersion: a record of the second type is none in a segment of version 1.
func TestTypesGoByVersion(t *testing.T) {
	t.Parallel()
	disk := mixed(t)
	first := later().first()
	handmade(t, disk, segmentHeader{format: first, store: testID, number: 1, first: 1, size: minSegmentSize}, 1, 2, 1)
	o := testOptions(freeze(disk))
	o.formats = later()
	_, err := Open(testDir, o)
	var damage *CorruptionError
	if !errors.As(err, &damage) || damage.Index != 2 || path.Base(damage.File) != segmentName(1) {
		t.Errorf("%v, want damage at record 2", err)
	}
}

// TestVersionIsCovered: a header that was made in one known version and says another one is
// damaged.
func TestVersionIsCovered(t *testing.T) {
	t.Parallel()
	for number, version := range map[uint64]byte{1: 2, 2: 1, 3: 2, 4: 3} {
		f := freeze(mixed(t))
		f[segmentName(number)][8] = version
		o := testOptions(f)
		o.formats = later()
		_, err := Open(testDir, o)
		var damage *CorruptionError
		if !errors.As(err, &damage) || path.Base(damage.File) != segmentName(number) || damage.Offset != 0 {
			t.Errorf("segment %d says version %d: %v, want damage", number, version, err)
		}
		var records int
		found, err := Survey(testDir, ID{}, o, func(Record, bool) error { records++; return nil })
		if err != nil || records != 12 || len(found[number-1].Damage) != 1 {
			t.Errorf("segment %d says version %d: %d records can be read, want all 12; %v",
				number, version, records, err)
		}
	}
}
