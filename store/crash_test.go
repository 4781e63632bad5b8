package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// recorder lets a scripted run crash at every operation on the log's disk. bbolt maps real files,
// so a bbolt commit counts as one step: the recorder keeps the snapshot file as it was before and
// after each, and pairs every crash of the log's disk with the version of that moment, or with both
// while a commit is under way.
type recorder struct {
	mem     *vfstest.Mem
	dir     string                // of the real snapshot file
	segment int64                 // bytes of a segment
	only    func(vfstest.Op) bool // which operations are crash points; nil: all that change something

	mu         sync.Mutex
	versions   [][]byte // of the snapshot file; nil: not there
	committing bool
	points     []crashPoint
	variants   []vfstest.Crash
	issued     int // batches submitted so far
	acked      int // batches answered so far
}

// crashPoint is one moment: the disks that a power loss may leave, and which batches must and may
// have survived.
type crashPoint struct {
	op            vfstest.Op
	disks         []*vfstest.Mem
	versions      []int
	acked, issued int
}

func newRecorder(t *testing.T, variants []vfstest.Crash) *recorder {
	return &recorder{mem: vfstest.NewMem(), dir: t.TempDir(), segment: 8192, versions: [][]byte{nil},
		variants: variants}
}

func (r *recorder) options(o Options) Options {
	o.fs = vfstest.NewFault(r.mem, r.hook)
	o.logDir = "log"
	o.SegmentSize = r.segment
	o.SnapshotInterval = -1
	o.SnapshotBytes = -1
	o.hooks = snapshot.Hooks{
		NoSync: true,
		BeforeCommit: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.committing = true
		},
		AfterCommit: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			b, err := os.ReadFile(filepath.Join(r.dir, snapshot.FileName))
			if err != nil {
				panic(err)
			}
			r.versions, r.committing = append(r.versions, b), false
		},
	}
	return o
}

// hook takes the crash clones before an operation that changes the disk.
func (r *recorder) hook(op vfstest.Op) (out vfstest.Outcome) {
	switch op.Kind {
	case vfstest.KindWrite, vfstest.KindSync, vfstest.KindCreate, vfstest.KindRename, vfstest.KindRemove,
		vfstest.KindSyncDir, vfstest.KindMkdirAll:
		if r.only != nil && !r.only(op) {
			return out
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.point(op)
	}
	return out
}

func (r *recorder) point(op vfstest.Op) {
	p := crashPoint{op: op, acked: r.acked, issued: r.issued, versions: []int{len(r.versions) - 1}}
	if r.committing {
		p.versions = append(p.versions, len(r.versions))
	}
	for _, c := range r.variants {
		c.Seed += uint64(len(r.points)) * 1000
		p.disks = append(p.disks, r.mem.Crash(c))
	}
	r.points = append(r.points, p)
}

// restore writes a version of the snapshot file.
func (r *recorder) restore(t *testing.T, dir string, version int) {
	t.Helper()
	if b := r.versions[version]; b != nil {
		if err := os.WriteFile(filepath.Join(dir, snapshot.FileName), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// script runs batches one after the other and keeps the state after each.
type script struct {
	r      *recorder
	s      *Store
	model  modelStore
	states []map[string]core.Value // states[i]: after i batches
}

func newScript(r *recorder) *script {
	sc := &script{r: r,
		model: modelStore{values: map[string]core.Value{}, maxTopics: 1 << 20, maxTopic: core.MaxTopicLen}}
	sc.states = append(sc.states, maps.Clone(sc.model.values))
	return sc
}

func (sc *script) open(t *testing.T, o Options) {
	t.Helper()
	s, err := open(t, sc.r.dir, sc.r.options(o))
	if err != nil {
		t.Fatal(err)
	}
	sc.s = s
}

func (sc *script) batch(t *testing.T, ops ...core.Op) {
	t.Helper()
	for _, op := range ops {
		sc.model.do(op)
	}
	sc.states = append(sc.states, maps.Clone(sc.model.values))
	sc.r.mu.Lock()
	sc.r.issued++
	sc.r.mu.Unlock()
	for _, op := range runOps(t, sc.s, ops) {
		if op.Err != nil {
			t.Fatalf("op on %.20q: %v", op.Topic, op.Err)
		}
	}
	sc.r.mu.Lock()
	sc.r.acked++
	sc.r.mu.Unlock()
}

func (sc *script) snapshot(t *testing.T) {
	t.Helper()
	if err := sc.s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func count(topic string, n uint64) core.Op {
	return core.Op{Kind: core.Count, Topic: []byte(topic), N: n}
}
func reset(topic string) core.Op { return core.Op{Kind: core.Reset, Topic: []byte(topic)} }

// run is the whole life: first start, counts and resets, rotations, snapshots with removal of
// segments, a clean restart.
func (sc *script) run(t *testing.T) {
	t.Helper()
	long := strings.Repeat("long ", 400)
	sc.open(t, Options{})
	sc.batch(t, count("a", 1))
	sc.batch(t, count("a", 1), count("b", 3), reset("a"), count("a", 2))
	sc.snapshot(t)
	for i := range 6 {
		sc.batch(t, count("a", 1), count(long+strconv.Itoa(i%3), 1), reset("b"))
	}
	sc.snapshot(t)
	sc.batch(t, reset("a"))
	if err := sc.s.Close(); err != nil {
		t.Fatal(err)
	}
	sc.open(t, Options{})
	for i := range 5 {
		sc.batch(t, count("a", 1), count(long+strconv.Itoa(i), 1))
	}
	sc.snapshot(t)
	sc.batch(t, count("c", 7), reset("c"))
	if err := sc.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// crashRounds is how many random variants a crash point gets beside the fixed ones; make crash
// raises it.
func crashRounds() int {
	n, _ := strconv.Atoi(os.Getenv("GCD_CRASH_VARIANTS"))
	return max(n, 8/thin.Step(4))
}

// TestCrashAtEveryOperation: whatever a power loss leaves at whatever moment, the recovered state
// is a prefix of the order in which batches were issued, and contains every batch that was
// answered.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64N(1 << 40)
	t.Logf("seed %d", seed)
	variants := []vfstest.Crash{{Keep: 0}, {Keep: 1}}
	for i := range crashRounds() {
		variants = append(variants, vfstest.Crash{Seed: seed + uint64(i), Keep: 0.5, Garbage: i%2 == 0})
	}
	r := newRecorder(t, variants)
	sc := newScript(r)
	sc.run(t)
	if len(r.points) < 60 || len(r.versions) < 10 {
		t.Fatalf("only %d crash points and %d versions of the snapshot: the script does not do what it should",
			len(r.points), len(r.versions))
	}
	recovered := 0
	for i, p := range r.points {
		for _, version := range p.versions {
			for v, disk := range p.disks {
				where := fmt.Sprintf("seed %d, point %d (before %s %s), snapshot version %d, variant %d", seed, i,
					p.op.Kind, p.op.Name, version, v)
				sc.recoverAndCheck(t, where, disk.Clone(), version, p)
				recovered++
			}
		}
	}
	t.Logf("%d recoveries from %d crash points", recovered, len(r.points))
}

// recoverAndCheck starts on what a crash left, checks the state, and then that counting goes on and
// survives another crash.
func (sc *script) recoverAndCheck(t *testing.T, where string, disk *vfstest.Mem, version int, p crashPoint) {
	t.Helper()
	dir := t.TempDir()
	sc.r.restore(t, dir, version)
	o := Options{fs: disk, logDir: "log", SegmentSize: sc.r.segment, SnapshotInterval: -1, SnapshotBytes: -1,
		hooks: snapshot.Hooks{NoSync: true}}
	s, err := open(t, dir, o)
	if err != nil {
		t.Fatalf("%s: it does not start: %v", where, err)
	}
	if mark := s.wal.Mark(); p.acked > 0 && mark.State != wal.MarkSound {
		t.Errorf("%s: the mark is %+v", where, mark)
	}
	k := sc.prefix(s, p.acked, p.issued)
	if k < 0 {
		_ = s.Close()
		t.Fatalf("%s: the state is none of those after batches %d to %d: %d topics, a at %v", where, p.acked, p.issued,
			s.Len(), get(s, "a"))
	}
	more := runOps(t, s, []core.Op{count("a", 1), count("new", 5), reset("b")})
	want := map[string]core.Value{"new": {Sum: 5},
		"a": {Sum: sc.states[k]["a"].Sum + 1,
			Epoch: sc.states[k]["a"].Epoch}, "b": {Epoch: sc.states[k]["b"].Epoch + 1}}
	if more[0].Err != nil || more[0].Sum != want["a"].Sum || more[0].Epoch != want["a"].Epoch {
		t.Errorf("%s: counting went on at %d in epoch %d (%v), want %+v", where, more[0].Sum, more[0].Epoch,
			more[0].Err, want["a"])
	}
	o.fs = disk.Crash(vfstest.Crash{}) // the second crash comes before the close
	if err := s.Close(); err != nil {
		t.Fatalf("%s: close: %v", where, err)
	}
	if p.op.N%4 != 0 { // a second crash everywhere would only take longer
		return
	}
	// What the close wrote to the snapshot file is a witness that the crashed log does reach.
	s, err = open(t, dir, o)
	if err != nil {
		t.Fatalf("%s: after a second crash: %v", where, err)
	}
	for topic, v := range want {
		if got := get(s, topic); got != v {
			t.Errorf("%s: after a second crash %q is at %+v, want %+v", where, topic, got, v)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func get(s *Store, topic string) core.Value {
	v, _ := s.Get(topic)
	return v
}

// prefix finds the number of batches whose effect is the store's state, or -1.
func (sc *script) prefix(s *Store, from, to int) int {
	for k := from; k <= to; k++ {
		if s.Len() != len(sc.states[k]) {
			continue
		}
		same := true
		for topic, want := range sc.states[k] {
			got, ok := s.Get(topic)
			same = same && ok && got == want
		}
		if same {
			return k
		}
	}
	return -1
}

// TestCrashDuringRecovery crashes at every operation of a recovery, and of the recovery after that:
// the n-th leads where the first did.
func TestCrashDuringRecovery(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, []vfstest.Crash{{Seed: 7, Keep: 0.5, Garbage: true}})
	sc := newScript(r)
	sc.run(t)
	points := 0
	for i := len(r.points) / 3; i < len(r.points); i += 7 {
		p := r.points[i]
		nested := newRecorder(t, []vfstest.Crash{{}, {Keep: 1}, {Seed: uint64(i), Keep: 0.5, Garbage: true}})
		nested.mem, nested.acked, nested.issued = p.disks[0], p.acked, p.issued
		nested.versions = [][]byte{r.versions[p.versions[0]]}
		if b := nested.versions[0]; b != nil {
			if err := os.WriteFile(filepath.Join(nested.dir, snapshot.FileName), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := open(t, nested.dir, nested.options(Options{}))
		if err != nil {
			t.Fatalf("point %d: %v", i, err)
		}
		k := sc.prefix(s, p.acked, p.issued)
		if k < 0 {
			t.Fatalf("point %d: no prefix", i)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		inner := &script{r: nested, states: sc.states}
		for j, q := range nested.points {
			q.acked, q.issued = k, k
			if q.op.Name == "log" && q.op.Kind == vfstest.KindMkdirAll {
				continue
			}
			for _, version := range q.versions {
				for v, disk := range q.disks {
					inner.recoverAndCheck(t,
						fmt.Sprintf("point %d, inner point %d (%s %s), version %d, variant %d", i, j, q.op.Kind,
							q.op.Name, version, v), disk.Clone(), version, q)
					points++
				}
			}
		}
	}
	t.Logf("%d nested recoveries", points)
}

// TestDiskErrors: the first write or sync error ends all acknowledging, and a restart has every
// answered op.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	for _, kind := range []vfstest.Kind{vfstest.KindWrite, vfstest.KindSync} {
		for n := range 12 {
			t.Run(fmt.Sprintf("%s %d", kind, n), func(t *testing.T) {
				t.Parallel()
				mem := vfstest.NewMem()
				var armed bool
				var mu sync.Mutex
				seen := 0
				fault := vfstest.NewFault(mem, func(op vfstest.Op) (out vfstest.Outcome) {
					mu.Lock()
					defer mu.Unlock()
					if base := path.Base(op.Name); !armed || op.Kind != kind || base == "spare" || base == "mark" {
						// which are no reason to stop
						return out
					}
					if seen++; seen == n+1 {
						if kind == vfstest.KindSync {
							_ = mem.FailSync(op.Name)
						}
						return vfstest.Fail(errors.New("injected"))
					}
					return out
				})
				o := Options{fs: fault, logDir: "log", SegmentSize: 8192, SnapshotInterval: -1,
					hooks: snapshot.Hooks{NoSync: true}}
				dir := t.TempDir()
				s, err := open(t, dir, o)
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				armed = true
				mu.Unlock()
				acked, failedAt := uint64(0), -1
				for i := range 40 {
					op := runOps(t, s, []core.Op{count("a", 1), count(strings.Repeat("pad", 300), 1)})[0]
					switch {
					case op.Err == nil && failedAt >= 0:
						t.Fatalf("op %d was acknowledged after op %d failed", i, failedAt)
					case op.Err == nil:
						acked = op.Sum
					case failedAt < 0:
						failedAt = i
						if !errors.Is(op.Err, core.ErrUnknown) {
							t.Errorf("the failed op: %v, want ErrUnknown", op.Err)
						}
						within(t, "the end of a store whose disk fails", s.Failed())
					case !errors.Is(op.Err, core.ErrFailed):
						t.Errorf("an op after the failure: %v, want ErrFailed", op.Err)
					case !errors.Is(s.Refusing(), core.ErrFailed) || s.Stats().RefusingSince.IsZero():
						t.Errorf("after the failure the store tells of %v since %v", s.Refusing(),
							s.Stats().RefusingSince)
					}
				}
				mu.Lock()
				there := seen
				mu.Unlock()
				if failedAt < 0 {
					t.Fatalf("the %s error was not injected: %d of that kind seen", kind, there)
				}
				if err := s.Close(); err == nil {
					t.Error("closing a failed store reports no error")
				}
				for _, c := range []vfstest.Crash{{}, {Keep: 1}, {Seed: uint64(n), Keep: 0.5, Garbage: true}} {
					o.fs = mem.Crash(c)
					again := openStore(t, copySnapshot(t, dir), o)
					if got := get(again, "a").Sum; got != acked && got != acked+1 {
						t.Errorf("crash %+v: recovered %d, acknowledged %d", c, got, acked)
					}
				}
			})
		}
	}
}
