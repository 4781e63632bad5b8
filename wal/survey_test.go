package wal

import (
	"bytes"
	"errors"
	"path"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs"
)

// surveyed is what a survey reads: payloads by index, of those records that were compared with
// their checksums and of the others.
type surveyed struct {
	segments           []SegmentSurvey
	checked, unchecked map[uint64][]byte
}

func survey(t *testing.T, fsys vfs.FS, id ID) surveyed {
	t.Helper()
	s := surveyed{checked: map[uint64][]byte{}, unchecked: map[uint64][]byte{}}
	var err error
	s.segments, err = Survey(testDir, id, testOptions(fsys), func(r Record, checked bool) error {
		to := s.unchecked
		if checked {
			to = s.checked
		}
		if s.checked[r.Index] != nil || s.unchecked[r.Index] != nil {
			t.Errorf("record %d comes twice", r.Index)
		}
		to[r.Index] = bytes.Clone(r.Payload)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *surveyed) damaged() []error {
	var all []error
	for _, segment := range s.segments {
		all = append(all, segment.Damage...)
	}
	return all
}

// TestSurveyGoesOn: what a survey reads of a damaged log is all that is not damaged itself.
func TestSurveyGoesOn(t *testing.T) {
	t.Parallel()
	intact, l := damagedLog(t)
	var sizes = []int{2000, 2000, 2000, 1000, 2000, 2000, 2000, 1000, 2000, 2000, 2000, 1000, 1000, 1000}
	name := segmentName
	rows := []struct {
		name            string
		damage          func(f frozen)
		lost, unchecked []uint64
		damages         int
	}{
		{"nothing", func(frozen) {}, nil, nil, 0},
		{"payload", func(f frozen) { f[name(2)][second+100] ^= 1 }, []uint64{6}, nil, 1},
		{"record header", func(f frozen) { f[name(2)][second+16] ^= 1 }, []uint64{6}, []uint64{7}, 1},
		{"two payloads", func(f frozen) { f[name(2)][second+100] ^= 1; f[name(3)][second+100] ^= 1 },
			[]uint64{6, 10}, nil, 2},
		{"a segment's last record", func(f frozen) { f[name(2)][filled-1] ^= 1 }, []uint64{8}, nil, 1},
		{"after a segment's last record", func(f frozen) { f[name(2)][filled+8] ^= 1 }, nil, nil, 1},
		{"segment header", func(f frozen) { f[name(2)][41] ^= 4 }, nil, []uint64{5}, 1},
		{"magic", func(f frozen) { f[name(2)][0] ^= 4 }, nil, []uint64{5}, 1},
		{"first segment's header", func(f frozen) { f[name(1)][41] ^= 4 }, nil, []uint64{1}, 1},
		{"missing segment", func(f frozen) { delete(f, name(2)) }, []uint64{5, 6, 7, 8}, nil, 1},
		{"empty segment", func(f frozen) { f[name(2)] = nil }, []uint64{5, 6, 7, 8}, nil, 1},
		{"cut off", func(f frozen) { f[name(2)] = f[name(2)][:second+2040+1] }, []uint64{7, 8}, []uint64{5}, 2},
		{"a sector of zeros", func(f frozen) { clear(f[name(2)][2560:3072]) }, []uint64{6}, nil, 1},
		{"a record in another's place", func(f frozen) {
			copy(f[name(2)][second+2040:], f[name(2)][segmentHeaderSize:segmentHeaderSize+2040])
		}, []uint64{7}, []uint64{8}, 1},
		{"version", func(f frozen) { f[name(2)][8] = 2 }, nil, []uint64{5}, 1},
		{"newer version", func(f frozen) { newer(f[name(2)]) }, []uint64{5, 6, 7, 8}, nil, 1},
		{"of another store", func(f frozen) { f[name(2)] = otherLife(t, ID{1})[name(2)] },
			[]uint64{5, 6, 7, 8}, nil, 2},
		{"first of two in the last segment", func(f frozen) { f[name(4)][segmentHeaderSize+50] ^= 1 },
			[]uint64{13}, nil, 1},
		{"torn", func(f frozen) { f[name(4)][segmentHeaderSize+1040+100] ^= 1 }, []uint64{14}, nil, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := intact.clone()
			row.damage(f)
			s := survey(t, f, l.ID())
			if damage := s.damaged(); len(damage) != row.damages {
				t.Errorf("damage %v, want %d", damage, row.damages)
			}
			_, err := Open(testDir, testOptions(f))
			if (err == nil) != (row.damages == 0) {
				t.Errorf("Open says %v", err)
			}
			for i, size := range sizes {
				index := uint64(i + 1)
				want, from := payload(index, size), s.checked[index]
				for _, unchecked := range row.unchecked {
					if unchecked == index {
						from = s.unchecked[index]
					}
				}
				for _, lost := range row.lost {
					if lost == index {
						want = nil
					}
				}
				if !bytes.Equal(from, want) {
					t.Errorf("record %d: %d bytes, want %d", index, len(from), len(want))
				}
			}
			if len(s.unchecked) != len(row.unchecked) {
				t.Errorf("%d unchecked", len(s.unchecked))
			}
		})
	}
}

// TestSurveyAgreesWithOpen flips a bit of each byte: a survey finds damage exactly where Open does,
// the same first, and nothing that is not so.
func TestSurveyAgreesWithOpen(t *testing.T) {
	t.Parallel()
	intact, l := damagedLog(t)
	whole := survey(t, intact, l.ID())
	f := intact.clone()
	for number := uint64(1); number <= 4; number++ {
		b := f[segmentName(number)]
		for i := 0; i < len(b); i += 7 * thin.Step(9) {
			b[i] ^= 1 << (i % 8)
			_, err := Open(testDir, testOptions(f))
			s := survey(t, f, ID{})
			damage := s.damaged()
			if (err == nil) != (len(damage) == 0) {
				t.Fatalf("segment %d, byte %d: Open says %v, a survey %v", number, i, err, damage)
			}
			var first, opened *CorruptionError
			if errors.As(err, &opened) && errors.As(damage[0], &first) &&
				(first.File != opened.File || first.Offset != opened.Offset) {
				t.Errorf("segment %d, byte %d: Open says %v, a survey %v", number, i, err, damage)
			}
			for index, p := range s.checked {
				if !bytes.Equal(whole.checked[index], p) {
					t.Errorf("segment %d, byte %d: record %d is another one", number, i, index)
				}
			}
			for index, p := range s.unchecked {
				if !bytes.Equal(whole.checked[index], p) {
					t.Errorf("segment %d, byte %d: record %d is another one, unchecked", number, i, index)
				}
			}
			if got := len(s.checked) + len(s.unchecked); got < len(whole.checked)-1 {
				t.Errorf("segment %d, byte %d: %d records can be read", number, i, got)
			}
			b[i] ^= 1 << (i % 8)
		}
	}
}

func TestSurveyWithoutALog(t *testing.T) {
	t.Parallel()
	if _, err := Survey(testDir, ID{}, testOptions(frozen{"notes": nil}), nil); !errors.Is(err, ErrNoLog) {
		t.Error(err)
	}
	intact, _ := damagedLog(t)
	stop := errors.New("stop")
	if _, err := Survey(testDir, ID{}, testOptions(intact), func(Record, bool) error { return stop }); err != stop {
		t.Error(err)
	}
	f := intact.clone()
	delete(f, segmentName(2))
	delete(f, segmentName(3))
	s := survey(t, f, ID{})
	if len(s.segments) != 3 || !s.segments[1].Missing || path.Base(s.segments[1].Path) != segmentName(2) {
		t.Errorf("the survey has %+v, want three segments with the second one missing", s.segments)
	}
}

// TestSurveyEnds: a survey says that it read the log to its end only where nothing of it can be
// missing after that.
func TestSurveyEnds(t *testing.T) {
	t.Parallel()
	intact, l := damagedLog(t)
	last := segmentName(4)
	const end = segmentHeaderSize + 2*1040
	for _, row := range []struct {
		name   string
		damage func(f frozen)
		ends   bool
	}{
		{"nothing", func(frozen) {}, true},
		{"a write that was under way", func(f frozen) { f[last][end+50] = 1 }, true},
		{"no record", func(f frozen) { clear(f[last][segmentHeaderSize:]) }, true},
		{"damage before the end", func(f frozen) { f[last][segmentHeaderSize+50] ^= 1 }, true},
		{"damage in another segment", func(f frozen) { f[segmentName(2)][second+100] ^= 1 }, true},
		{"the header", func(f frozen) { f[last][41] ^= 4 }, true},
		{"the header, and a write that was under way", func(f frozen) { f[last][41] ^= 4; f[last][end+50] = 1 }, false},
		{"the header and every record", func(f frozen) { clear(f[last]) }, false},
		{"cut off after the records", func(f frozen) { f[last] = f[last][:end+48] }, true},
		{"cut off where another record may have begun", func(f frozen) { f[last] = f[last][:end+40] }, false},
		{"cut off after a record", func(f frozen) { f[last] = f[last][:end-1040] }, false},
		{"cut off in a record", func(f frozen) { f[last] = f[last][:end-100] }, false},
		{"of no bytes", func(f frozen) { f[last] = nil }, false},
		{"of another store", func(f frozen) { f[last] = otherLife(t, ID{1})[segmentName(2)] }, false},
	} {
		f := intact.clone()
		row.damage(f)
		s := survey(t, f, l.ID())
		for i, segment := range s.segments {
			if want := row.ends && i == len(s.segments)-1; segment.Ends != want {
				t.Errorf("%s: segment %d: %t, want %t", row.name, segment.Number, segment.Ends, want)
			}
		}
	}
}
