package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/dirlock"
	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// A row of TestWhereAStoreIsMade: what is in a directory, and beside it.
type place struct {
	files  []string // ends in /: a directory
	beside []string
	err    error // of an Open; nil: it makes a store
}

// A store is made where nothing else is, and nothing is changed elsewhere.
func TestWhereAStoreIsMade(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]place{
		"empty":                   {},
		"lost+found":              {files: []string{"lost+found/"}},
		"a first start's":         {files: []string{"LOCK", "counters.db.new", "wal/spare", "wal/mark"}},
		"what is left of a store": {files: []string{"LOCK", "reserve", "wal/"}, err: wal.ErrNotOurs},
		"a reserve":               {files: []string{"reserve"}, err: wal.ErrNotOurs},
		"an empty log":            {files: []string{"LOCK", "wal/"}},
		"a file":                  {files: []string{"passwd"}, err: wal.ErrNotOurs},
		"a hidden file":           {files: []string{".keep"}, err: wal.ErrNotOurs},
		"a directory":             {files: []string{"etc/"}, err: wal.ErrNotOurs},
		"another program's LOCK":  {files: []string{"LOCK", "CURRENT"}, err: wal.ErrNotOurs},
		"another program's log":   {files: []string{"LOCK", "wal/000003.log"}, err: wal.ErrNotOurs},
		"beside a restore's":      {beside: []string{"data.restore-123/"}, err: ErrUnfinished},
		"what was put aside":      {beside: []string{"data.before-restore-20260101T000000Z/"}, err: ErrUnfinished},
		"beside a repair's":       {beside: []string{"data.repair-123/"}, err: ErrUnfinished},
		"what was broken":         {beside: []string{"data.broken-20260101T000000Z/"}, err: ErrUnfinished},
		"beside another":          {beside: []string{"data2.restore-123/", "data.old/"}},
	} {
		for _, missing := range []bool{false, true} {
			if missing && len(row.files) > 0 {
				continue
			}
			parent := t.TempDir()
			dir := filepath.Join(parent, "data")
			if !missing {
				mkdir(t, dir)
			}
			for _, f := range row.files {
				put(t, filepath.Join(dir, f), f)
			}
			for _, f := range row.beside {
				put(t, filepath.Join(parent, f), f)
			}
			before := everything(t, parent)
			if s, err := open(t, dir, Options{NoCreate: true}); err == nil || row.err == nil &&
				!errors.Is(err, ErrNoStore) || row.err != nil && !errors.Is(err, row.err) {
				t.Errorf("%s, missing %t, NoCreate: %v", name, missing, err)
				if err == nil {
					_ = s.Close()
				}
			}
			if now := everything(t, parent); !slices.Equal(before, now) {
				t.Errorf("%s, missing %t, NoCreate: %q became %q", name, missing, before, now)
			}
			for what, open := range map[string]func() (bool, error){
				"Init": func() (bool, error) {
					_, made, err := Init(t.Context(), dir, Options{SegmentSize: 8192})
					return made, err
				},
				"Open": func() (bool, error) {
					s, err := open(t, dir, Options{SegmentSize: 8192})
					if err != nil {
						return false, err
					}
					return s.Recovery().Created, s.Close()
				},
			} {
				made, err := open()
				if row.err != nil {
					if !errors.Is(err, row.err) {
						t.Errorf("%s, missing %t, %s: %v, want %v", name, missing, what, err, row.err)
					}
					if now := everything(t, parent); !slices.Equal(before, now) {
						t.Errorf("%s, missing %t, %s: %q became %q", name, missing, what, before, now)
					}
					continue
				}
				if err != nil || !made {
					t.Errorf("%s, missing %t, %s: made %t, %v", name, missing, what, made, err)
				}
				if what == "Init" { // and once more
					if _, made, err := Init(t.Context(), dir, Options{}); made || err != nil {
						t.Errorf("%s: again: made %t, %v", name, made, err)
					}
				}
				for _, file := range []string{"LOCK", "counters.db", "counters.db.new", "reserve", "wal"} {
					if err := os.RemoveAll(filepath.Join(dir, file)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// put makes a file, or a directory if the name that it was given by ends so.
func put(t *testing.T, path, name string) {
	t.Helper()
	if name[len(name)-1] == '/' {
		mkdir(t, path)
		return
	}
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// everything lists what there is below a directory.
func everything(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A store that Init has made, or that it was stopped in, starts without being made.
func TestInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	id, made, err := Init(t.Context(), dir, Options{SegmentSize: 8192})
	if err != nil || !made {
		t.Fatal(made, err)
	}
	s, err := open(t, dir, Options{NoCreate: true, SegmentSize: 8192})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Recovery(); r.Created || !r.Clean || r.Store != id {
		t.Errorf("%+v of %v", r, id)
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if _, _, err := Init(t.Context(), dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("beside a server: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again, made, err := Init(t.Context(), dir, Options{}); again != id || made || err != nil {
		t.Errorf("a second Init returned %v, %t, %v, want the same store, not made", again, made, err)
	}
	remove(t, filepath.Join(dir, snapshot.FileName)) // the next start makes it anew
	if again, made, err := Init(t.Context(), dir, Options{}); again != id || made || err != nil {
		t.Errorf("without its snapshot: %v, %t, %v", again, made, err)
	}
}

// A directory, a log or a segment that is taken away from under a store: it acknowledges nothing
// more, and says why.
func TestTakenAway(t *testing.T) {
	t.Parallel()
	segment := func(dir string) string { return filepath.Join(dir, "wal", "0000000000000001.seg") }
	for name, take := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"emptied": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
		"renamed": func(dir string) error { return os.Rename(dir, dir+".old") },
		"replaced": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.CopyFS(dir, os.DirFS(dir+".old")))
		},
		"log removed": func(dir string) error {
			return os.RemoveAll(filepath.Join(dir, "wal"))
		},
		"log replaced": func(dir string) error {
			log := filepath.Join(dir, "wal")
			return errors.Join(os.Rename(log, log+".old"), os.CopyFS(log, os.DirFS(log+".old")))
		},
		"segment cut off":  func(dir string) error { return os.Truncate(segment(dir), 64) },
		"segment removed":  func(dir string) error { return os.Remove(segment(dir)) },
		"snapshot removed": func(dir string) error { return os.Remove(SnapshotPath(dir)) },
		"snapshot replaced": func(dir string) error {
			b, err := os.ReadFile(SnapshotPath(dir))
			file := SnapshotPath(dir)
			return errors.Join(err, os.WriteFile(file+".new", b, 0o600), os.Rename(file+".new", file))
		},
		"segment replaced": func(dir string) error {
			b, err := os.ReadFile(segment(dir))
			return errors.Join(err, os.WriteFile(segment(dir)+".new", b, 0o600),
				os.Rename(segment(dir)+".new", segment(dir)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			s, err := open(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
			if err != nil {
				t.Fatal(err)
			}
			runOps(t, s, []core.Op{count("a", 1)})
			appears(t, filepath.Join(dir, "wal", "spare")) // which is made in the background
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			before := []string(nil)
			if _, err := os.Lstat(dir); err == nil {
				before = everything(t, dir)
			}
			select {
			case <-s.Failed():
			case <-time.After(60 * time.Second):
				t.Fatal("it was not noticed")
			}
			if !errors.Is(s.Err(), ErrMoved) {
				t.Errorf("it stopped with %v", s.Err())
			}
			if _, err := s.Count(t.Context(), "a"); err == nil {
				t.Error("it counts on")
			}
			if err := s.Snapshot(t.Context()); err == nil {
				t.Error("it takes a snapshot")
			}
			if err := s.Close(); !errors.Is(err, ErrMoved) {
				t.Errorf("closed with %v", err)
			}
			if before != nil {
				if now := everything(t, dir); !slices.Equal(before, now) {
					t.Errorf("%q became %q", before, now)
				}
			}
		})
	}
}

// A close within the second before the next look notices it too, and writes nothing into the
// directory that has the place now.
func TestTakenAwayBeforeClose(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := newestStore(t, dir)
	other := dir + ".other"
	o := newestStore(t, other)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(dir, dir+".old"), os.Rename(other, dir)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if err := s.Close(); !errors.Is(err, ErrMoved) {
		t.Errorf("closed with %v", err)
	}
	for path, was := range before {
		if now, err := os.ReadFile(path); string(now) != was || err != nil {
			t.Errorf("%s was changed: %v", path, err)
		}
	}
}

// takenSink has something happen after a batch was committed, before it is applied.
type takenSink struct {
	sink
	then func()
}

func (s *takenSink) apply(index uint64, batch []byte) error {
	s.then()
	return s.sink.apply(index, batch)
}

// What was committed into a directory that was taken away by then is not acknowledged.
func TestTakenAwayDuringACommit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := newestStore(t, dir)
	if err := s.do(func() {
		s.log.(*diskLog).to = &takenSink{s, func() {
			if err := os.Rename(dir, dir+".old"); err != nil {
				t.Error(err)
			}
			if err := s.look(); !errors.Is(err, ErrMoved) {
				t.Errorf("it was not noticed: %v", err)
			}
		}}
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(t.Context(), "a"); !errors.Is(err, core.ErrUnknown) {
		t.Errorf("answered with %d, %v", n, err)
	}
	if err := s.Close(); !errors.Is(err, ErrMoved) {
		t.Errorf("closed with %v", err)
	}
}

// The same of a last segment: what was acknowledged into it no start finds.
func TestSegmentGoneBeforeClose(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := newestStore(t, dir)
	remove(t, filepath.Join(LogDir(dir), "0000000000000001.seg"))
	if err := s.Close(); !errors.Is(err, ErrMoved) {
		t.Errorf("closed with %v", err)
	}
}

func newestStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := open(t, dir, Options{SegmentSize: 64 << 10, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 1), count("a", 1)})
	return s
}

// A snapshot's file that is put back to an older one ends the store before a segment goes that only
// the newer one had.
func TestSnapshotReplaced(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := newestStore(t, dir)
	file := SnapshotPath(dir)
	older, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, older, 0o600); err != nil { // the same file
		t.Fatal(err)
	}
	runOps(t, s, []core.Op{count("a", 1)})
	if err := s.Snapshot(t.Context()); !errors.Is(err, ErrMoved) {
		t.Errorf("a snapshot: %v", err)
	}
	if !errors.Is(s.Err(), ErrMoved) {
		t.Errorf("the store: %v", s.Err())
	}
	_ = s.Close()
	if now, err := os.ReadFile(file); string(now) != string(older) || err != nil {
		t.Errorf("it was changed: %v", err)
	}
}

// LOCK that goes does not stop a store, keeps nobody else from being kept out, and comes back.
func TestLockFileRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := newestStore(t, dir)
	if err := os.Remove(LockPath(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second server: %v", err)
	}
	appears(t, LockPath(dir))
	if _, err := s.Count(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// An older gcd knows LOCK alone. One that came and went while LOCK was gone wrote into the log what
// this store would write over, so it acknowledges nothing more.
func TestOlderGcdWhileTheLockFileWasGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := newestStore(t, dir)
	older := &snapshot.File{Path: SnapshotPath(dir)}
	if err := older.Update(func(m *snapshot.Meta) { m.State = snapshot.StateOpen }); err != nil { // as its start does
		t.Fatal(err)
	}
	if err := os.Remove(LockPath(dir)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Failed():
	case <-time.After(60 * time.Second):
		t.Fatal("it was not noticed")
	}
	if err := s.Close(); !errors.Is(err, ErrMoved) {
		t.Errorf("closed with %v", err)
	}
}

// appears waits for a file.
func appears(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := os.Lstat(path); err == nil {
			return
		}
		runtime.Gosched()
	}
	t.Fatalf("%s does not appear", path)
}

// A start waits for a tool that has the directory, and not without end.
func TestLockWait(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if _, _, err := Init(t.Context(), dir, Options{SegmentSize: 8192}); err != nil {
		t.Fatal(err)
	}
	tool, err := dirlock.Own(t.Context(), dir, dirlock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, Options{LockWait: time.Millisecond}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	opened := goOpen(t, dir, Options{LockWait: time.Hour, SegmentSize: 8192})
	if err := tool.Release(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("it still waits")
	}
}

// said is closed when something is written: a log's first line.
type said struct {
	once sync.Once
	done chan struct{}
}

func (s *said) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.done) })
	return len(b), nil
}

// A start that waits for a store begins no other one where that was taken away meanwhile, and
// something empty has its name.
func TestWaitedForStoreIsGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if _, _, err := Init(t.Context(), dir, Options{SegmentSize: 8192}); err != nil {
		t.Fatal(err)
	}
	tool, err := dirlock.Own(t.Context(), dir, dirlock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Release()
	waits := &said{done: make(chan struct{})}
	opened := goOpen(t, dir, Options{LockWait: time.Hour, Logger: hclog.New(&hclog.LoggerOptions{Output: waits,
		Level: hclog.Warn})})
	select {
	case <-waits.done:
	case <-time.After(60 * time.Second):
		t.Fatal("it does not say that it waits")
	}
	empty := dir + "-empty"
	mkdir(t, empty)
	if err := errors.Join(os.Rename(dir, dir+"-old"), os.Rename(empty, dir)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-opened:
		if !errors.Is(err, ErrMoved) {
			t.Errorf("%v, want ErrMoved", err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("it still waits")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("the directory of the store that is gone has %q, %v, want nothing", names, err)
	}
}

func goOpen(t *testing.T, dir string, o Options) <-chan error {
	opened := make(chan error, 1)
	go func() {
		s, err := open(t, dir, o)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	return opened
}

// A first start that was interrupted left no store yet: one that is to make none refuses it, and
// one that may goes on, if nobody has put something there since.
func TestInterruptedFirstStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, err := wal.NewID()
	if err != nil {
		t.Fatal(err)
	}
	f := &snapshot.File{Path: SnapshotPath(dir)}
	if err := f.Create(vfs.OS{}, id, false); err != nil {
		t.Fatal(err)
	}
	mkdir(t, LogDir(dir))
	if _, err := open(t, dir, Options{NoCreate: true}); !errors.Is(err, ErrNoStore) {
		t.Errorf("NoCreate: %v", err)
	}
	notes := filepath.Join(dir, "notes")
	put(t, notes, "notes")
	for range 2 {
		if _, err := open(t, dir, Options{}); !errors.Is(err, wal.ErrNotOurs) {
			t.Errorf("beside something else: %v", err)
		}
		if _, _, err := Init(t.Context(), dir, Options{}); !errors.Is(err, wal.ErrNotOurs) {
			t.Errorf("Init beside something else: %v", err)
		}
	}
	remove(t, notes)
	if got, made, err := Init(t.Context(), dir, Options{SegmentSize: 8192}); got != id || !made || err != nil {
		t.Errorf("%v, %t, %v; want %v", got, made, err, id)
	}
	put(t, notes, "notes") // which a store may have beside its files
	s, err := open(t, dir, Options{NoCreate: true, SegmentSize: 8192})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
