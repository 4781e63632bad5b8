package store

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// unreadable fails each read of a file.
type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) {
	return 0, &os.PathError{Op: "read", Path: snapshot.FileName, Err: syscall.EIO}
}

// openings are the times at which a snapshot's file is opened or walked through; some of them fail.
type openings struct {
	seen, failed atomic.Int64
	first, other atomic.Int64 // which ones; 0: none
}

// arm has the n-th from now on fail, and the m-th.
func (o *openings) arm(n, m int64) {
	o.seen.Store(0)
	o.failed.Store(0)
	o.first.Store(n)
	o.other.Store(m)
}

func (o *openings) reader(f *os.File) io.ReaderAt {
	if n := o.seen.Add(1); n == o.first.Load() || n == o.other.Load() {
		o.failed.Add(1)
		return unreadable{}
	}
	return f
}

// TestSnapshotFailsAndFails: a snapshot in several transactions of which one fails, wherever that
// is, and the next one fails too, elsewhere. The one that succeeds then has every topic as it is.
func TestSnapshotFailsAndFails(t *testing.T) {
	t.Parallel()
	const topics, transaction = 11, 3
	for _, counting := range []bool{false, true} {
		t.Run(fmt.Sprintf("counted meanwhile %t", counting), func(t *testing.T) {
			t.Parallel()
			var file openings
			s := openStore(t, t.TempDir(), Options{fs: vfstest.NewMem(), logDir: "log", SegmentSize: 8192,
				SnapshotInterval: -1, SnapshotBytes: -1, hooks: snapshot.Hooks{NoSync: true, Reader: file.reader}})
			s.snapshot.transaction = transaction // the snapshotter looks when it is asked for a snapshot
			round := uint64(0)
			change := func() {
				round++
				var ops []core.Op
				for i := range topics {
					ops = append(ops, count(fmt.Sprintf("topic %02d", i), round))
				}
				ops = append(ops, count(strings.Repeat("x", 900), 1), reset(fmt.Sprintf("topic %02d", round%topics)))
				for _, op := range runOps(t, s, ops) {
					if op.Err != nil {
						t.Fatal(op.Err)
					}
				}
			}
			change()
			if err := s.Snapshot(t.Context()); err != nil { // which checks the file, too
				t.Fatal(err)
			}
			change()
			file.arm(0, 0)
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			all := file.seen.Load()
			if all < 2*topics/transaction+1 {
				t.Fatalf("only %d openings", all)
			}
			for n := int64(1); n <= all; n++ {
				for m := int64(0); m <= all; m++ {
					what := fmt.Sprintf("opening %d of a snapshot, and %d of the next one", n, m)
					change()
					file.arm(n, 0)
					if err := s.Snapshot(t.Context()); !errors.Is(err, syscall.EIO) || file.failed.Load() != 1 {
						t.Fatalf("%s: the first says %v", what, err)
					}
					if counting {
						runOps(t, s, []core.Op{count("topic 04", 1), count(fmt.Sprint("new ", n, m), 1)})
					}
					file.arm(m, 0)
					err := s.Snapshot(t.Context())
					if failed := file.failed.Load() > 0; (err != nil) != failed || failed &&
						!errors.Is(err, syscall.EIO) {
						t.Fatalf("%s: the second says %v", what, err)
					}
					file.arm(0, 0)
					if err := s.Snapshot(t.Context()); err != nil {
						t.Fatalf("%s: the third says %v", what, err)
					}
					if got, want := snapshotHolds(t, s), holds(s.machine); !maps.Equal(got, want) {
						for topic, v := range want {
							if got[topic] != v {
								t.Fatalf("%s: then %q is %+v in the snapshot, and in truth %+v", what, topic,
									got[topic], v)
							}
						}
						t.Fatalf("%s: then the snapshot holds %d topics of %d", what, len(got), len(want))
					}
					if s.snapshot.replay.Load() != s.wal.Last() || len(s.wal.Segments()) != 1 {
						t.Fatalf("%s: then the replay index is %d of %d, and %d segments are left",
							what, s.snapshot.replay.Load(), s.wal.Last(), len(s.wal.Segments()))
					}
				}
			}
		})
	}
}

// between is a disk that calls something when it is asked whether a file is still what its name
// leads to.
type between struct {
	vfs.FS
	asked *atomic.Pointer[func()]
}

type betweenFile struct {
	vfs.File
	asked *atomic.Pointer[func()]
}

func (b between) Open(name string) (vfs.File, error) {
	f, err := b.FS.Open(name)
	return betweenFile{f, b.asked}, err
}

func (b between) Create(name string) (vfs.File, error) {
	f, err := b.FS.Create(name)
	return betweenFile{f, b.asked}, err
}

func (f betweenFile) Named(string) (bool, error) {
	if asked := f.asked.Load(); asked != nil {
		(*asked)()
	}
	return true, nil
}

// TestEachTransactionIsAWitness: a snapshot that ends after its first transaction says how far the
// log was by then, since that has what only those records say.
func TestEachTransactionIsAWitness(t *testing.T) {
	t.Parallel()
	var file openings
	dir := t.TempDir()
	s := openStore(t, dir, Options{SegmentSize: 8192, SnapshotInterval: -1, SnapshotBytes: -1,
		hooks: snapshot.Hooks{NoSync: true, Reader: file.reader}})
	s.snapshot.transaction = 3
	for i := range 11 {
		runOps(t, s, []core.Op{count(fmt.Sprint(i), 1)})
	}
	last := s.wal.Durable()
	file.arm(5, 0) // after the first of four transactions
	if err := s.Snapshot(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the snapshot says %v", err)
	}
	m, err := snapshot.At(SnapshotPath(dir)).Meta()
	if err != nil {
		t.Fatal(err)
	}
	if m.Count == 0 || m.Count == 11 || m.Replay >= last || m.DurableAtLeast < last {
		t.Errorf("%d topics, replay %d, witness %d; record %d is durable", m.Count, m.Replay, m.DurableAtLeast, last)
	}
}

// TestWitnessIsDurable: what the snapshot is witness of is on the disk, though more was counted
// between the sync and the writing of that: after a power loss at whatever commit the store starts.
func TestWitnessIsDurable(t *testing.T) {
	t.Parallel()
	mem, dir := vfstest.NewMem(), t.TempDir()
	asked := new(atomic.Pointer[func()])
	var mu sync.Mutex // guards left and files
	var left []*vfstest.Mem
	var files [][]byte
	var s *Store
	o := Options{fs: between{mem, asked}, logDir: "log", Sync: SyncInterval, SyncInterval: 1 << 40,
		SegmentSize:      64 << 10,
		SnapshotInterval: -1, SnapshotBytes: -1}
	o.hooks = snapshot.Hooks{NoSync: true, AfterCommit: func() {
		b, err := os.ReadFile(filepath.Join(dir, snapshot.FileName))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		left, files = append(left, mem.Crash(vfstest.Crash{})), append(files, b)
	}}
	s = openStore(t, dir, o)
	s.snapshot.transaction = 2
	for i := range 5 {
		runOps(t, s, []core.Op{count(fmt.Sprint(i), 1)})
	}
	var counted atomic.Int64
	count := func() { // the store's care for its room asks as well, beside the snapshot
		if counted.Add(1) <= 50 {
			runOps(t, s, []core.Op{count("meanwhile", 1)})
		}
	}
	asked.Store(&count)
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked.Store(nil)
	mu.Lock()
	defer mu.Unlock()
	if counted.Load() == 0 || len(left) < 4 || s.wal.Last() == s.wal.Durable() {
		t.Fatalf("it was not tried: %d counted, %d commits, record %d of %d is durable",
			counted.Load(), len(left), s.wal.Durable(), s.wal.Last())
	}
	for i := range left {
		again := t.TempDir()
		if err := os.WriteFile(filepath.Join(again, snapshot.FileName), files[i], 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{fs: left[i], logDir: "log", SegmentSize: 64 << 10, hooks: snapshot.Hooks{NoSync: true}}
		lost, err := open(t, again, o)
		if err != nil {
			t.Errorf("after a power loss after commit %d: %v", i, err)
			continue
		}
		if err := lost.Close(); err != nil {
			t.Error(err)
		}
	}
}
