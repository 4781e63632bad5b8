package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gcd/internal/vfs"
)

// scanned is a log of several segments in a directory, its records' payloads beginning with their
// indices, and the records.
func scanned(t *testing.T) (string, []Record) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wal")
	id, err := NewID()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{SegmentSize: minSegmentSize}
	if err := Create(dir, id, 7, o); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, err := l.Append(typeBatch, fmt.Appendf(nil, "%d %500d", 7+i, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	var records []Record
	for r, err := range l.Records(7) {
		if err != nil {
			t.Fatal(err)
		}
		r.Payload = nil
		records = append(records, r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(l.Segments()) < 4 {
		t.Fatalf("%d segments", len(l.Segments()))
	}
	return dir, records
}

// scan returns what Scan yields: records without payload, and the error.
func scan(dir string, o Options) (records []Record, err error) {
	for r, scanErr := range Scan(dir, o) {
		if scanErr != nil {
			return records, scanErr
		}
		r.Payload = nil
		records = append(records, r)
	}
	return records, nil
}

// TestScan gives each record before the damage, and then the error that Open has.
func TestScan(t *testing.T) {
	t.Parallel()
	dir, records := scanned(t)
	all := len(records)
	third := 0 // the first record of segment 3
	for records[third].Segment < 3 {
		third++
	}
	for _, test := range []struct {
		name    string
		segment uint64 // whose byte is changed
		offset  int64
		want    int // records before it
	}{
		{"none", 0, 0, all},
		{"record", 3, records[third+2].Offset + recordHeaderSize, third + 2},
		{"first record", 3, records[third].Offset + 9, third},
		{"header", 3, 20, third},
		{"header of the first", 1, 20, 0},
		{"link to the one before", 3, 57, third},
		{"last segment", records[all-1].Segment, records[all-2].Offset, all - 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if test.segment != 0 {
				flipByte(t, filepath.Join(copied, segmentName(test.segment)), test.offset)
			}
			got, err := scan(copied, Options{})
			_, want := Open(copied, Options{})
			if fmt.Sprint(err) != fmt.Sprint(want) || (err == nil) != (test.segment == 0) {
				t.Errorf("Scan ends with %v, Open with %v", err, want)
			}
			if fmt.Sprint(got) != fmt.Sprint(records[:test.want]) {
				t.Errorf("%d records before it, want %d", len(got), test.want)
			}
		})
	}
	if _, err := scan(t.TempDir(), Options{}); !errors.Is(err, ErrNoLog) {
		t.Errorf("no log: %v", err)
	}
	for range Scan(dir, Options{}) {
		break
	}
}

func flipByte(t *testing.T, name string, offset int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[offset] ^= 0x40
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// raceFS reads as a reader does that is overtaken: a range of one file is zeros, for so many reads
// of it.
type raceFS struct {
	vfs.FS
	path     string
	from, to int64
	left     int
}

type raceFile struct {
	vfs.File
	race *raceFS
}

func (r *raceFS) OpenRead(name string) (vfs.File, error) {
	f, err := r.FS.OpenRead(name)
	if err == nil && name == r.path {
		f = &raceFile{f, r}
	}
	return f, err
}

func (f *raceFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	from, to := max(f.race.from, off), min(f.race.to, off+int64(n))
	if from < to && f.race.left > 0 {
		f.race.left--
		clear(p[from-off : to-off])
	}
	return n, err
}

// TestLive: a record that was written while the segment was read is found when it is looked for
// again; one that stays away is damage, and so is either in a log that nobody writes.
func TestLive(t *testing.T) {
	t.Parallel()
	dir, records := scanned(t)
	missing := records[len(records)-4]
	for _, test := range []struct {
		live bool
		left int
		want bool // all records
	}{{true, 1, true}, {true, 1 << 30, false}, {false, 1, false}} {
		// One record's header or more, two records and a part.
		for _, bytes := range []int64{8, recordHeaderSize, 1200} {
			race := func() Options {
				race := &raceFS{vfs.OS{}, filepath.Join(dir, segmentName(missing.Segment)),
					missing.Offset, missing.Offset + bytes, test.left}
				return Options{Live: test.live, FS: race}
			}
			got, scanErr := scan(dir, race())
			l, err := Open(dir, race())
			var damage, scanDamage *CorruptionError
			if test.want {
				if err != nil || scanErr != nil || l.Last() != records[len(records)-1].Index ||
					len(got) != len(records) {
					t.Errorf("%+v: Open %v, Scan %d records, %v", test, err, len(got), scanErr)
				}
			} else if !errors.As(err, &damage) || damage.Index != missing.Index || !errors.As(scanErr, &scanDamage) ||
				scanDamage.Offset != missing.Offset || len(got) != len(records)-4 {
				t.Errorf("%+v: Open %v, Scan %d records, %v", test, err, len(got), scanErr)
			}
		}
	}
	l, err := Open(dir, Options{Live: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err == nil {
		t.Error("a log that another process writes was started")
	}
	if _, err := l.Append(typeBatch, []byte("x")); err == nil {
		t.Error("appended")
	}
}
