package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// TestPowerLoss lets stores lose their power again and again, at a random operation on the disk,
// while the mark is synced beside the commits: whatever is left, no start is refused, and what was
// durable is there. GCD_POWER_ROUNDS sets the rounds (default 20); each is three lives of one
// store.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	rounds, _ := strconv.Atoi(os.Getenv("GCD_POWER_ROUNDS"))
	if rounds <= 0 {
		rounds = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var total powerFigures
	for round := range rounds {
		p := &power{rand: rand.New(rand.NewPCG(seed, uint64(round))), disk: vfstest.NewMem()}
		for life := range 3 {
			p.live(t, fmt.Sprintf("seed %d, round %d, life %d", seed, round, life))
			if t.Failed() {
				return
			}
		}
		p.recover(t, fmt.Sprintf("seed %d, round %d, the end", seed, round)).close(t)
		total.add(p.figures)
	}
	t.Logf("%d rounds, %d batches, %d starts: %+v", rounds, total.batches, total.starts, total)
	if total.within == 0 || total.atMark == 0 || total.fewer == 0 || total.sound == 0 || rounds >= 100 &&
		(total.torn == 0 || total.after == 0) {
		t.Errorf("it was not tried: %+v", total)
	}
}

// powerFigures are what came of it.
type powerFigures struct {
	losses  int // of power
	within  int // of them, in the middle of a life
	atMark  int // of those, before an operation on the mark
	starts  int
	sound   int // starts that found a mark whose flags count
	exact   int // of them, one that is as far as the log
	after   int // and one that is further
	useless int // starts that found another mark, or none
	torn    int // starts that found a torn tail
	fewer   int // starts that found fewer batches than were sent
	batches int
}

func (f *powerFigures) add(g powerFigures) {
	f.losses, f.within, f.atMark, f.batches = f.losses+g.losses, f.within+g.within, f.atMark+g.atMark,
		f.batches+g.batches
	f.starts, f.sound, f.exact, f.after, f.useless = f.starts+g.starts, f.sound+g.sound, f.exact+g.exact,
		f.after+g.after, f.useless+g.useless
	f.torn, f.fewer = f.torn+g.torn, f.fewer+g.fewer
}

// power is a store that loses its power. Each batch counts topic a once, so its sum says how many
// there are.
type power struct {
	rand     *rand.Rand
	disk     *vfstest.Mem // of the log, as the last power loss left it
	snapshot []byte       // likewise the snapshot's file; nil: none
	floor    uint64       // batches that are durable
	sent     uint64       // batches that may be there

	figures powerFigures
}

// powered is one life.
type powered struct {
	*Store
	dir string
}

func (s powered) close(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func (p *power) options(fsys vfs.FS) Options {
	return Options{
		fs: fsys, logDir: "log", SegmentSize: []int64{8192, 64 << 10, 1 << 20}[p.rand.IntN(3)],
		SnapshotInterval: -1, SnapshotBytes: -1, hooks: snapshot.Hooks{NoSync: true},
		Sync:         []SyncMode{SyncAlways, SyncAlways, SyncInterval}[p.rand.IntN(3)],
		SyncInterval: time.Duration(100+p.rand.IntN(2000)) * time.Microsecond,
		marks:        time.Duration(50+p.rand.IntN(2000)) * time.Microsecond,
	}
}

// place puts the snapshot's file into a new directory.
func (p *power) place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if p.snapshot != nil {
		if err := os.WriteFile(filepath.Join(dir, snapshot.FileName), p.snapshot, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// check looks at what a start found.
func (p *power) check(t *testing.T, where string, s *Store, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: it does not start: %v", where, err)
	}
	at := get(s, "a").Sum
	if at < p.floor || at > p.sent {
		t.Errorf("%s: %d batches are there, %d were durable and %d sent", where, at, p.floor, p.sent)
	}
	mark, f := s.wal.Mark(), &p.figures
	f.starts++
	switch {
	case mark.State == wal.MarkSound && mark.Index == s.Recovery().Index:
		f.sound, f.exact = f.sound+1, f.exact+1
	case mark.State == wal.MarkSound:
		f.sound, f.after = f.sound+1, f.after+1
	default:
		f.useless++
	}
	if s.Recovery().Torn > 0 {
		f.torn++
	}
	if at < p.sent {
		f.fewer++
	}
	p.floor, p.sent = at, at
}

func (p *power) recover(t *testing.T, where string) powered {
	t.Helper()
	dir := p.place(t)
	s, err := open(t, dir, p.options(p.disk))
	p.check(t, where, s, err)
	return powered{s, dir}
}

// live starts the store on what the last power loss left, counts, and loses the power at a random
// operation.
func (p *power) live(t *testing.T, where string) {
	t.Helper()
	dir := p.place(t)
	var (
		mu                sync.Mutex
		ops, at           = 0, 1 + p.rand.IntN(150)
		versions          = [][]byte{p.snapshot}
		committing        bool
		floor, sent       = p.floor, p.sent
		lost              *vfstest.Mem
		version           int
		lostFloor, lostAt = uint64(0), uint64(0)
		crash             = vfstest.Crash{Seed: p.rand.Uint64(), Keep: []float64{0, 0.3, 0.5, 0.9,
			1}[p.rand.IntN(5)], Garbage: p.rand.IntN(2) == 0}
		afterCommit = p.rand.IntN(2) == 0
		brokenMark  = p.rand.IntN(5) == 0
		disk        = p.disk
	)
	lose := func() { // under mu
		lost, version, lostFloor, lostAt = disk.Crash(crash), len(versions)-1, floor, sent
		if committing && afterCommit {
			version++
		}
		p.figures.losses++
	}
	fault := vfstest.NewFault(disk, func(op vfstest.Op) vfstest.Outcome {
		switch op.Kind {
		case vfstest.KindRead, vfstest.KindSize, vfstest.KindClose, vfstest.KindOpen,
			vfstest.KindOpenRead, vfstest.KindReadDir:
			return vfstest.Outcome{}
		}
		mu.Lock()
		defer mu.Unlock()
		onMark := path.Base(op.Name) == "mark"
		if ops++; ops == at && lost == nil {
			lose()
			p.figures.within++
			if onMark {
				p.figures.atMark++
			}
		}
		if brokenMark && onMark && ops%3 == 0 {
			return vfstest.Fail(nil)
		}
		return vfstest.Outcome{}
	})
	o := p.options(fault)
	o.hooks.BeforeCommit = func() {
		mu.Lock()
		defer mu.Unlock()
		committing = true
	}
	o.hooks.AfterCommit = func() {
		b, err := os.ReadFile(filepath.Join(dir, snapshot.FileName))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		versions, committing = append(versions, b), false
	}
	s, err := open(t, dir, o)
	mu.Lock()
	p.check(t, where, s, err)
	if floor = p.floor; lost == nil {
		sent = p.sent
	}
	base, start := p.floor, s.wal.Last()
	mu.Unlock()
	for i := range 10 + p.rand.IntN(60) {
		mu.Lock()
		sent++
		over := lost != nil
		mu.Unlock()
		if over {
			break
		}
		p.figures.batches++
		ops := []core.Op{count("a", 1), count(strings.Repeat("b", 1+p.rand.IntN(1500)), 1)}
		if p.rand.IntN(2) == 0 {
			ops = ops[:1]
		}
		if op := runOps(t, s, ops)[0]; op.Err != nil {
			t.Fatalf("%s: the count failed: %v", where, op.Err)
		}
		mu.Lock()
		floor = base + s.wal.Durable() - start
		mu.Unlock()
		if i%16 == 15 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Errorf("%s: the snapshot failed: %v", where, err)
			}
		}
	}
	mu.Lock()
	if lost == nil {
		lose()
	}
	mu.Unlock()
	powered{s, dir}.close(t)
	p.disk, p.snapshot = lost, versions[version]
	p.floor, p.sent = lostFloor, lostAt
}
