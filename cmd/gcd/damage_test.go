package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/client"
	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
	"gcd/store"
	"gcd/wal"
)

const (
	damageClients = 6
	damageTopics  = 3
)

// TestDamagedAfterAKill kills the real server with SIGKILL under load and then damages the end of
// the last segment: a server that is started on that either ends with code 7 and names file and
// offset, or serves every count that was acknowledged. On what was not damaged one serves them.
// GCD_DAMAGE_ROUNDS sets the rounds (default 8).
func TestDamagedAfterAKill(t *testing.T) {
	t.Parallel()
	rounds, _ := strconv.Atoi(os.Getenv("GCD_DAMAGE_ROUNDS"))
	if rounds <= 0 {
		rounds = 8
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := &damageTest{
		binary: scripttest.Build(t, t.TempDir(), "."), data: filepath.Join(t.TempDir(), "data"),
		rand:  rand.New(rand.NewPCG(seed, 0)),
		acked: make([]atomic.Uint64, damageTopics), refused: map[string]int{}, served: map[string]int{},
	}
	for round := range rounds {
		d.round(t, round)
		if t.Failed() {
			t.Fatalf("seed %d: failed in round %d", seed, round)
		}
	}
	refused, kinds := 0, 0
	for _, kind := range damages {
		if refused += d.refused[kind.name]; d.refused[kind.name]+d.served[kind.name] > 0 {
			kinds++
		}
	}
	t.Logf("%d rounds, %d counts acknowledged: refused %v, served with all of them %v", rounds, d.calls.Load(),
		d.refused, d.served)
	// Which of them can be done depends on what the kill left: in a few rounds one may not come.
	if refused == 0 || kinds < len(damages)-2 || rounds >= 100 && kinds < len(damages) {
		t.Errorf("the damage was not tried: refused %v, served %v", d.refused, d.served)
	}
}

type damageTest struct {
	binary, data string
	rand         *rand.Rand
	acked        []atomic.Uint64 // by topic: the highest value that a client was given
	calls        atomic.Int64    // that were acknowledged

	refused, served map[string]int // by the kind of damage
}

// topic is the name of one.
func (d *damageTest) topic(i int) string { return fmt.Sprintf("topic-%d", i) }

// segmentEnd is the last segment of a log, as a kill left it.
type segmentEnd struct {
	path    string
	content []byte
	records []int64 // where each begins
	end     int64   // after the last one
	older   []byte  // the same file, as it was a moment before; nil: it was not there
}

// damages are the ways in which the end of a segment is damaged: what is there instead, and what
// that may be called. nil: it cannot be done here.
var damages = []struct {
	name string
	do   func(r *rand.Rand, s *segmentEnd) []byte
}{
	{"zeros", func(r *rand.Rand, s *segmentEnd) []byte {
		b := bytes.Clone(s.content)
		clear(b[s.from(r):])
		return b
	}},
	{"zeros in the last records", func(r *rand.Rand, s *segmentEnd) []byte {
		b := bytes.Clone(s.content)
		clear(b[s.records[max(0, len(s.records)-1-r.IntN(3))]:])
		return b
	}},
	{"garbage", func(r *rand.Rand, s *segmentEnd) []byte {
		b := bytes.Clone(s.content)
		for i := s.from(r); i < s.end; i++ {
			b[i] = byte(r.Uint32())
		}
		return b
	}},
	{"an older copy", func(_ *rand.Rand, s *segmentEnd) []byte { return s.older }},
	{"cut off", func(r *rand.Rand, s *segmentEnd) []byte { return bytes.Clone(s.content[:s.from(r)]) }},
}

// from is where damage begins: at a record, or within one, so that what is there is not all zeros.
func (s *segmentEnd) from(r *rand.Rand) int64 {
	at := s.records[r.IntN(len(s.records))]
	if r.IntN(2) == 0 {
		at += int64(r.IntN(40))
	}
	return at
}

// round starts the server on what the last kill left, checks it, puts it under load, kills it, and
// damages a copy.
func (d *damageTest) round(t *testing.T, round int) {
	args := append(victimArgs(d.data, []string{"pool", "goroutine"}[round%2]), "--retain", "0")
	if round%4 < 2 { // without snapshots nothing but the mark is witness to the log
		args = append(args, "--snapshot-bytes", "0", "--snapshot-interval", "0")
	}
	p := runVictim(t, exec.Command(d.binary, args...))
	p.waitServing(t)
	d.check(t, p, "what was not damaged")
	older := d.load(t, p)
	p.kill(t)
	end := d.end(t, older)
	if end == nil {
		return // killed before a record
	}
	for i := range damages { // the first from here on that can be done
		kind := damages[(round+i)%len(damages)]
		if b := kind.do(d.rand, end); b != nil && !bytes.Equal(b, end.content) {
			d.damaged(t, round, kind.name, end, b)
			return
		}
	}
	t.Errorf("round %d: nothing could be damaged", round)
}

// load counts until some were acknowledged and kills nothing. It returns copies of the segments,
// made a moment before its end.
func (d *damageTest) load(t *testing.T, p *victim) map[string][]byte {
	t.Helper()
	target := d.calls.Load() + 30 + d.rand.Int64N(400)
	copyAt := target - 1 - d.rand.Int64N(25)
	ctx, stop := context.WithCancel(t.Context())
	reached, early := make(chan struct{}), make(chan struct{})
	var once, onceEarly sync.Once
	var wg sync.WaitGroup
	for i := range damageClients {
		wg.Go(func() {
			c, err := client.New(p.tcp, client.Options{Network: "resp", Timeout: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for n := i; ctx.Err() == nil; n++ {
				value, err := c.Count(ctx, d.topic(n%damageTopics))
				if err != nil {
					return
				}
				for highest := &d.acked[n%damageTopics]; ; {
					if old := highest.Load(); old >= value || highest.CompareAndSwap(old, value) {
						break
					}
				}
				calls := d.calls.Add(1)
				if calls >= copyAt {
					onceEarly.Do(func() { close(early) })
				}
				if calls >= target {
					once.Do(func() { close(reached) })
				}
			}
		})
	}
	wait := func(what chan struct{}) {
		select {
		case <-what:
		case <-p.exited:
			t.Errorf("the server ended by itself: %v\n%s", p.err, p.output())
		case <-time.After(2 * hang):
			t.Error("too few counts in two minutes")
		}
	}
	wait(early)
	older := map[string][]byte{}
	segments, _ := filepath.Glob(filepath.Join(store.LogDir(d.data), "*.seg"))
	for _, path := range segments {
		if b, err := os.ReadFile(path); err == nil {
			older[path] = b
		}
	}
	wait(reached)
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) { // while they count
		t.Error(err)
	}
	receive(t, "the end of a server that was killed", p.exited)
	stop()
	ended(t, "clients of a server that was killed", &wg)
	return older
}

// end reads the last segment.
func (d *damageTest) end(t *testing.T, older map[string][]byte) *segmentEnd {
	t.Helper()
	log, err := wal.Open(store.LogDir(d.data), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	segments := log.Segments()
	last := segments[len(segments)-1]
	s := &segmentEnd{path: last.Path, end: log.Tail().Offset, older: older[last.Path]}
	if last.Last < last.First {
		return nil
	}
	for r, err := range log.Records(last.First) {
		if err != nil {
			t.Fatal(err)
		}
		s.records = append(s.records, r.Offset)
	}
	if s.content, err = os.ReadFile(last.Path); err != nil {
		t.Fatal(err)
	}
	return s
}

// damaged starts a server on a copy whose last segment is damaged.
func (d *damageTest) damaged(t *testing.T, round int, kind string, end *segmentEnd, b []byte) {
	t.Helper()
	what := fmt.Sprintf("round %d, %s", round, kind)
	dir := filepath.Join(t.TempDir(), fmt.Sprintf("damaged-%d", round))
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(d.data)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(store.LogDir(dir), filepath.Base(end.path))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startVictim(t, d.binary, dir, "pool")
	select {
	case <-p.serving:
		d.check(t, p, what)
		p.kill(t)
		d.served[kind]++
		return
	case <-p.exited:
	}
	code := p.cmd.ProcessState.ExitCode()
	line := strings.TrimSpace(p.output())
	if code != cmdline.ExitCorruption || !strings.Contains(line, path) || !strings.Contains(line, "offset") {
		t.Errorf("%s: exit code %d, and it does not name %s and an offset:\n%s", what, code, path, line)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Errorf("%s: the refusal has changed the segment, %v", what, err)
	}
	d.refused[kind]++
}

// check asks for the next value of each topic, and notes it if that is the server whose life goes
// on.
func (d *damageTest) check(t *testing.T, p *victim, what string) {
	t.Helper()
	c, err := client.New(p.tcp, client.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range d.acked {
		value, err := c.Count(t.Context(), d.topic(i))
		if err != nil {
			t.Fatalf("%s: it serves, but cannot be counted at: %v\n%s", what, err, p.output())
		}
		if highest := d.acked[i].Load(); value <= highest {
			t.Errorf("%s: %s is served at %d, but %d was acknowledged\n%s", what, d.topic(i), value-1, highest,
				p.output())
		}
		if slices.Contains(p.cmd.Args, d.data) {
			d.acked[i].Store(value)
		}
	}
}
