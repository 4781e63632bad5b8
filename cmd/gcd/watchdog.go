package main

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
)

// watchdog tells the service manager again and again that the server lives, for as long as it does:
// each worker goes round, and no commit waits for longer than timeout. A slow disk does not
// make a server hang.
type watchdog struct {
	timeout time.Duration               // after so long without a notice the manager ends the server
	alive   func(context.Context) error // returns when everything has gone round
	tell    func()
	log     hclog.Logger
}

// run asks, and tells twice within timeout, until ctx ends. It does not wait for an answer: the
// server may hang, and the goroutine that asks ends when it answers, or with ctx.
func (w *watchdog) run(ctx context.Context) {
	answers := make(chan error, 1)
	var asked time.Time // the question that is not answered; zero: none
	hangs := false
	tick := time.NewTicker(w.timeout / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-answers:
			if err != nil {
				return // the server has ended
			}
			asked = time.Time{}
			if hangs {
				hangs = false
				w.log.Warn("goes on after all: the service manager is told so", "watchdog_seconds",
					w.timeout.Seconds())
			}
		case now := <-tick.C:
			if asked.IsZero() {
				asked = now
				go func() { answers <- w.alive(ctx) }()
			}
			if now.Sub(asked) < w.timeout {
				w.tell()
			} else if !hangs {
				hangs = true
				w.log.Error("hangs: a worker or a commit does not go on, so the service manager is not told that the "+
					"server lives",
					"watchdog_seconds", w.timeout.Seconds())
			}
		}
	}
}
