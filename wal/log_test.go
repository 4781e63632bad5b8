package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gcd/internal/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOnTheRealDisk walks through the whole life of a log.
func TestOnTheRealDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "wal")
	id, err := NewID()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{SegmentSize: 64 << 10}
	if err := Create(dir, id, 1, o); err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	for life := range 3 {
		l, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := compare(l, payloads); err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		if l.ID() != id || l.First() != 1 || l.Last() != uint64(len(payloads)) || l.Tail().Length != 0 {
			t.Fatalf("life %d: store %s, records %d to %d, tail %+v", life, l.ID(), l.First(), l.Last(), l.Tail())
		}
		if err := l.Start(); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, appendSizes(t, l, 1, 10_000, l.MaxRecord(), 7, 8, 9, 30_000, 5)...)
		if err := l.PrepareSpare(); err != nil {
			t.Fatal(err)
		}
		if err := compare(l, payloads); err != nil {
			t.Fatalf("life %d, before close: %v", life, err)
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(typeBatch, []byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("append to a closed log: %v", err)
		}
		if err := errors.Join(l.Sync(), l.PrepareSpare()); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed log: %v", err)
		}
	}
	err = filepath.Walk(dir, func(name string, info fs.FileInfo, err error) error {
		want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[info.IsDir()]
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := testOptions(disk)
	for range 2 { // the second is what follows an interruption
		if err := Create(testDir, testID, 42, o); err != nil {
			t.Fatal(err)
		}
	}
	if err := Create(testDir, testID, 41, o); !errors.Is(err, ErrExists) {
		t.Errorf("another first index: %v", err)
	}
	if err := Create(testDir, ID{1}, 42, o); !errors.Is(err, ErrExists) {
		t.Errorf("another store: %v", err)
	}
	l := start(t, o)
	if l.First() != 42 || l.Last() != 41 || l.Durable() != 41 {
		t.Errorf("an empty log: records %d to %d, durable %d", l.First(), l.Last(), l.Durable())
	}
	if recs, err := read(l, 42); len(recs) != 0 || err != nil {
		t.Errorf("an empty log has %d records, error %v", len(recs), err)
	}
	appendSizes(t, l, 5)
	if err := Create(testDir, testID, 42, o); !errors.Is(err, ErrExists) {
		t.Errorf("a log with records: %v", err)
	}
	for _, size := range []int64{1, 4096, 8193, -4096} {
		err := Create(testDir, testID, 1, Options{FS: disk, SegmentSize: size})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(size)) {
			t.Errorf("segment size %d: %v", size, err)
		}
	}
	if err := Create("elsewhere", testID, 0, o); err == nil {
		t.Error("first index 0")
	}
}

// TestCreateCompletesACreate kills the process before each operation of Create. After the next
// Create the log survives a power loss, and so does the name of its directory.
func TestCreateCompletesACreate(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		killed := disk.Clone()
		dirs := map[string]bool{}
		again := vfstest.NewFault(killed, func(op vfstest.Op) vfstest.Outcome {
			if op.Kind == vfstest.KindSyncDir {
				dirs[op.Name] = true
			}
			return vfstest.Outcome{}
		})
		if err := Create(testDir, testID, 1, testOptions(again)); err != nil {
			t.Errorf("killed before operation %d (%s): %v", op.N, op.Kind, err)
		}
		if !dirs[testDir] || !dirs["data"] {
			t.Errorf("killed before operation %d (%s): synced only %v", op.N, op.Kind, dirs)
		}
		if l, err := Open(testDir, testOptions(killed.Crash(vfstest.Crash{}))); err != nil || l.Last() != 0 {
			t.Errorf("killed before operation %d (%s), created again, power lost: %v", op.N, op.Kind, err)
		}
		return vfstest.Outcome{}
	})
	if err := Create(testDir, testID, 1, testOptions(fault)); err != nil {
		t.Fatal(err)
	}
}

func TestAppendLimits(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	for _, size := range []int{0, l.MaxRecord() + 1} {
		if _, err := l.Append(typeBatch, make([]byte, size)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	appendSizes(t, l, l.MaxRecord(), l.MaxRecord())
	if n := len(l.Segments()); n != 1 {
		t.Errorf("two records of the largest size take %d segments", n)
	}
	if big := (&Log{o: Options{SegmentSize: DefaultSegmentSize}}); big.MaxRecord() != 1<<20 {
		t.Errorf("MaxRecord is %d", big.MaxRecord())
	}
	unstarted, err := Open(testDir, testOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	_, err = unstarted.Append(typeBatch, []byte("x"))
	for _, err := range []error{err, unstarted.Sync(), unstarted.PrepareSpare(), unstarted.Release(1)} {
		if !errors.Is(err, ErrNotStarted) {
			t.Errorf("before Start: %v", err)
		}
	}
}

// TestSegmentSizeChanges: a log goes on with another segment size; a segment too small for a
// record, and empty, is sealed as it is.
func TestSegmentSizeChanges(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	o := testOptions(disk)
	if err := Create(testDir, testID, 1, o); err != nil {
		t.Fatal(err)
	}
	var payloads [][]byte
	for _, step := range []struct {
		size int64
		add  []int
	}{
		{4 << 20, []int{1 << 20, 9000, 1 << 20}},
		{minSegmentSize, []int{100, 3000, 4000, 100}},
		{64 << 10, []int{30_000, 20}},
	} {
		o.SegmentSize = step.size
		l := start(t, o)
		if err := compare(l, payloads); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, appendSizes(t, l, step.add...)...)
		if err := compare(l, payloads); err != nil {
			t.Fatal(err)
		}
	}
	l := start(t, o)
	if err := compare(l, payloads); err != nil {
		t.Fatal(err)
	}
	if s := l.Segments(); s[0].Last != 0 || s[1].First != 1 || s[0].Size != minSegmentSize || s[1].Size != 4<<20 {
		t.Errorf("segments %+v", s)
	}
}

func TestRecordsFrom(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	l := create(t, testOptions(disk))
	payloads := appendSizes(t, l, 2000, 2000, 2000, 2000, 2000, 2000, 2000)
	if _, err := l.Append(typeBatch, []byte("not durable")); err != nil {
		t.Fatal(err)
	}
	for from := uint64(1); from <= 9; from++ {
		recs, err := read(l, from)
		if err != nil || len(recs) != max(0, 8-int(from)) {
			t.Fatalf("from %d: %d records, %v", from, len(recs), err)
		}
		for i, rec := range recs {
			if rec.Index != from+uint64(i) || !bytes.Equal(rec.Payload, payloads[rec.Index-1]) {
				t.Errorf("from %d: record %d is wrong", from, rec.Index)
			}
		}
	}
	for rec, err := range l.Records(2) { // leaving early
		if err != nil || rec.Index != 2 {
			t.Fatal(rec.Index, err)
		}
		break
	}
	if err := l.Release(3); err != nil {
		t.Fatal(err)
	}
	if _, err := read(l, 2); err == nil || !strings.Contains(err.Error(), "from 2") ||
		!strings.Contains(err.Error(), "record 4") {
		t.Errorf("from below the first: %v", err)
	}
	b, _ := disk.ReadFile(l.Segments()[0].Path)
	b[200] ^= 1
	if err := disk.WriteFile(l.Segments()[0].Path, b); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptionError
	if _, err := read(l, 5); !errors.As(err, &damage) || damage.Index != 4 {
		t.Errorf("damage since Open: %v", err)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	o := Options{SegmentSize: 1 << 20}
	dir := filepath.Join(t.TempDir(), "wal")
	if err := Create(dir, testID, 1, o); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	p := payload(1, 60)
	appendSizes(t, l, 60)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := l.Append(typeBatch, p); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("an append allocates %v times", allocs)
	}
}
