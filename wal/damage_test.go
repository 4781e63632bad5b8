package wal

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// damagedLog is four segments, the last with two records, and the offset of the second record in
// each.
func damagedLog(t *testing.T) (frozen, *Log) {
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	appendSizes(t, l, 2000, 2000, 2000, 1000, 2000, 2000, 2000, 1000, 2000, 2000, 2000, 1000, 1000, 1000)
	if n := l.current.number; n != 4 {
		t.Fatalf("%d segments", n)
	}
	return freeze(disk), l
}

// otherLife is the same log up to the first segment's end, and then with other payloads of the same
// sizes.
func otherLife(t *testing.T, id ID) frozen {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	if err := Create(testDir, id, 1, o); err != nil {
		t.Fatal(err)
	}
	l := start(t, o)
	appendSizes(t, l, 2000, 2000, 2000, 1000)
	for _, size := range []int{2000, 2000, 2000, 1000, 2000} {
		p := payload(1000+l.Last(), size)
		if _, err := l.Append(typeBatch, p); err != nil {
			t.Fatal(err)
		}
	}
	return freeze(disk)
}

const (
	second = segmentHeaderSize + recordHeaderSize + 2000 // offset of the second record
	filled = segmentHeaderSize + 3*(recordHeaderSize+2000) + recordHeaderSize + 1000
)

// newer makes a segment's header that of the next version.
func newer(b []byte) {
	b[8] = byte(knownFormats().newest().version + 1)
	le.PutUint32(b[60:], crcOf(b[:60]))
}

// TestDamage damages a closed log in every way we know of. Open refuses with the right error, names
// file and offset, and changes nothing.
func TestDamage(t *testing.T) {
	t.Parallel()
	intact, _ := damagedLog(t)
	name := segmentName
	reseal := func(b []byte, change func(h *segmentHeader)) {
		h, err := knownFormats().decodeSegmentHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		copy(b, h.encode())
	}
	foreign := otherLife(t, ID{15: 1})
	diverged := otherLife(t, testID)
	rows := []struct {
		name   string
		damage func(f frozen)
		want   error // nil: *CorruptionError
		file   string
		offset int64
		index  uint64
	}{
		{"payload in a sealed segment", func(f frozen) { f[name(2)][second+100] ^= 1 }, nil, name(2), second, 6},
		{"record header in a sealed segment", func(f frozen) { f[name(2)][second+16] ^= 1 }, nil, name(2), second, 6},
		{"a hole in a sealed segment", func(f frozen) { clear(f[name(2)][second : second+2040]) },
			nil, name(2), second, 6},
		{"512 bytes of garbage in a sealed segment", func(f frozen) { copy(f[name(2)][second-40:], payload(1, 512)) },
			nil, name(2), segmentHeaderSize, 5},
		{"sectors swapped", func(f frozen) {
			b := f[name(2)]
			var a [512]byte
			copy(a[:], b[1024:])
			copy(b[1024:1536], b[2560:])
			copy(b[2560:], a[:])
		}, nil, name(2), segmentHeaderSize, 5},
		{"a sealed segment without its last record", func(f frozen) { clear(f[name(2)][filled-1040 : filled]) },
			nil, name(2), filled - 1040, 8},
		{"a sealed segment without records", func(f frozen) { clear(f[name(2)][segmentHeaderSize:]) },
			nil, name(2), segmentHeaderSize, 5},
		{"something after a sealed segment", func(f frozen) { f[name(2)][filled+100] = 1 }, nil, name(2), filled, 9},
		{"something in a sealed segment's last byte", func(f frozen) { f[name(2)][minSegmentSize-1] = 1 },
			nil, name(2), filled, 9},
		{"first of two records in the last segment", func(f frozen) { f[name(4)][segmentHeaderSize+50] ^= 1 },
			nil, name(4), segmentHeaderSize, 13},
		{"missing middle segment", func(f frozen) { delete(f, name(2)) }, nil, name(2), 0, 0},
		{"two missing middle segments", func(f frozen) { delete(f, name(2)); delete(f, name(3)) }, nil, name(2), 0, 0},
		{"zero-length segment", func(f frozen) { f[name(3)] = nil }, nil, name(3), 0, 0},
		{"zero-length last segment", func(f frozen) { f[name(4)] = nil }, nil, name(4), 0, 0},
		{"truncated segment", func(f frozen) { f[name(3)] = f[name(3)][:4096] }, nil, name(3), 48, 0},
		{"truncated last segment", func(f frozen) { f[name(4)] = f[name(4)][:minSegmentSize-1] }, nil, name(4), 48, 0},
		{"truncated within the header", func(f frozen) { f[name(4)] = f[name(4)][:63] }, nil, name(4), 0, 0},
		{"longer segment", func(f frozen) { f[name(1)] = append(f[name(1)], 0) }, nil, name(1), 48, 0},
		{"segment header", func(f frozen) { f[name(2)][41] ^= 4 }, nil, name(2), 0, 0},
		{"segment header with impossible values",
			func(f frozen) { reseal(f[name(2)], func(h *segmentHeader) { h.first = 0 }) },
			nil, name(2), 0, 0},
		{"first goes back", func(f frozen) { reseal(f[name(3)], func(h *segmentHeader) { h.first = 4 }) },
			nil, name(3), 40, 4},
		{"first goes ahead", func(f frozen) { reseal(f[name(3)], func(h *segmentHeader) { h.first = 10 }) },
			nil, name(2), filled, 9},
		{"a segment of another store", func(f frozen) { f[name(2)] = foreign[name(2)] }, nil, name(2), 16, 0},
		{"a segment of another life", func(f frozen) { f[name(2)] = diverged[name(2)] }, nil, name(3), 56, 9},
		{"an older copy of a segment", func(f frozen) {
			b := f[name(2)] // as it was with two records in it
			clear(b[segmentHeaderSize+2*2040:])
		}, nil, name(2), segmentHeaderSize + 2*2040, 7},
		{"two segments under each other's name", func(f frozen) { f[name(2)], f[name(3)] = f[name(3)], f[name(2)] },
			nil, name(2), 32, 0},
		{"a segment under a later name", func(f frozen) { f[name(5)] = f[name(4)]; delete(f, name(4)) },
			nil, name(4), 0, 0},
		{"a record with another index, all its checksums right", func(f frozen) {
			b := f[name(2)][second:]
			seg, _ := knownFormats().decodeSegmentHeader(f[name(2)])
			link := le.Uint32(f[name(2)][segmentHeaderSize+36:])
			encodeRecord(b[:2040], typeBatch, seg.seedSum(), link, 7, 5, 0, payload(7, 2000))
		}, nil, name(2), second, 6},
		{"a file of another program among ours",
			func(f frozen) { f[name(3)] = []byte(strings.Repeat("hello\n", 2000)) },
			nil, name(3), 0, 0},
		{"a file of another program at the end",
			func(f frozen) { f[name(4)] = []byte(strings.Repeat("hello\n", 2000)) },
			nil, name(4), 0, 0},
		{"files of another program", func(f frozen) {
			for n := uint64(1); n <= 4; n++ {
				f[name(n)] = []byte(strings.Repeat("hello\n", 2000))
			}
		}, ErrNotOurs, name(1), 0, 0},
		{"zeros in the place of a header", func(f frozen) { clear(f[name(2)][:segmentHeaderSize]) },
			nil, name(2), 0, 0},
		{"magic", func(f frozen) { f[name(1)][3] ^= 1 }, nil, name(1), 0, 0},
		{"version", func(f frozen) { f[name(4)][8] = 2 }, nil, name(4), 0, 0},
		{"newer version", func(f frozen) { newer(f[name(4)]) }, ErrVersion, name(4), 0, 0},
		{"newer version of all", func(f frozen) {
			for n := uint64(1); n <= 4; n++ {
				newer(f[name(n)])
			}
		}, ErrVersion, name(1), 0, 0},
		{"unknown flags", func(f frozen) {
			b := f[name(4)]
			b[12] = 1
			le.PutUint32(b[60:], crcOf(b[:60]))
		}, ErrVersion, name(4), 0, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := intact.clone()
			row.damage(f)
			before := f.clone()
			l, err := Open(testDir, testOptions(f))
			if err == nil {
				t.Fatalf("opened, with records %d to %d", l.First(), l.Last())
			}
			var damage *CorruptionError
			switch isDamage := errors.As(err, &damage); {
			case row.want == nil && !isDamage:
				t.Fatalf("%v is not damage", err)
			case row.want != nil && (isDamage || !errors.Is(err, row.want)):
				t.Errorf("%v, want %v", err, row.want)
			case isDamage && (path.Base(damage.File) != row.file || damage.Offset != row.offset ||
				damage.Index != row.index):
				t.Errorf("%v\n is %s, offset %d, record %d; want %s, %d, %d", err,
					path.Base(damage.File), damage.Offset, damage.Index, row.file, row.offset, row.index)
			}
			if !strings.Contains(err.Error(), row.file) || !strings.Contains(err.Error(), "offset") {
				t.Errorf("the message names no file and offset: %v", err)
			}
			if errors.Is(err, errFrozen) || !f.equal(before) {
				t.Error("Open changed the directory")
			}
			if _, err := Open(testDir, testOptions(f.thaw(t))); err == nil {
				t.Error("opened at the second try")
			}
		})
	}
}

// TestNotDamage: what looks odd and is allowed.
func TestNotDamage(t *testing.T) {
	t.Parallel()
	intact, _ := damagedLog(t)
	rows := []struct {
		name        string
		change      func(f frozen)
		first, last uint64
	}{
		{"nothing", func(frozen) {}, 1, 14},
		{"released segments", func(f frozen) { delete(f, segmentName(1)); delete(f, segmentName(2)) }, 9, 14},
		{"only the last segment", func(f frozen) {
			for n := range uint64(3) {
				delete(f, segmentName(n+1))
			}
		}, 13, 14},
		{"without the last segment: only evidence outside the log can tell",
			func(f frozen) { delete(f, segmentName(4)) }, 1, 12},
		{"last record damaged: it may have been under way",
			func(f frozen) { f[segmentName(4)][segmentHeaderSize+1040+100] ^= 1 }, 1, 13},
		{"an empty last segment", func(f frozen) { clear(f[segmentName(4)][segmentHeaderSize:]) }, 1, 12},
		{"other files", func(f frozen) {
			f["notes.txt"] = []byte("x")
			f[spareName] = []byte("x")
			f["000000000000000A.seg"] = []byte("x")
			f["0.seg"] = []byte("x")
			f["0000000000000000.seg"] = []byte("x")
			f["0000000000000009.seg.bak"] = []byte("x")
			f["zzzzzzzzzzzzzzzz.seg"] = []byte("x")
		}, 1, 14},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := intact.clone()
			row.change(f)
			l, err := Open(testDir, testOptions(f))
			if err != nil {
				t.Fatal(err)
			}
			if l.First() != row.first || l.Last() != row.last {
				t.Errorf("records %d to %d, want %d to %d", l.First(), l.Last(), row.first, row.last)
			}
			disk := f.thaw(t)
			l = start(t, testOptions(disk))
			appendSizes(t, l, 1000, 1000, 1000, 3000, 4000)
			after := freeze(disk)
			for name, b := range f {
				if _, ours := parseSegmentName(name); !ours && name != spareName && string(after[name]) != string(b) {
					t.Errorf("%s was touched", name)
				}
			}
			if _, there := after[spareName]; there {
				t.Error("the old spare is still there")
			}
		})
	}
}

func TestOpenWithoutALog(t *testing.T) {
	t.Parallel()
	empty := vfstest.NewMem()
	if err := empty.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	other := frozen{spareName: make([]byte, minSegmentSize), "notes": nil}
	for name, fsys := range map[string]vfs.FS{
		"no directory": vfstest.NewMem(), "empty directory": empty, "other files": other,
	} {
		if _, err := Open(testDir, testOptions(fsys)); !errors.Is(err, ErrNoLog) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNoLog", name, err)
		}
	}
}

// TestEveryBitFlip flips each bit of a closed log of two segments, of the zeros at its end one in
// each byte. Either Open refuses, or all records are there and right, or the bit was in the last
// record and only that one is gone.
func TestEveryBitFlip(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	payloads := appendSizes(t, l, 3000, 3500, 1400, 60, 1, 700, 333)
	lastOffset, end := l.off-recordSize(333), l.off
	if l.current.number != 2 {
		t.Fatal("want two segments")
	}
	f := freeze(disk)
	for number := uint64(1); number <= 2; number++ {
		b := f[segmentName(number)]
		for i := 0; i < len(b); i += thin.Step(11) {
			for bit := range 8 {
				inLast := number == 2 && int64(i) >= lastOffset && int64(i) < end
				after := number == 2 && int64(i) >= end
				if after && bit != i%8 {
					continue // zeros are compared by the byte: one bit of each will do
				}
				b[i] ^= 1 << bit
				l, err := Open(testDir, testOptions(f))
				switch {
				case err == nil && !inLast && !after:
					t.Errorf("segment %d, byte %d, bit %d: not noticed", number, i, bit)
				case err != nil && (inLast || after):
					t.Errorf("segment %d, byte %d, bit %d: refused, though it can be a torn tail: %v",
						number, i, bit, err)
				case err == nil && (inLast && l.Last() != 6 || after && l.Last() != 7):
					t.Errorf("segment %d, byte %d, bit %d: the log ends with %d", number, i, bit, l.Last())
				case err == nil && l.Tail().Length == 0:
					t.Errorf("segment %d, byte %d, bit %d: no tail", number, i, bit)
				case err == nil && bit == i%8: // reading it all again takes its time
					if err := compare(l, payloads); err != nil {
						t.Errorf("segment %d, byte %d, bit %d: %v", number, i, bit, err)
					}
				}
				b[i] ^= 1 << bit
			}
		}
	}
}
