package store

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"gcd/internal/thin"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// TestWholeSurvivesACrash: two topics that are only ever counted together, in whole groups between
// others that leave little room, are equal after a crash at any operation of the disk, and no
// acknowledged group is gone.
func TestWholeSurvivesACrash(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64N(1 << 40)
	t.Logf("seed %d", seed)
	variants := []vfstest.Crash{{Keep: 0}, {Seed: seed, Keep: 0.5}, {Seed: seed + 1, Keep: 0.5, Garbage: true}}
	r := newRecorder(t, variants)
	s, err := open(t, r.dir, r.options(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	long := strings.Repeat("long", 100)
	for range 15 {
		whole := &core.Group{Whole: true, Ops: []core.Op{count("one", 1), count(long+"1", 1), count(long+"2", 1),
			count("two", 1)}}
		groups := []*core.Group{{}, whole, {Ops: []core.Op{count("after", 1)}}}
		for i := range random.IntN(12) {
			groups[0].Ops = append(groups[0].Ops, count(fmt.Sprint(long, "before", i), 1))
		}
		r.mu.Lock()
		r.issued++
		r.mu.Unlock()
		enqueueAll(t, s, groups...)
		if err := whole.Ops[0].Err; err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.acked++
		r.mu.Unlock()
		if random.IntN(8) == 0 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if fewer := r.recoverAll(t, 1, "one", "two", long+"1", long+"2"); fewer < 50 {
		t.Errorf("only %d starts found less than was sent", fewer)
	}
}

// TestLargestWholeSurvivesAPowerLoss: of whole groups that are as large as one may be, counted over
// and over between small ones, each start after a power loss finds all or nothing, wherever in the
// record the disk stopped, and those that were acknowledged. Segments are small, and as in earnest.
func TestLargestWholeSurvivesAPowerLoss(t *testing.T) {
	t.Parallel()
	segments := []int64{8192, 1 << 20, 4 << 20}
	if thin.On() {
		segments = segments[:1]
	}
	for _, segment := range segments {
		t.Run(fmt.Sprintf("segments of %d bytes", segment), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64N(1 << 40)
			t.Logf("seed %d", seed)
			variants := []vfstest.Crash{{Keep: 0}, {Seed: seed, Keep: 0.5}, {Seed: seed + 1, Keep: 0.9, Garbage: true}}
			r := newRecorder(t, variants)
			r.segment = segment
			r.only = func(op vfstest.Op) bool { return path.Base(op.Name) != "spare" || op.Kind == vfstest.KindRename }
			s, err := open(t, r.dir, r.options(Options{}))
			if err != nil {
				t.Fatal(err)
			}
			// Topics of one length, and a last one that fills the room to its last byte.
			length, left := min(int(segment/64), 4096), min(core.MaxWhole, s.wal.MaxRecord())
			var topics []string
			for left >= 2*(length+core.MaxChangeLen) {
				topics = append(topics, fmt.Sprintf("%0*d", length, len(topics)))
				left -= length + core.MaxChangeLen
			}
			topics = append(topics, strings.Repeat("x", left-core.MaxChangeLen))
			for i := range 4 {
				whole := &core.Group{Whole: true}
				for _, topic := range topics {
					whole.Ops = append(whole.Ops, count(topic, 1))
				}
				if !s.Fits(whole.Ops) || s.Fits(append(whole.Ops[:len(topics):len(topics)], count("", 1))) {
					t.Fatal("it is not the largest")
				}
				r.mu.Lock()
				r.issued++
				r.mu.Unlock()
				enqueueAll(t, s, &core.Group{Ops: []core.Op{count("before", 1)}}, whole,
					&core.Group{Ops: []core.Op{count("after", 1)}})
				if err := whole.Ops[len(topics)-1].Err; err != nil {
					t.Fatal(err)
				}
				r.mu.Lock()
				r.acked++
				r.mu.Unlock()
				if i == 1 {
					if err := s.Snapshot(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if r.recoverAll(t, thin.Step(2), topics...) == 0 {
				t.Error("no start found less than was sent")
			}
		})
	}
}

// recoverAll starts on what each n-th crash left. All topics are to have one sum, from what was
// acknowledged to what was issued. It returns how many starts found less than that.
func (r *recorder) recoverAll(t *testing.T, n int, topics ...string) (fewer int) {
	t.Helper()
	recoveries := 0
	for i := 0; i < len(r.points); i += n {
		p := r.points[i]
		for _, version := range p.versions {
			for v, disk := range p.disks {
				where := fmt.Sprintf("point %d (before %s %s), snapshot version %d, variant %d", i, p.op.Kind,
					p.op.Name, version, v)
				got := recoverSums(t, where, r, disk, version, topics...)
				for _, sum := range got {
					if sum != got[0] || sum < uint64(p.acked) || sum > uint64(p.issued) {
						t.Fatalf("%s: the sums are %d, between %d and %d groups were acknowledged", where, got,
							p.acked, p.issued)
					}
				}
				if recoveries++; got[0] < uint64(p.issued) {
					fewer++
				}
			}
		}
	}
	t.Logf("%d starts, %d of them found less than was sent", recoveries, fewer)
	return fewer
}

// recoverSums starts on what a crash left and returns the sums of topics.
func recoverSums(t *testing.T, where string, r *recorder, disk *vfstest.Mem, version int,
	topics ...string) (sums []uint64) {
	t.Helper()
	dir := t.TempDir()
	r.restore(t, dir, version)
	s, err := open(t, dir, Options{fs: disk.Clone(), logDir: "log", SegmentSize: r.segment, SnapshotInterval: -1,
		SnapshotBytes: -1, hooks: snapshot.Hooks{NoSync: true}})
	if err != nil {
		t.Fatalf("%s: it does not start: %v", where, err)
	}
	for _, topic := range topics {
		sums = append(sums, get(s, topic).Sum)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("%s: close: %v", where, err)
	}
	return sums
}
