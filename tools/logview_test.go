package tools

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store"
	"gcd/store/core"
	"gcd/wal"
)

// TestPinnedLogEnds: what a server appends after a reading was opened is not there for whoever
// reads it, however often.
func TestPinnedLogEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ops := slices.Repeat([]core.Op{{Kind: core.Count, Topic: []byte("a")}}, 20)
	counted(t, s, ops...)
	r, err := openDirView(t.Context(), dir, dirViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for range 3 {
		log, err := wal.Open(store.LogDir(dir), wal.Options{FS: r.fs})
		if err != nil || log.Last() != 20 || log.Tail().Length != 0 {
			t.Fatalf("the log ends at %d with %d bytes after it, %v", log.Last(), log.Tail().Length, err)
		}
		counted(t, s, ops...)
	}
}

// TestPinnedLogIsOnDisk: what was read is synced before it is shown, and a sync that fails is said.
func TestPinnedLogIsOnDisk(t *testing.T) {
	t.Parallel()
	dir := closedStore(t, seeded(t), 100, 100)
	last := lastSegment(t, dir)
	for _, fails := range []bool{false, true} {
		synced := 0
		p, err := openLogView(vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
			if op.Kind != vfstest.KindSync {
				return vfstest.Outcome{}
			}
			if synced++; op.Name != last {
				t.Errorf("%s was synced", op.Name)
			}
			if fails {
				return vfstest.Fail(syscall.EIO)
			}
			return vfstest.Outcome{}
		}), store.LogDir(dir), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.cutOff(); errors.Is(err, syscall.EIO) != fails || synced != 1 {
			t.Errorf("%d syncs, %v", synced, err)
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}
}

// overtakenFS reads the last record but one as zeros once: the server wrote both between the
// readings of the one and of the other.
type overtakenFS struct {
	vfs.FS
	path     string
	from, to int64
	left     int
}

func (o *overtakenFS) OpenRead(name string) (vfs.File, error) {
	f, err := o.FS.OpenRead(name)
	if err == nil && name == o.path {
		f = overtakenFile{f, o}
	}
	return f, err
}

type overtakenFile struct {
	vfs.File
	fs *overtakenFS
}

func (f overtakenFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if from, to := max(f.fs.from, off), min(f.fs.to, off+int64(n)); from < to && f.fs.left > 0 {
		f.fs.left--
		clear(b[from-off : to-off])
	}
	return n, err
}

// TestPinnedLogIsOvertaken: a record that the server writes while the end is looked for is no
// damage, and the log ends after it.
func TestPinnedLogIsOvertaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir, 64<<10) // so all is in one segment
	for range 3 {
		counted(t, s, core.Op{Kind: core.Count, Topic: []byte("a")})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(store.LogDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	last, tail := log.Last(), log.Tail()
	race := &overtakenFS{FS: vfs.OS{}, path: lastSegment(t, dir), left: 1}
	for r, err := range log.Records(last - 1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Index == last-1 {
			race.from = r.Offset
		} else {
			race.to = r.Offset
		}
	}
	if err := log.Close(); err != nil || race.to <= race.from {
		t.Fatalf("the records that are raced for were not found: %+v, %v", race, err)
	}
	p, err := openLogView(race, store.LogDir(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cutOff(); err != nil || race.left != 0 || p.last != tail.File || p.end != tail.Offset {
		t.Errorf("the log ends at %q, %d, want %q, %d; %v", p.last, p.end, tail.File, tail.Offset, err)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

// TestPinnedLogShrinks: segments that are removed between the listing and the opening take those
// before them along, and every file that was opened is closed.
func TestPinnedLogShrinks(t *testing.T) {
	t.Parallel()
	dir := store.LogDir(closedStore(t, seeded(t), 400, 100))
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(names) < 4 {
		t.Fatalf("the segments are %q, %v, want four at least", names, err)
	}
	open := 0
	p, err := openLogView(vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
		switch op.Kind {
		case vfstest.KindOpenRead:
			if op.Name == names[2] { // two are open
				if err := errors.Join(os.Remove(names[0]), os.Remove(names[1]), os.Remove(names[2])); err != nil {
					t.Error(err)
				}
				return vfstest.Outcome{}
			}
			open++
		case vfstest.KindClose:
			open--
		}
		return vfstest.Outcome{}
	}), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.names) != len(names)-3 || len(p.files) != len(p.names) {
		t.Errorf("%q of %q are left", p.names, names)
	}
	if _, err := wal.Open(dir, wal.Options{FS: p}); err != nil {
		t.Error(err)
	}
	if err := p.close(); err != nil || open != 0 {
		t.Errorf("%d files are open, %v", open, err)
	}
}

// heldContext runs a function when it is asked for its end.
type heldContext struct {
	context.Context
	asked func()
}

func (c heldContext) Err() error {
	c.asked()
	return c.Context.Err()
}

// TestSnapshotIsHeldWhileCopied: the server cannot change its snapshot before the copy is whole,
// and can afterwards.
func TestSnapshotIsHeldWhileCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// More than a piece of the copy.
	if err := os.Truncate(store.SnapshotPath(dir), 40<<20); err != nil {
		t.Fatal(err)
	}
	counted(t, s, core.Op{Kind: core.Count, Topic: []byte("a")})
	asked := false
	r, err := openDirView(heldContext{t.Context(), func() {
		if !asked && s.Snapshot(inTime(t)) == nil {
			t.Error("the snapshot was changed while it was copied")
		}
		asked = true
	}}, dir, dirViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !asked {
		t.Error("nothing was copied")
	}
	if err := s.Snapshot(inTime(t)); err != nil {
		t.Error(err)
	}
	if m, err := r.snapshotMeta(); err != nil || m.Count != 0 {
		t.Errorf("the copy has %+v, %v", m, err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
}

// TestSnapshotIsNotLetGo: a server that never ends its transaction is not waited for without end,
// and nothing stays open.
func TestSnapshotIsNotLetGo(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	s := openDir(t, dir, smallSegment)
	defer s.Close()
	db, err := bbolt.Open(store.SnapshotPath(dir), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = holdSnapshot(t.Context(), store.SnapshotPath(dir), time.Millisecond)
	if !errors.Is(err, bbolterrors.ErrTimeout) || !strings.Contains(err.Error(), store.SnapshotPath(dir)) {
		t.Errorf("held by another process: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err = Dump(ended, dir, &failingWriter{}, DumpOptions{TempDir: temp}); !errors.Is(err, context.Canceled) {
		t.Errorf("held, and interrupted: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dump(t.Context(), dir, &failingWriter{}, DumpOptions{TempDir: temp}); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestSourceWithoutItsRecords: a log that begins one record too late is refused.
func TestSourceWithoutItsRecords(t *testing.T) {
	t.Parallel()
	dir := handmade(t, 9, nil, core.Change{Topic: []byte("a"), N: 1}, core.Change{Topic: []byte("b"), N: 1})
	for replay, right := range map[uint64]bool{9: true, 8: false} {
		setReplay(t, dir, replay)
		src, err := OpenView(t.Context(), dir, ViewOptions{})
		var damage *wal.CorruptionError
		if right != (err == nil) || !right && (!errors.As(err, &damage) || damage.File != store.LogDir(dir)) {
			t.Errorf("replay %d: %v", replay, err)
		}
		if err == nil {
			if err := src.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestReadOnly: nothing that changes a disk gets through.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewMem()
	if err := errors.Join(disk.WriteFile("d/a", []byte("a")), disk.WriteFile("d/b", []byte("b"))); err != nil {
		t.Fatal(err)
	}
	fsys := readOnly{disk}
	for name, err := range map[string]error{
		"create":   func() error { _, err := fsys.Create("d/c"); return err }(),
		"open":     func() error { _, err := fsys.Open("d/a"); return err }(),
		"rename":   fsys.Rename("d/a", "d/c"),
		"exchange": fsys.Exchange("d/a", "d/b"),
		"remove":   fsys.Remove("d/a"),
		"mkdirall": fsys.MkdirAll("d/e"),
		"syncdir":  fsys.SyncDir("d"),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: it returned %v, want ErrPermission", name, err)
		}
	}
	if a, err := disk.ReadFile("d/a"); string(a) != "a" || err != nil {
		t.Errorf("the disk was changed: %q, %v", a, err)
	}
}
