package client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"gcd/codec"
)

// pipeline carries calls over RESP, many at a time over one connection. Answers come in the order
// of the commands: the oldest command without an answer gets the next one. Whatever else arrives
// ends the connection, so that no call gets the answer of another.
//
// A call waits until a goroutine, run, takes it for the connection that there is or that run makes.
// From that moment on the outcome of a call that gets no answer is unknown, except when the
// connection has ended and took none of the command's bytes: then the call waits again. A second
// goroutine reads the answers while there is a connection.
//
// A server that answers the first PING by a refusal of the counter protocol has no RESP: then the
// pipeline has fallen, for good, and hands its calls on, if it knows who takes them.
type pipeline struct {
	addr           string
	way            way
	token          string        // "": none
	connectTimeout time.Duration // to make a connection
	answerTimeout  time.Duration // for the answer to a command
	most           int           // commands in flight
	logger         *slog.Logger
	// fall takes the calls of a pipeline that has fallen; nil for one that does not.
	fall func([]*Call)
	// backOff waits between two attempts to connect, until a time has passed since the first ended.
	backOff func(ctx context.Context, ended time.Time, pause time.Duration)

	// life ends with close, by the cause ErrClosed.
	life    context.Context
	end     context.CancelCauseFunc
	running sync.WaitGroup
	wake    chan struct{} // wakes run when it is idle and there is something to do

	mu            sync.Mutex
	closed        bool
	started       bool
	idle          bool  // run waits for wake
	waiting       queue // commands that no connection has
	givenUp       int   // since the queue was last gone through; some may have left it
	inFlight      queue // commands that the connection has, and that have no answer
	cancellations cancellations
	conn          net.Conn // the last that there was
	// leaving is the refusal of a server that stops: conn carries nothing more, and what has no
	// answer was not run.
	leaving error
	// forgotten says that the server does not know any more who sent the token: conn carries
	// nothing more, and the next one says it again.
	forgotten error
	guarded   bool // it has a deadline for reading
	fallen    bool

	spoken bool // the server has shown that it has RESP; for run alone
}

// command is a call over RESP.
type command struct {
	Call
	n     uint64    // what a COUNT adds
	ask   *inquiry  // what it asks when that is neither a COUNT nor a RESET, else nil
	since time.Time // when it was taken for the connection

	// Guarded by pipeline.mu. Who changes stage to over must finish the call, and nobody else does.
	stage        stage
	cancellation *cancellation // by the end of its context; nil if that is not watched
	slot         int           // its place in cancellation.commands
}

type stage uint8

const (
	waiting stage = iota
	inFlight
	over
)

// newPipeline returns a pipeline that connects when it is first needed.
func newPipeline(addr string, opts Options) *pipeline {
	p := &pipeline{
		addr:           addr,
		way:            way{opts.Dial, opts.TLS},
		token:          opts.Token,
		logger:         opts.Logger,
		connectTimeout: opts.Timeout,
		answerTimeout:  opts.Timeout,
		most:           opts.MaxInFlight,
		backOff:        backOff,
		wake:           make(chan struct{}, 1),
		cancellations:  make(cancellations),
	}
	p.life, p.end = context.WithCancelCause(context.Background())
	return p
}

// do makes one COUNT or RESET and waits for its end. n is what a COUNT adds, and 1 for a RESET.
func (p *pipeline) do(ctx context.Context, op codec.Op, topic string, n uint64) (uint64, error) {
	cmd := p.begin(ctx, op, topic, n, false)
	p.await(ctx, cmd)
	return cmd.Result()
}

// await waits for the end of a call whose context nobody watches.
func (p *pipeline) await(ctx context.Context, cmd *command) {
	select {
	case <-cmd.Done():
	case <-ctx.Done():
		p.abandon(cmd)
	}
}

// begin starts a COUNT or a RESET. The end of ctx ends it if watched is true, and is the caller's
// affair otherwise.
func (p *pipeline) begin(ctx context.Context, op codec.Op, topic string, n uint64, watched bool) *command {
	cmd := &command{Call: Call{ctx: ctx, op: op, topic: topic}, n: n}
	p.start(cmd, p.check(ctx, topic), watched)
	return cmd
}

// start begins a call, or ends it with the error that is known already.
func (p *pipeline) start(cmd *command, err error, watched bool) {
	p.mu.Lock()
	if err == nil && p.closed {
		err = notSent(ErrClosed)
	}
	if err != nil || p.fallen {
		cmd.stage = over
		p.mu.Unlock()
		if err != nil {
			p.fail(cmd, err)
		} else {
			p.hand([]*command{cmd})
		}
		return
	}
	if watched {
		p.cancellations.add(cmd, p)
	}
	p.waiting.push(cmd)
	if !p.started {
		p.started = true
		p.running.Go(p.run)
	}
	p.rouse()
	p.mu.Unlock()
}

// check returns the error of a call that is not to be sent: for its topic, or because ctx has
// ended.
func (p *pipeline) check(ctx context.Context, topic string) error {
	switch {
	case len(topic) > codec.MaxTopic:
		return tooLong("resp", codec.MaxTopic, len(topic))
	case !utf8.ValidString(topic):
		return &RefusedError{Code: codec.CodeNotUTF8, Text: "encode the topic as UTF-8"}
	case ctx.Err() != nil:
		return notSent(interrupted(ctx))
	}
	return nil
}

// rouse wakes run if it is idle and has something to do. p.mu is held.
func (p *pipeline) rouse() {
	if p.idle && p.waiting.len() > 0 && p.inFlight.len() < p.most {
		p.idle = false
		select {
		case p.wake <- struct{}{}:
		default: // one that run has not seen yet will do
		}
	}
}

// abandon ends a call whose context ended, unless it is over.
func (p *pipeline) abandon(cmd *command) {
	p.mu.Lock()
	was := p.retire(cmd)
	if was == waiting {
		p.forget(1)
	}
	p.mu.Unlock()
	p.giveUp(cmd, was)
}

// abandonAll does that for all commands of a cancellation.
func (p *pipeline) abandonAll(c *cancellation) {
	p.mu.Lock()
	commands, stages := c.commands, make([]stage, len(c.commands))
	p.cancellations.remove(c)
	gone := 0
	for i, cmd := range commands {
		if stages[i] = p.retire(cmd); stages[i] == waiting {
			gone++
		}
	}
	p.forget(gone)
	p.mu.Unlock()
	for i, cmd := range commands {
		p.giveUp(cmd, stages[i])
	}
}

// forget drops what is given up in the queue, once that is most of it: while a server hangs, those
// who give up and try again would fill it. p.mu is held.
func (p *pipeline) forget(n int) {
	if p.givenUp += n; p.givenUp > max(64, p.waiting.len()/2) {
		p.givenUp = 0
		p.waiting.keep(func(cmd *command) bool { return cmd.stage != over })
	}
}

func (p *pipeline) giveUp(cmd *command, was stage) {
	switch was {
	case waiting:
		p.fail(cmd, notSent(interrupted(cmd.ctx)))
	case inFlight:
		p.fail(cmd, unknown(interrupted(cmd.ctx)))
	}
}

// retire makes a command's stage over and returns what it was before: when that is not over, the
// caller has to finish the call. The command may stay in its queue; there it only holds a place.
// p.mu is held.
func (p *pipeline) retire(cmd *command) (was stage) {
	was, cmd.stage = cmd.stage, over
	p.cancellations.forget(cmd)
	return was
}

// failWaiting ends the calls that no connection has.
func (p *pipeline) failWaiting(err error) { p.failAll(&p.waiting, err) }

// failInFlight ends the calls that a connection had when it ended.
func (p *pipeline) failInFlight(err error) { p.failAll(&p.inFlight, err) }

func (p *pipeline) failAll(q *queue, err error) {
	p.mu.Lock()
	failed := p.drain(q)
	p.mu.Unlock()
	for _, cmd := range failed {
		p.fail(cmd, err)
	}
}

// drain empties a queue and returns the commands that the caller has to finish. p.mu is held.
func (p *pipeline) drain(q *queue) (retired []*command) {
	for q.len() > 0 {
		if cmd := q.pop(); p.retire(cmd) != over {
			retired = append(retired, cmd)
		}
	}
	return retired
}

func (p *pipeline) fail(cmd *command, err error) {
	what := ""
	switch {
	case cmd.ask == nil:
		what = asked(cmd.op, cmd.topic)
	case cmd.ask.reads && errors.Is(err, ErrUnknown):
		what, err = cmd.ask.what, &readError{err}
	default:
		what = cmd.ask.what
	}
	cmd.finish(0, requestError(p.addr, "resp", what, err))
}

// fallFor makes the pipeline one that has fallen, logs that, and hands on what waits.
func (p *pipeline) fallFor(cause error) {
	p.mu.Lock()
	p.fallen = true
	waiting := p.drain(&p.waiting)
	p.mu.Unlock()
	p.running.Go(func() {
		p.logger.Warn("the server has no RESP: counting goes on over TCP, with a connection for each call",
			"addr", p.addr, "cause", cause)
	})
	p.hand(waiting)
}

// hand gives on commands that are over here, but those that only RESP carries.
func (p *pipeline) hand(commands []*command) {
	var calls []*Call
	for _, cmd := range commands {
		switch {
		case cmd.ask != nil:
			p.fail(cmd, withoutRESP(cmd.ask.kind))
		case cmd.n != 1:
			p.fail(cmd, withoutRESP("ranges"))
		default:
			calls = append(calls, &cmd.Call)
		}
	}
	p.fall(calls)
}

// close ends every call and both goroutines.
func (p *pipeline) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end(ErrClosed)
	p.running.Wait()
}

// backOff waits until pause has passed since ended, or until ctx ends.
func backOff(ctx context.Context, ended time.Time, pause time.Duration) {
	timer := time.NewTimer(time.Until(ended.Add(pause)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
