// Package throttle makes long work rest, so that it is not in the way of short work.
package throttle

import (
	"context"
	"time"
)

// A Throttle makes work rest for nine times as long as it worked, so that it takes a tenth of one
// processor. A dump is work for seconds, and a count may have to wait for the piece of it that is
// under way: so a piece is much shorter than a busy server takes for an answer.
type Throttle struct {
	now     func() time.Time
	sleep   func(time.Duration)
	resumed time.Time // when the last rest ended; zero before the first
}

const (
	leastWork = 100 * time.Microsecond // with less than this it goes on
	restRatio = 9                      // rest : work
	longRest  = 10 * time.Millisecond  // at most: the work may itself have waited for a client
)

// New makes one whose rests end with ctx.
func New(ctx context.Context) *Throttle {
	return &Throttle{now: time.Now, sleep: func(d time.Duration) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}}
}

// Rest is called between small pieces of the work, on its goroutine.
func (t *Throttle) Rest() {
	now := t.now()
	if t.resumed.IsZero() {
		t.resumed = now
	}
	worked := now.Sub(t.resumed)
	if worked < leastWork {
		return
	}
	t.sleep(min(restRatio*worked, longRest))
	t.resumed = t.now()
}
