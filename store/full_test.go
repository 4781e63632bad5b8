package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// fullDisk is a disk of so many bytes, for the log and the reserve. The log is in memory.
type fullDisk struct {
	t         *testing.T
	log, rest vfs.FS
	mem       *vfstest.Mem

	mu       sync.Mutex
	capacity int64               // bytes
	sizes    map[string]int64    // of the files that were written
	copies   bool                // copy on write: full means that not even what is there can be written
	taken    bool                // what a segment that is removed had, somebody else takes
	seen     func(op vfstest.Op) // called, with mu held, before each operation; nil: nothing
}

func newFullDisk(t *testing.T, capacity int64) *fullDisk {
	d := &fullDisk{t: t, mem: vfstest.NewMem(), capacity: capacity, sizes: map[string]int64{}}
	d.log, d.rest = vfstest.NewFault(d.mem, d.hook), vfstest.NewFault(vfs.OS{}, d.hook)
	return d
}

func (d *fullDisk) hook(op vfstest.Op) vfstest.Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen != nil {
		d.seen(op)
	}
	change := func(then func()) vfstest.Outcome {
		return vfstest.Outcome{}.Then(func(err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if err == nil {
				then()
			}
		})
	}
	switch op.Kind {
	case vfstest.KindWrite:
		if path.Base(op.Name) == "mark" { // which has its place, and no part in this
			break
		}
		end := max(d.sizes[op.Name], op.Off+int64(op.Len))
		room := d.capacity - d.used()
		if grown := end - d.sizes[op.Name]; grown > room || d.copies && room <= 0 {
			return vfstest.Short(op.Len/2, syscall.ENOSPC)
		}
		d.sizes[op.Name] = end
	case vfstest.KindRemove:
		return change(func() {
			if d.taken && strings.HasSuffix(op.Name, ".seg") {
				d.capacity -= d.sizes[op.Name]
			}
			delete(d.sizes, op.Name)
		})
	case vfstest.KindRename:
		return change(func() { d.sizes[op.To] = d.sizes[op.Name]; delete(d.sizes, op.Name) })
	}
	return vfstest.Outcome{}
}

func (d *fullDisk) used() (n int64) {
	for _, size := range d.sizes {
		n += size
	}
	return n
}

func (d *fullDisk) free(string) (int64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, d.capacity-d.used()), true
}

// grow gives the disk so many bytes more.
func (d *fullDisk) grow(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity += bytes
}

// empty makes room for so many bytes.
func (d *fullDisk) empty(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = d.used() + bytes
}

func (d *fullDisk) options(log *lines) Options {
	return Options{Reserve: true, fs: d.log, files: d.rest, free: d.free, logDir: "log", SegmentSize: 8192,
		SnapshotInterval: -1, SnapshotBytes: -1, roomRetry: time.Millisecond,
		Logger: log.logger(), hooks: snapshot.Hooks{NoSync: true}}
}

// lines are those of a store's log.
type lines struct {
	mu   sync.Mutex
	cond sync.Cond
	text bytes.Buffer
}

func (l *lines) logger() hclog.Logger {
	l.cond.L = &l.mu
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: hclog.Debug})
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cond.Broadcast()
	return l.text.Write(b)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns when the log has so many lines with a part.
func (l *lines) wait(t *testing.T, part string, n int) {
	t.Helper()
	late := false
	timer := time.AfterFunc(time.Minute, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		late = true
		l.cond.Broadcast()
	})
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for strings.Count(l.text.String(), part) < n {
		if late {
			t.Fatalf("%q did not come %d times within a minute:\n%s", part, n, l.text.String())
		}
		l.cond.Wait()
	}
}

const (
	lineStopped = "[ERROR] counting has stopped"
	lineGoesOn  = "[ERROR] counting goes on"
)

// countUntilFull counts a topic until that is refused, and returns its sum.
func countUntilFull(t *testing.T, s *Store, topic string, from uint64) uint64 {
	t.Helper()
	for sum := from; ; sum++ {
		op := runOps(t, s, []core.Op{count(topic, 1)})[0]
		if errors.Is(op.Err, core.ErrLogFull) {
			return sum
		}
		if op.Err != nil || op.Sum != sum+1 {
			t.Fatalf("count %d of %.10q: %d, %v", sum+1, topic, op.Sum, op.Err)
		}
		if sum > from+10_000 {
			t.Fatal("the disk is never full")
		}
	}
}

// TestCountingStopsAndGoesOn: a line at level error each time, one of each; Full is true in
// between; and it goes on though nobody counts. So it is where the spare cannot be made and, on a
// disk that copies on write, where a record cannot be written.
func TestCountingStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	for _, copies := range []bool{false, true} {
		t.Run(fmt.Sprint("copy on write ", copies), func(t *testing.T) {
			t.Parallel()
			d, log := newFullDisk(t, 2*8192+reserveSize(reserveDue(0))), &lines{}
			d.copies, d.taken = copies, true
			dir := t.TempDir()
			o := d.options(log)
			o.free = func(string) (int64, bool) { return 1 << 40, true } // so that the reserve stays where it is
			s := openStore(t, dir, o)
			awaitReserve(t, s, reserveSize(0))
			topic, sum := strings.Repeat("t", 900), uint64(0)
			for round := 1; round <= 3; round++ {
				sum = countUntilFull(t, s, topic, sum)
				if log.count(lineStopped) != round || log.count(lineGoesOn) != round-1 {
					t.Fatalf("round %d: lines when counting stops:\n%s", round, log)
				}
				if !s.Stats().Full || !errors.Is(s.Refusing(), core.ErrLogFull) || s.Err() != nil {
					t.Fatalf("round %d: Full %v, Refusing %v, Err %v", round, s.Stats().Full, s.Refusing(), s.Err())
				}
				for range 5 {
					countUntilFull(t, s, topic, sum)
				}
				if op := runOps(t, s, []core.Op{{Kind: core.Read, Topic: []byte(topic)}})[0]; op.Err != nil ||
					op.Sum != sum {
					t.Errorf("round %d: a read meanwhile: %d, %v", round, op.Sum, op.Err)
				}
				d.empty(2*8192 + 4096)
				log.wait(t, lineGoesOn, round)
				if s.Stats().Full || s.Refusing() != nil || log.count(lineStopped) != round {
					t.Fatalf("round %d: Full %v, Refusing %v\n%s", round, s.Stats().Full, s.Refusing(), log)
				}
			}
			// Nothing that was refused is there.
			o = d.options(&lines{})
			o.fs, o.files = d.mem.Crash(vfstest.Crash{}), vfs.OS{}
			again := openStore(t, copySnapshot(t, dir), o)
			if got, _ := again.Get(topic); got.Sum != sum {
				t.Errorf("after a power loss the sum is %d, acknowledged was %d", got.Sum, sum)
			}
		})
	}
}

// TestSnapshotThenHistoryMakeRoom: without a refusal, and never more than is needed; the oldest
// goes first.
func TestSnapshotThenHistoryMakeRoom(t *testing.T) {
	t.Parallel()
	const segments = 12
	d, log := newFullDisk(t, segments*8192+reserveSize(reserveDue(2000))), &lines{}
	o := d.options(log)
	o.Retain = Retain{Age: 24 * time.Hour, Bytes: 1 << 30}
	s := openStore(t, t.TempDir(), o)
	topic := strings.Repeat("t", 900)
	refused := 0
	for sum := uint64(0); sum < 8*5*segments; {
		// before the count: a snapshot may make history between its refusal and a look
		replay := s.snapshot.replay.Load()
		op := runOps(t, s, []core.Op{count(topic, 1)})[0]
		if op.Err == nil {
			sum = op.Sum
			continue
		}
		if !errors.Is(op.Err, core.ErrLogFull) {
			t.Fatal(op.Err)
		}
		if refused++; s.wal.Segments()[0].Last <= replay && len(s.wal.Segments()) > 1 {
			t.Fatalf("refused though there is history: %v\n%s", op.Err, log)
		}
		// the snapshot comes too late at times, since a count here takes no time at all
		log.wait(t, lineGoesOn, log.count(lineStopped))
	}
	if s.Stats().Snapshots == 0 {
		t.Errorf("no snapshot was taken:\n%s", log)
	}
	// Of 60 segments that are filled some 48 go; fewer where counts were so quick that they took
	// the reserve's room.
	if log.count("kept for history only") < segments {
		t.Errorf("%d segments went:\n%s", log.count("kept for history only"), log)
	}
	if kept := len(s.wal.Segments()); kept < segments/2 {
		t.Errorf("only %d segments are kept where there is room for %d", kept, segments)
	}
	t.Logf("refused %d times", refused)
}

// TestReserve: made once the store is open, of bytes that do not compress, as large as its topics
// ask for, and larger when these become more.
func TestReserve(t *testing.T) {
	t.Parallel()
	d, log := newFullDisk(t, 1<<30), &lines{}
	dir := t.TempDir()
	s := openStore(t, dir, d.options(log))
	size := func() int64 {
		info, err := os.Stat(ReservePath(dir))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	awaitReserve(t, s, reserveSize(0))
	if size() != reserveSize(reserveDue(0)) {
		t.Errorf("%d bytes", size())
	}
	b, err := os.ReadFile(ReservePath(dir))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := 0; i+8 <= len(b); i += 8 {
		seen[string(b[i:i+8])] = true
	}
	if len(seen) < len(b)/8 {
		t.Error("its bytes compress")
	}
	ops := make([]core.Op, 4000)
	names := int64(0)
	for i := range ops {
		ops[i] = count(fmt.Sprintf("%0500d", i), 1)
		names += 500
	}
	runOps(t, s, ops)
	awaitReserve(t, s, reserveSize(snapshotRoom(4000, names)))
	held := size()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := d.options(log)
	s = openStore(t, dir, o)
	if s.reserve.held.Load() != held || size() != held {
		t.Errorf("the next start finds %d bytes, %d were there", s.reserve.held.Load(), held)
	}
}

// awaitReserve waits until so many bytes are held.
func awaitReserve(t *testing.T, s *Store, bytes int64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	held := func() int64 {
		s.reserve.mu.Lock() // not while it is being made
		defer s.reserve.mu.Unlock()
		return s.reserve.held.Load()
	}
	for held() < bytes {
		if time.Now().After(deadline) {
			t.Fatalf("the reserve has %d bytes after a minute, %d are wanted", s.reserve.held.Load(), bytes)
		}
		runtime.Gosched()
	}
}

// TestReserveIsGivenBackForASnapshot, where there is no room beside it, and made again; no spare is
// begun in between, whoever wants one.
func TestReserveIsGivenBackForASnapshot(t *testing.T) {
	t.Parallel()
	for _, beside := range []bool{false, true} {
		t.Run(fmt.Sprint("room beside it ", beside), func(t *testing.T) {
			t.Parallel()
			d, log := newFullDisk(t, 4*8192+reserveSize(reserveDue(2000))), &lines{}
			if beside {
				d.capacity *= 3
			}
			dir := t.TempDir()
			o := d.options(log)
			given, begun, writing := 0, 0, false // under d.mu
			write := func(w bool) {
				d.mu.Lock()
				defer d.mu.Unlock()
				writing = w && !beside
			}
			d.seen = func(op vfstest.Op) {
				if op.Kind == vfstest.KindRemove && op.Name == ReservePath(dir) {
					given++
				}
				if writing && op.Kind == vfstest.KindCreate && path.Base(op.Name) == "spare" &&
					d.capacity-d.used() < 8192+reserveSize(0) {
					begun++
				}
			}
			var opened atomic.Pointer[Store] // the snapshotter may come before open has returned
			var during atomic.Bool
			topic := strings.Repeat("t", 900)
			o.hooks.BeforeCommit = func() { // the snapshot is about to be written
				s := opened.Load()
				if s == nil || s.snapshot.replay.Load() > 0 || during.Swap(true) {
					return
				}
				write(true)
				defer write(false)
				refused := false
				for range 60 { // more than the disk has beside the snapshot's room
					op := runOps(t, s, []core.Op{count(topic, 1)})[0]
					refused = refused || errors.Is(op.Err, core.ErrLogFull)
				}
				if beside == refused {
					t.Errorf("counts while the snapshot is written are refused: %v", refused)
				}
			}
			s := openStore(t, dir, o)
			opened.Store(s)
			awaitReserve(t, s, reserveSize(0))
			for range 20 { // two segments and a part of the third; a snapshot may be due by then
				if op := runOps(t, s, []core.Op{count(topic, 1)})[0]; op.Err != nil &&
					(beside || !errors.Is(op.Err, core.ErrLogFull)) {
					t.Fatal(op.Err)
				}
			}
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			awaitReserve(t, s, reserveSize(0))
			log.wait(t, lineGoesOn, log.count(lineStopped))
			if op := runOps(t, s, []core.Op{count(topic, 1)})[0]; op.Err != nil {
				t.Errorf("a count afterwards: %v", op.Err)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if begun > 0 {
				t.Errorf("%d spares were begun while the snapshot had the reserve", begun)
			}
			if beside && given > 0 || !during.Load() {
				t.Errorf("the reserve was given back %d times; counted during the snapshot: %v", given, during.Load())
			}
		})
	}
}

// TestNoRoomForTheReserve is a warning, once, and no reason not to count.
func TestNoRoomForTheReserve(t *testing.T) {
	t.Parallel()
	d, log := newFullDisk(t, 40*8192), &lines{}
	s := openStore(t, t.TempDir(), d.options(log))
	log.wait(t, "[WARN]  cannot hold room for the next snapshot", 1)
	for range 100 {
		if op := runOps(t, s, []core.Op{count(strings.Repeat("t", 900), 1)})[0]; op.Err != nil {
			t.Fatal(op.Err)
		}
	}
	d.grow(2 * reserveSize(2000))
	awaitReserve(t, s, reserveSize(0))
	log.wait(t, "room for the next snapshot is held again", 1)
	if n := log.count("cannot hold room"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
}

// TestStartWithoutRoom gives back the reserve first, then asks and tries again, or ends with an
// error.
func TestStartWithoutRoom(t *testing.T) {
	t.Parallel()
	d, log := newFullDisk(t, 1<<30), &lines{}
	dir := t.TempDir()
	s := openStore(t, dir, d.options(log))
	awaitReserve(t, s, reserveSize(0))
	sum := uint64(7)
	for range sum {
		runOps(t, s, []core.Op{count("a", 1)})
	}
	killed := copySnapshot(t, dir) // as after a kill: not closed
	if err := os.WriteFile(ReservePath(killed), make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	mem := d.mem.Clone()
	asked := 0
	var full atomic.Bool
	full.Store(true)
	fault := vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
		if full.Load() && op.Kind == vfstest.KindWrite {
			return vfstest.Short(op.Len/2, syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	o := Options{fs: fault, logDir: "log", SegmentSize: 8192, hooks: snapshot.Hooks{NoSync: true},
		NoRoom: func(err error) error {
			if asked++; !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("asked about %v", err)
			}
			if _, err := os.Stat(ReservePath(killed)); err == nil {
				t.Error("the reserve is still there")
			}
			if full.Store(asked < 3); asked > 10 {
				return errors.New("no more")
			}
			return nil
		}}
	again, err := open(t, killed, o)
	if err != nil || asked != 3 {
		t.Fatalf("asked %d times, then %v", asked, err)
	}
	if got, _ := again.Get("a"); got.Sum != sum {
		t.Errorf("the sum is %d, want %d", got.Sum, sum)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}

	end := errors.New("interrupted")
	o.NoRoom = func(error) error { return end }
	o.fs = vfstest.NewFault(d.mem.Clone(), func(op vfstest.Op) vfstest.Outcome {
		if op.Kind == vfstest.KindWrite {
			return vfstest.Fail(syscall.ENOSPC)
		}
		return vfstest.Outcome{}
	})
	killed = copySnapshot(t, dir)
	if _, err := open(t, killed, o); !errors.Is(err, end) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("an end of waiting: %v", err)
	}
	o.NoRoom = nil
	if _, err := open(t, killed, o); !errors.Is(err, wal.ErrFull) {
		t.Errorf("without anybody to ask: %v", err)
	}
	if _, err := open(t, filepath.Join(t.TempDir(), "new"), o); !errors.Is(err, wal.ErrFull) {
		t.Errorf("a new store: %v", err)
	}
}

// TestReserveOfAKeeperThatIsLate: when the keeper of room came late, and found more topics than
// those that it was woken for, the reserve has the room of a snapshot nevertheless, whenever it
// stops to grow.
func TestReserveOfAKeeperThatIsLate(t *testing.T) {
	t.Parallel()
	const length = 900
	asked := new(atomic.Pointer[func()])
	o := Options{Reserve: true, fs: between{vfstest.NewMem(), asked}, logDir: "log", SnapshotInterval: -1,
		SnapshotBytes: -1, hooks: snapshot.Hooks{NoSync: true}}
	s := openStore(t, t.TempDir(), o)
	topics := 0
	countUpTo := func(room int64) {
		for s.snapshotRoom() < room {
			if op := runOps(t, s, []core.Op{count(fmt.Sprintf("%0*d", length, topics), 1)})[0]; op.Err != nil {
				t.Fatal(op.Err)
			}
			topics++
		}
	}
	awaitReserve(t, s, reserveSize(s.reserved.Load()))
	came, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	late := func() {
		if b := make([]byte, 16<<10); strings.Contains(string(b[:runtime.Stack(b, false)]), "keepRoom") {
			once.Do(func() {
				close(came)
				<-goOn
			})
		}
	}
	asked.Store(&late)
	s.wakeSpareKeeper()
	within(t, "the keeper's look at the log", came)
	first := s.reserved.Load()
	countUpTo(first + first/2) // it is woken for somewhat more than the first, and comes when there is more
	second := s.reserved.Load()
	close(goOn)
	awaitReserve(t, s, reserveSize(second))
	countUpTo(second + 1) // and so once more, in time
	for third := s.reserved.Load(); s.snapshotRoom()+snapshotRoom(1, length) <= third; {
		countUpTo(s.snapshotRoom() + 1)
	}
	awaitReserve(t, s, reserveSize(s.snapshotRoom()))
}

// TestLogLeavesTheRoomOfASnapshotThatFails: where there is no room for the reserve, and a snapshot
// cannot be written just now, the log does not take what it will need.
func TestLogLeavesTheRoomOfASnapshotThatFails(t *testing.T) {
	t.Parallel()
	const topics, length = 300, 900
	room := snapshotRoom(topics, topics*length)
	d, log := newFullDisk(t, 1<<30), &lines{}
	dir := t.TempDir()
	s := openStore(t, dir, d.options(log))
	for i := range topics {
		if op := runOps(t, s, []core.Op{count(fmt.Sprintf("%0*d", length, i), 1)})[0]; op.Err != nil {
			t.Fatal(op.Err)
		}
	}
	awaitReserve(t, s, reserveSize(room))
	release, err := (&snapshot.File{Path: SnapshotPath(dir), Wait: time.Minute}).Hold()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	s.reserve.mu.Lock()
	err = s.reserve.remove(atOnce)
	d.empty(reserveLeast(room) + 20*8192)
	s.reserve.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	s.wakeSpareKeeper()
	log.wait(t, "[WARN]  cannot hold room for the next snapshot", 1)
	countUntilFull(t, s, fmt.Sprintf("%0*d", length, 1), 1)
	for range 100 {
		if op := runOps(t, s, []core.Op{count("another", 1)})[0]; op.Err != nil && !errors.Is(op.Err, core.ErrLogFull) {
			t.Fatal(op.Err)
		}
	}
	if free, _ := d.free(""); free < reserveLeast(room) {
		t.Errorf("%d bytes are left for a snapshot that needs %d", free, reserveLeast(room))
	}
}
