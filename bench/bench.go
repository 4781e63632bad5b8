package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gcd/loadgen"
)

// settings says how much is measured.
type settings struct {
	rounds  int           // runs of each cell
	time    time.Duration // of one run
	threads int           // of gcd's own generator
	quick   bool          // a smoke run: small numbers, which mean nothing
}

// scale is a number of topics or connections, smaller in a smoke run.
func (s settings) scale(full, quick int) int {
	if s.quick {
		return quick
	}
	return full
}

// bench is one run of the comparison: what it found on this machine, and what it has started.
type bench struct {
	settings
	ctx      context.Context // ends at an interrupt
	root     string          // a directory of this run's own, on the disk that is measured
	gcd      string          // the binary
	tool     string          // gcd-tool, of the same tree
	against  string          // another gcd, for the group versions
	log      io.Writer       // for people who watch
	started  []*instance
	commands []string // those of this group, for the page
	next     int      // of directories
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

// instance is a server that was started, with a directory of its own.
type instance struct {
	name    string
	process *process
	addr    string
	udp     string // where gcd takes datagrams
	dir     string // "": none
	signal  syscall.Signal
	owner   *bench
}

// adopt makes sure that an instance is stopped at the end, whatever happens.
func (b *bench) adopt(in *instance) *instance {
	in.owner = b
	b.started = append(b.started, in)
	return in
}

// close stops the server and removes its directory.
func (in *instance) close() error {
	err := in.stop()
	if in.dir != "" {
		err = errors.Join(err, os.RemoveAll(in.dir))
	}
	return err
}

// stop stops the server, and leaves its directory.
func (in *instance) stop() error {
	for i, other := range in.owner.started {
		if other == in {
			in.owner.started = append(in.owner.started[:i], in.owner.started[i+1:]...)
			return in.process.stop(in.signal)
		}
	}
	return nil // it was stopped
}

func (in *instance) pid() int { return in.process.command.Process.Pid }

// closeAll ends everything that was started.
func (b *bench) closeAll() error {
	var errs []error
	for len(b.started) > 0 {
		errs = append(errs, b.started[len(b.started)-1].close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.root))...)
}

// newDir makes a directory for a server's data.
func (b *bench) newDir(name string) (string, error) {
	b.next++
	dir := filepath.Join(b.root, fmt.Sprintf("%03d-%s", b.next, strings.ReplaceAll(name, " ", "-")))
	return dir, os.Mkdir(dir, 0o755)
}

// ran notes a command line for the page, once, with what differs from run to run replaced by a word.
func (b *bench) ran(line string, replace ...string) {
	line = strings.NewReplacer(replace...).Replace(line)
	for _, known := range b.commands {
		if known == line {
			return
		}
	}
	b.commands = append(b.commands, line)
}

// point is what one run measured.
type point struct {
	rate     float64 // answers a second
	p50, p99 time.Duration
	cpu      float64 // of the server, user and system, microseconds for each answer
	lost     float64 // datagrams without an answer
}

// subject is a server and a way to put load on it.
type subject struct {
	name string
	in   *instance
	load func(d time.Duration) (load, error) // for about this long
}

// load is what a generator measured.
type load struct {
	answers  uint64
	lost     uint64 // datagrams without an answer
	rate     float64
	p50, p99 time.Duration
}

// measure runs a subject's load once.
func (s *subject) measure(d time.Duration) (point, error) {
	before, err := cpuTime(s.in.pid())
	if err != nil {
		return point{}, err
	}
	got, err := s.load(d)
	if err != nil {
		return point{}, fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := cpuTime(s.in.pid())
	if err != nil {
		return point{}, err
	}
	if got.answers == 0 {
		return point{}, fmt.Errorf("%s answered nothing", s.name)
	}
	cpu := float64((after - before).Microseconds()) / float64(got.answers)
	return point{rate: got.rate, p50: got.p50, p99: got.p99, cpu: cpu, lost: float64(got.lost)}, nil
}

// compare measures subjects in turn, in rounds, each round beginning with the next one. before is called before each round, if it is
// not nil. The first load of each is not measured.
func (b *bench) compare(what string, subjects []*subject, before func() error) (map[string][]point, error) {
	points := make(map[string][]point)
	for _, s := range subjects {
		if _, err := s.load(b.time / 5); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", what, s.name, err)
		}
	}
	for round := range b.rounds {
		if before != nil {
			if err := before(); err != nil {
				return nil, err
			}
		}
		for i := range subjects {
			s := subjects[(i+round)%len(subjects)]
			if err := b.settle(subjects); err != nil {
				return nil, err
			}
			p, err := s.measure(b.time)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			points[s.name] = append(points[s.name], p)
		}
	}
	var line strings.Builder
	for _, s := range subjects {
		fmt.Fprintf(&line, "  %s %s", s.name, perSecond(median(rates(points[s.name]))))
	}
	b.logf("%s:%s", what, line.String())
	return points, nil
}

// settle waits until no server does anything, so that what one does behind its answers does not disturb the next one's run.
func (b *bench) settle(subjects []*subject) error {
	const limit = 50               // looks
	look := 200 * time.Millisecond // longer than gcd's snapshots pause
	if b.quick {
		look /= 8
	}
	total := func() (time.Duration, error) {
		var sum time.Duration
		for _, s := range subjects {
			t, err := cpuTime(s.in.pid())
			if err != nil {
				return 0, fmt.Errorf("%s: %w", s.name, err)
			}
			sum += t
		}
		return sum, nil
	}
	last, err := total()
	for range limit {
		if err != nil {
			return err
		}
		if err := b.pause(look); err != nil {
			return err
		}
		var now time.Duration
		if now, err = total(); err == nil && now-last <= time.Second/ticksPerSecond {
			return nil
		}
		last = now
	}
	return err
}

// pause waits, unless the run is interrupted.
func (b *bench) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}

// generate puts load on a server with gcd's own generator, and fails if the server does not answer everything. Datagrams may get lost.
func (b *bench) generate(o loadgen.Options) (*loadgen.Result, error) {
	r, err := loadgen.Run(b.ctx, o)
	if err != nil {
		return nil, err
	}
	if r.Interrupted {
		return nil, context.Canceled
	}
	for i, n := range []uint64{r.Errors.Refused, r.Errors.NotSent, r.Errors.Unknown} {
		if n > 0 && o.Network != loadgen.UDP {
			return nil, fmt.Errorf("%d requests failed, the first: %w", n, r.Causes[i])
		}
	}
	return r, nil
}

// generated is a subject's load by gcd's own generator.
func (b *bench) generated(o loadgen.Options) func(time.Duration) (load, error) {
	return func(d time.Duration) (load, error) {
		o := o
		o.Duration, o.Warmup, o.Threads = d, d/10, max(o.Threads, b.threads)
		r, err := b.generate(o)
		if err != nil {
			return load{}, err
		}
		quantile := func(q float64) time.Duration { return time.Duration(r.Latency.ValueAtQuantile(q)) }
		return load{answers: r.Ops() + r.Warm, lost: r.Errors.Total(), rate: r.Rate(), p50: quantile(50), p99: quantile(99)}, nil
	}
}

// fill makes topics of 20 bytes, the names that redis-benchmark uses, and adds by to each.
func (b *bench) fill(in *instance, topics int, by uint64) error {
	_, err := b.generate(loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Clients: 8, Pipeline: 256, Prefix: fillPrefix,
		Topics: uint64(topics), Requests: uint64(topics), Dist: loadgen.Sequential, By: by, Timeout: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("filling %s: %w", in.name, err)
	}
	return nil
}

const fillPrefix = "counter:"
