package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

const testDir = "data/wal"

var (
	testID  = ID{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef, 0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	testNow = func() time.Time { return time.Unix(1_700_000_000, 123_456_789) }
)

func testOptions(fsys vfs.FS) Options {
	return Options{FS: fsys, SegmentSize: minSegmentSize, Now: testNow}
}

// markedOptions are those of a log that keeps a mark, and whose mark before it is the last run's;
// each says that its owner syncs each record.
func markedOptions(fsys vfs.FS, each bool) Options {
	o := testOptions(fsys)
	o.Mark = MarkOptions{Keep: true, SyncEach: each, Note: MarkCurrent}
	return o
}

// Err is the error that ended the log's right to write, or nil.
func (l *Log) Err() error {
	if failure := l.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

// payload is the content of record index: bytes that are never zero, so that zeroed ones show.
func payload(index uint64, size int) []byte {
	r := rand.New(rand.NewPCG(index, uint64(size)))
	b := make([]byte, size)
	if size > 4096 { // which would take long
		pattern := payload(index, 4096)
		for i := 0; i < size; i += copy(b[i:], pattern) {
			pattern = pattern[r.IntN(64):]
			if len(pattern) < 64 {
				pattern = payload(index+uint64(i), 4096)
			}
		}
		return b
	}
	for i := range b {
		b[i] = byte(1 + r.IntN(255))
	}
	return b
}

// create makes a log and starts it.
func create(t testing.TB, o Options) *Log {
	t.Helper()
	if err := Create(testDir, testID, 1, o); err != nil {
		t.Fatal(err)
	}
	return start(t, o)
}

// within takes a value that is to come, or sees a channel closed that is to be.
func within[T any](t testing.TB, what string, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not come", what)
	}
	return value
}

func start(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(testDir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// appendSizes appends payloads of the given sizes, each synced, and returns them.
func appendSizes(t testing.TB, l *Log, sizes ...int) [][]byte {
	t.Helper()
	var all [][]byte
	for _, size := range sizes {
		p := payload(l.Last()+1, size)
		if _, err := l.Append(typeBatch, p); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// read returns copies of all records from index from on.
func read(l *Log, from uint64) ([]Record, error) {
	var recs []Record
	for rec, err := range l.Records(from) {
		if err != nil {
			return recs, err
		}
		rec.Payload = bytes.Clone(rec.Payload)
		recs = append(recs, rec)
	}
	return recs, nil
}

// compare says how the records of l differ from payloads, whose first has index 1. l may begin
// later and end earlier.
func compare(l *Log, payloads [][]byte) error {
	recs, err := read(l, l.First())
	if err != nil {
		return err
	}
	if got, want := uint64(len(recs)), l.Last()+1-l.First(); got != want {
		return fmt.Errorf("%d records from %d on, Last is %d", got, l.First(), l.Last())
	}
	for i, rec := range recs {
		if want := l.First() + uint64(i); rec.Index != want {
			return fmt.Errorf("record %d where %d should be", rec.Index, want)
		}
		if rec.Index > uint64(len(payloads)) {
			return fmt.Errorf("record %d, only %d were appended", rec.Index, len(payloads))
		}
		if !bytes.Equal(rec.Payload, payloads[rec.Index-1]) {
			return fmt.Errorf("record %d holds other bytes than were appended", rec.Index)
		}
	}
	return nil
}

// frozen is a directory that nothing can be written to: name in testDir to content.
type frozen map[string][]byte

var errFrozen = errors.New("the log wrote to a directory that it must only read")

// freeze copies the log's files from disk.
func freeze(disk *vfstest.Mem) frozen {
	f := frozen{}
	for _, name := range disk.Files() {
		b, _ := disk.ReadFile(name)
		if dir, base := path.Split(name); strings.Trim(dir, "/") == testDir {
			f[base] = b
		}
	}
	return f
}

// thaw is a disk with the same files.
func (f frozen) thaw(t testing.TB) *vfstest.Mem {
	t.Helper()
	disk := vfstest.NewMem()
	for name, b := range f {
		if err := disk.WriteFile(path.Join(testDir, name), b); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

func (f frozen) clone() frozen {
	c := maps.Clone(f)
	for name, b := range c {
		c[name] = bytes.Clone(b)
	}
	return c
}

func (f frozen) equal(g frozen) bool { return maps.EqualFunc(f, g, bytes.Equal) }

func (f frozen) OpenRead(name string) (vfs.File, error) {
	b, ok := f[path.Base(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return frozenFile{bytes.NewReader(b)}, nil
}

func (f frozen) ReadDir(string) ([]string, error) { return slices.Sorted(maps.Keys(f)), nil }
func (f frozen) Create(string) (vfs.File, error)  { return nil, errFrozen }
func (f frozen) Open(string) (vfs.File, error)    { return nil, errFrozen }
func (f frozen) Rename(string, string) error      { return errFrozen }
func (f frozen) Exchange(string, string) error    { return errFrozen }
func (f frozen) Remove(string) error              { return errFrozen }
func (f frozen) MkdirAll(string) error            { return errFrozen }
func (f frozen) SyncDir(string) error             { return errFrozen }

type frozenFile struct{ *bytes.Reader }

func (f frozenFile) WriteAt([]byte, int64) (int, error) { return 0, errFrozen }
func (f frozenFile) Sync() error                        { return errFrozen }
func (f frozenFile) Size() (int64, error)               { return f.Reader.Size(), nil }
func (f frozenFile) Close() error                       { return nil }
