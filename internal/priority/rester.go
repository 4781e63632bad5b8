package priority

import (
	"context"
	"time"
)

// A Rester makes a work rest for nine times as long as it worked, so that it takes a tenth of one
// processor. A dump is work for seconds, and a count may have to wait for the piece of it that is
// under way: so pieces are few, and much shorter than a busy server takes for an answer.
type Rester struct {
	now     func() time.Time
	sleep   func(time.Duration)
	resumed time.Time // when the last rest ended; zero before the first
}

const (
	leastWork = 100 * time.Microsecond // less is gone on with
	restRatio = 9                      // rest : work
	longRest  = 10 * time.Millisecond  // the longest: the work may have waited itself, for a client
)

// NewRester makes one whose rests end with ctx.
func NewRester(ctx context.Context) *Rester {
	return &Rester{now: time.Now, sleep: func(d time.Duration) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}}
}

// Rest is called between small pieces of the work, on its goroutine.
func (r *Rester) Rest() {
	now := r.now()
	if r.resumed.IsZero() {
		r.resumed = now
	}
	worked := now.Sub(r.resumed)
	if worked < leastWork {
		return
	}
	r.sleep(min(restRatio*worked, longRest))
	r.resumed = r.now()
}
