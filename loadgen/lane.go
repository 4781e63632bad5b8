package loadgen

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// pause is how long a connection rests after a failure, so that a server that is gone or refuses
// does not make the generator spin.
const pause = 10 * time.Millisecond

// run is what all goroutines of a Run share.
type run struct {
	Options
	door     *door
	schedule *schedule
	ledger   *ledger // nil without Verify
	epoch    time.Time
	next     atomic.Uint64 // of Sequential

	reached  atomic.Bool           // something came back, or could have
	attempts atomic.Int64          // requests that were not sent while nothing had come back
	gaveUp   atomic.Pointer[error] // why the run ended before its time
}

// giveUp ends the run: nothing more can come of it, for this reason.
func (r *run) giveUp(reason error) {
	r.gaveUp.CompareAndSwap(nil, &reason)
	r.schedule.stopped.Store(true)
}

// now is the time since the run began, in nanoseconds.
func (r *run) now() int64 { return int64(time.Since(r.epoch)) }

// lane makes requests and takes answers, for one goroutine. It has no sockets.
type lane struct {
	run    *run
	topics *topics
	rec    *recorder
}

// request is one that is under way.
type request struct {
	topic uint64
	due   int64
	floor uint64 // the value that the answer must exceed
}

// inFlight is what one connection has under way.
type inFlight struct {
	requests []request
	greeted  bool // the token was sent over the connection
	asked    bool // and its answer has to come first
	answered int  // how many of them, from the first on
	troubled bool // one of them failed
}

// begin chooses the next requests of a connection and appends them to out, after the token if that
// was not sent yet. When it begins nothing, out comes back as it was: the next request is due in
// wait nanoseconds, or never if wait is negative.
func (l *lane) begin(x *inFlight, out []byte, now int64) (_ []byte, wait int64) {
	r := l.run
	first, n, wait := r.schedule.take(now, r.Pipeline)
	x.requests, x.answered, x.troubled = x.requests[:0], 0, false
	if n > 0 && !x.greeted && r.door.auth != nil {
		out = append(out, r.door.auth...)
		x.greeted, x.asked = true, true
	}
	for i := range n {
		q := request{topic: l.topics.choose(), due: now}
		if r.Rate > 0 {
			q.due = r.schedule.due(first + int64(i))
		}
		if r.ledger != nil {
			q.floor = r.ledger.sending(q.topic)
		}
		x.requests = append(x.requests, q)
		out = r.door.appendRequest(out, q.topic)
	}
	return out, wait
}

// receive takes the answers in data and returns what may be the beginning of another one. whole is
// as for door.firstAnswer. After an error the connection is of no more use, and fail must be
// called, with the class that classOf returns.
func (l *lane) receive(x *inFlight, data []byte, whole bool, now int64) (rest []byte, err error) {
	l.run.reached.Store(true)
	l.rec.mu.Lock()
	defer l.rec.mu.Unlock()
	if x.asked {
		n, err := l.run.door.authAnswer(data, whole)
		if err == errIncomplete {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		x.asked, data = false, data[n:]
	}
	for !x.done() {
		a, n, err := l.run.door.firstAnswer(data, whole)
		if err == errIncomplete {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		data = data[n:]
		q := &x.requests[x.answered]
		x.answered++
		if a.refused != nil {
			x.troubled = true
			l.rec.failed(refused, a.refused)
			continue
		}
		l.rec.answered(q.due, now)
		if l.run.ledger != nil {
			l.run.ledger.received(q.topic, a.sum, q.floor)
		}
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%w: %s", errTwoAnswers, brief(data))
	}
	return nil, nil
}

// ended says that the connection is gone, and the next one begins anew.
func (x *inFlight) ended() { x.greeted, x.asked = false, false }

// done reports whether nothing is under way.
func (x *inFlight) done() bool { return x.answered == len(x.requests) }

// fail ends an exchange: no answer will come to what is left of it, for a reason of this class.
func (l *lane) fail(x *inFlight, c class, err error) {
	n := len(x.requests) - x.answered
	switch {
	case errors.Is(err, ErrNoRESP), errors.Is(err, ErrNotAuthenticated):
		l.run.giveUp(err)
	case c == unknown:
		l.run.reached.Store(true)
	case !l.run.reached.Load() && l.run.attempts.Add(int64(max(n, 1))) >= int64(l.run.Clients*l.run.Pipeline):
		// Nobody is there: everybody has tried.
		l.run.giveUp(fmt.Errorf("%w: %w", ErrNotReached, err))
	}
	l.rec.mu.Lock()
	defer l.rec.mu.Unlock()
	for range max(n, 1) {
		l.rec.failed(c, err)
	}
	if l.run.ledger != nil && c == unknown {
		for _, q := range x.requests[x.answered:] {
			l.run.ledger.lost(q.topic)
		}
	}
	x.answered, x.troubled = len(x.requests), true
}

func (r *run) timedOut() error { return fmt.Errorf("no answer within %v", r.Timeout) }
