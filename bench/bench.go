package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"gcd/loadgen"
)

// settings are what the command line says.
type settings struct {
	rounds  int           // runs of each cell
	time    time.Duration // of one run
	threads int           // of gcd's own generator
	quick   bool          // a smoke run: small numbers, which mean nothing

	dir     string // where the servers' data goes
	out     string // the page; empty: stdout
	raw     string // the file of raw results
	gcd     string // the binary to measure; empty: it is built
	against string // another gcd, for the group versions
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
	tool     string          // gcd-tool, of the same tree as gcd
	log      io.Writer       // for people who watch
	results  *raw
	started  []*instance
	commands []string // those of this group, for the page
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

// instance is a server that was started, with a directory of its own.
type instance struct {
	name    string
	path    string // of its program
	process *process
	addr    string
	udp     string // where it takes datagrams
	dir     string // its own
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
	return errors.Join(in.stop(), os.RemoveAll(in.dir))
}

// stop stops the server, and leaves its directory.
func (in *instance) stop() error {
	i := slices.Index(in.owner.started, in)
	if i < 0 {
		return nil // it was stopped
	}
	in.owner.started = slices.Delete(in.owner.started, i, i+1)
	return in.process.stop()
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
	return os.MkdirTemp(b.root, strings.ReplaceAll(name, " ", "-")+"-")
}

// ran notes a command line for the page, once, with what differs from run to run replaced by a
// word.
func (b *bench) ran(line string, replace ...string) {
	line = strings.NewReplacer(replace...).Replace(line)
	if !slices.Contains(b.commands, line) {
		b.commands = append(b.commands, line)
	}
}

// loader puts load on a server for about so long.
type loader func(in *instance, d time.Duration) (load, error)

// subject is a server and a way to put load on it, or something else that is measured.
type subject struct {
	name string
	in   *instance // charged with its processor time, and idle before each run; nil: none
	run  func(d time.Duration) (load, error)
}

// cell is one comparison: what several subjects make of the same load.
type cell struct {
	*bench
	name     string // in Go's benchmark format
	subjects []*subject
	servers  []*instance       // of this cell alone
	missing  map[string]string // subjects that are not installed, and how to install them
	err      error             // the first one, after which nothing is measured
}

// newCell names a cell as Go's benchmark format does: name/key=value/...
func (b *bench) newCell(name string, pairs ...any) *cell {
	for i := 0; i < len(pairs); i += 2 {
		name += fmt.Sprintf("/%v=%v", pairs[i], pairs[i+1])
	}
	return &cell{bench: b, name: name, missing: make(map[string]string)}
}

// start starts a server and adds a load on it. It is left out if it is not installed.
func (c *cell) start(name string, start func() (*instance, error), put loader) *instance {
	if c.err != nil {
		return nil
	}
	in, err := start()
	if err == nil {
		c.servers = append(c.servers, in)
		c.load(name, in, put)
	} else if !c.skips(name, err) {
		c.err = err
	}
	return in
}

// load adds a load on a server that is there already.
func (c *cell) load(name string, in *instance, put loader) {
	c.subjects = append(c.subjects, &subject{name, in, func(d time.Duration) (load, error) { return put(in, d) }})
}

// add adds what is measured without a server that is there all the time.
func (c *cell) add(name string, run func() (load, error)) {
	c.subjects = append(c.subjects, &subject{name, nil, func(time.Duration) (load, error) { return run() }})
}

// skips says whether a subject has to be left out, and remembers why.
func (c *cell) skips(name string, err error) bool {
	if !errors.Is(err, errNotInstalled) {
		return false
	}
	if c.missing[name] == "" {
		c.logf("%v", err)
	}
	c.missing[name] = err.Error()
	return true
}

// fill makes topics in all servers that there are so far.
func (c *cell) fill(topics int) {
	for _, in := range c.servers {
		if c.err == nil && topics > 1 {
			c.err = c.bench.fill(in, topics, 1)
		}
	}
}

// measure measures the subjects in turn, in rounds, each round beginning with the next one, stops
// the servers, and returns the runs of each. The first load on each server is not measured.
func (c *cell) measure() (map[string]runs, error) {
	measured := make(map[string]runs)
	for _, s := range c.subjects {
		if c.err == nil && s.in != nil {
			_, c.err = s.run(c.time / 5)
		}
	}
	for round := range c.rounds {
		for i := range c.subjects {
			if s := c.subjects[(i+round)%len(c.subjects)]; c.err == nil {
				got, err := c.turn(s)
				if c.skips(s.name, err) {
					continue
				}
				c.err = err
				measured[s.name] = append(measured[s.name], got.values)
			}
		}
	}
	for _, in := range c.servers {
		if err := in.close(); err != nil {
			c.logf("%v", err)
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, c.err)
	}
	for _, s := range c.subjects {
		c.logf("%s: %s: %s", c.name, s.name, measured[s.name])
	}
	return measured, nil
}

// turn measures one subject, when all servers are idle, and records that.
func (c *cell) turn(s *subject) (load, error) {
	var servers []*instance
	for _, other := range c.subjects {
		if other.in != nil {
			servers = append(servers, other.in)
		}
	}
	if err := c.awaitIdle(servers...); err != nil {
		return load{}, err
	}
	before, err1 := busyTime(s.in)
	got, err2 := s.run(c.time)
	after, err3 := busyTime(s.in)
	if err := errors.Join(err1, err2, err3); err != nil {
		return load{}, fmt.Errorf("%s: %w", s.name, err)
	}
	if got.answers == 0 {
		return load{}, fmt.Errorf("%s answered nothing", s.name)
	}
	if s.in != nil {
		got.values[cpu] = (after - before).Seconds() / float64(got.answers)
	}
	return got, c.results.record(c.name+"/by="+s.name, got)
}

// busyTime is the processor time that servers have used together, of which some may be nil.
func busyTime(servers ...*instance) (sum time.Duration, err error) {
	for _, in := range servers {
		if in != nil && err == nil {
			var used time.Duration
			used, err = cpuTime(in.pid())
			sum += used
		}
	}
	return sum, err
}

// awaitIdle waits until servers do nothing, so that what one does after its answers does not
// disturb the next one's run.
func (b *bench) awaitIdle(servers ...*instance) error {
	every := 200 * time.Millisecond // longer than gcd's snapshots pause
	if b.quick {
		every /= 8
	}
	_, err := b.idle(every, 1, 1, 50, servers...)
	return err
}

// idle waits until servers have used no more than so many ticks from look to look, so many times in
// a row, and says whether that happened within as many looks as limit.
func (b *bench) idle(every time.Duration, ticks, times, limit int, servers ...*instance) (bool, error) {
	last, err := busyTime(servers...)
	for quiet := 0; quiet < times && len(servers) > 0; limit-- {
		if err = errors.Join(err, pause(b.ctx, every)); err != nil || limit == 0 {
			return false, err
		}
		var now time.Duration
		now, err = busyTime(servers...)
		if quiet++; now-last > time.Duration(ticks)*time.Second/ticksPerSecond {
			quiet = 0
		}
		last = now
	}
	return true, err
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// generate puts load on a server with gcd's own generator, and fails if the server does not answer
// everything. Datagrams may get lost.
func (b *bench) generate(o loadgen.Options) (*loadgen.Result, error) {
	r, err := loadgen.Run(b.ctx, o)
	if err != nil {
		return nil, err
	}
	if r.Interrupted {
		return nil, context.Canceled
	}
	if n := r.Errors.Total(); n > 0 && o.Network != loadgen.UDP {
		return nil, fmt.Errorf("%d requests failed, the first of each kind: %w", n, errors.Join(r.Causes[:]...))
	}
	return r, nil
}

// generated is a load by gcd's own generator.
func (b *bench) generated(o loadgen.Options) loader {
	return func(in *instance, d time.Duration) (load, error) {
		o := o
		if o.Addr = in.addr; o.Network == loadgen.UDP {
			o.Addr = in.udp
		}
		o.Duration, o.Warmup, o.Threads = d, d/10, max(o.Threads, b.threads)
		r, err := b.generate(o)
		if err != nil {
			return load{}, err
		}
		got := newLoad(r.Latency, r.Ops()+r.Warm, r.Rate())
		if o.Network == loadgen.UDP {
			got.values[lost] = float64(r.Errors.Total())
		}
		return got, nil
	}
}

// fill makes topics of 20 bytes, the names that redis-benchmark uses, and adds by to each.
func (b *bench) fill(in *instance, topics int, by uint64) error {
	_, err := b.generate(loadgen.Options{
		Network: loadgen.RESP, Addr: in.addr, Clients: 8, Pipeline: 256, Prefix: fillPrefix, Topics: uint64(topics),
		Requests: uint64(topics), Dist: loadgen.Sequential, By: by, Timeout: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("filling %s: %w", in.name, err)
	}
	return nil
}

const fillPrefix = "counter:"
