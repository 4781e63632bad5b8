package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ErrNotReached means that no request reached a server: surely nothing was counted.
var ErrNotReached = errors.New("loadgen: no server was reached")

// ErrNotAuthenticated means that the server does not take the token: surely nothing was counted.
var ErrNotAuthenticated = errors.New("loadgen: the server does not take the token")

// ErrNoRESP means that the server has no RESP: surely nothing was counted.
var ErrNoRESP = errors.New("loadgen: no RESP on this port")

// Result is what a run measured.
type Result struct {
	Options Options // with the defaults filled in

	Elapsed time.Duration           // from the end of the warm-up to the last answer that is measured
	Latency *hdrhistogram.Histogram // of those answers, in nanoseconds; an open loop's from when they were due
	Warm    uint64                  // answers to requests of the warm-up
	Errors  Errors                  // of the whole run, warm-up included
	Causes  [3]error                // the first of the refused, not sent and unknown ones; nil where there is none

	Unsent      uint64        // open loop: due after the warm-up and never sent, since all clients still waited
	Interrupted bool          // the context ended before the run did
	Verified    *Verification // nil without Options.Verify
}

// Ops is how many answers were measured.
func (r *Result) Ops() uint64 { return uint64(r.Latency.TotalCount()) }

// Rate is how many requests were answered in a second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Ops()) / r.Elapsed.Seconds()
}

// Sample is what happened since the last one.
type Sample struct {
	Begin, End time.Time
	Warmup     bool                    // End is in the warm-up
	Left       time.Duration           // of the run; negative when that is not known
	Ops        uint64                  // answers, those of the warm-up included
	Errors     Errors                  // failures
	Latency    *hdrhistogram.Histogram // of measured answers, in nanoseconds; the receiver's to keep
}

// driver drives connections, as a loop or by goroutines.
type driver interface {
	open() error // connects those that stay connected
	drive()      // until nothing is left to send and nothing is under way
	close()
}

// Run puts load on a server as the options say. When ctx ends it sends nothing more, waits for what
// is under way and returns what it has. An error is an *OptionError, wraps ErrNotReached,
// ErrNotAuthenticated or ErrNoRESP, or says what the system lacks; with Own also an *OthersError,
// or it wraps ErrTopicsUnknown or that of ctx.
func Run(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	to, err := findPeer(&o)
	if err != nil {
		return nil, err
	}
	if o.Own != "" {
		if err := findOthers(ctx, to, &o); err != nil {
			return nil, err
		}
	}
	r := &run{Options: o}
	if r.door, err = newDoor(&o); err != nil {
		return nil, err
	}
	r.schedule = newSchedule(&o)
	if o.Verify {
		r.ledger = newLedger(&o)
	}

	r.epoch = time.Now()
	drivers, recorders, err := r.drivers(to)
	defer func() {
		for _, d := range drivers {
			d.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, d := range drivers {
		if err := d.open(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotReached, err)
		}
	}
	return r.drive(ctx, drivers, recorders)
}

// drivers shares the clients out among threads.
func (r *run) drivers(to *peer) ([]driver, []*recorder, error) {
	var drivers []driver
	var recorders []*recorder
	newDriver := newLoop
	if !haveLoops || r.portable || to.secure != nil {
		newDriver = newGoroutines
	}
	threads := min(r.Threads, r.Clients)
	for i := range threads {
		clients := r.Clients / threads
		if i < r.Clients%threads {
			clients++
		}
		rec := newRecorder(r.schedule.measure)
		d, err := newDriver(lane{run: r, topics: newTopics(&r.Options, i, 0, &r.next), rec: rec}, clients, to)
		if err != nil {
			return drivers, nil, err
		}
		drivers, recorders = append(drivers, d), append(recorders, rec)
	}
	return drivers, recorders, nil
}

// drive runs the drivers to their end.
func (r *run) drive(ctx context.Context, drivers []driver, recorders []*recorder) (*Result, error) {
	r.epoch = time.Now() // before any driver begins
	var running sync.WaitGroup
	for _, d := range drivers {
		running.Go(d.drive)
	}
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()

	total := newTally()
	reporter := &reporter{run: r, recorders: recorders, total: &total, begin: r.epoch}
	ticker := time.NewTicker(r.ProgressEvery)
	defer ticker.Stop()
	interrupted := false
	var stopped int64
	for cancelled := ctx.Done(); ; {
		select {
		case <-ticker.C:
			reporter.report()
			continue
		case <-cancelled:
			cancelled, interrupted, stopped = nil, true, r.now()
			r.schedule.stopped.Store(true)
			continue
		case <-ended:
		}
		break
	}
	reporter.report()
	if !interrupted {
		stopped = r.now()
	}

	if reason := r.gaveUp.Load(); reason != nil && total.nothingCounted() {
		return nil, *reason
	}
	result := &Result{
		Options:     r.Options,
		Elapsed:     time.Duration(max(0, total.last-r.schedule.measure)),
		Latency:     total.latency,
		Warm:        total.warm,
		Errors:      total.errors(),
		Causes:      total.first,
		Unsent:      r.schedule.unsent(stopped),
		Interrupted: interrupted,
	}
	if r.ledger != nil {
		result.Verified = r.ledger.verification()
	}
	return result, nil
}

// reporter collects what the recorders have, and reports to the caller of Run.
type reporter struct {
	run       *run
	recorders []*recorder
	total     *tally
	begin     time.Time // of the next sample
}

func (p *reporter) report() {
	now := time.Now()
	part := newTally()
	for _, rec := range p.recorders {
		taken := rec.take()
		part.merge(&taken)
	}
	p.total.merge(&part)
	if p.run.Progress == nil {
		return
	}
	at := int64(now.Sub(p.run.epoch))
	sample := Sample{
		Begin: p.begin, End: now,
		Warmup:  at < p.run.schedule.measure,
		Left:    -1,
		Ops:     part.warm + uint64(part.latency.TotalCount()),
		Errors:  part.errors(),
		Latency: part.latency,
	}
	if p.run.Duration > 0 {
		sample.Left = time.Duration(max(0, p.run.schedule.end-at))
	}
	p.begin = now
	p.run.Progress(sample)
}
