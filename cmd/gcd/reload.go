package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/audit"
)

// reloadEvery is the time between two looks at what may have changed: whoever writes a file may be
// unable to send a signal, as Kubernetes is.
const reloadEvery = 30 * time.Second

// reloadable is something that is read anew while the server runs. If there is anything wrong with
// what is there now, what was read before stays.
type reloadable struct {
	name     string // as in "the log says that NAME was reloaded"
	reload   func() (changed bool, err error)
	says     func() []any // names and values for the log, after a change; nil: nothing
	onSignal bool         // only a signal has it read anew, and no look

	warned string // the error that the log has already; "": what was read last is right
}

// reloader reads again what may change while the server runs, on a goroutine of its own: a file may
// be slow to read, and a signal to stop must not wait for it.
type reloader struct {
	every   time.Duration // between two looks
	all     []*reloadable
	log     hclog.Logger
	manager *manager
	record  func(audit.Record)

	hangup        chan struct{}
	enough, ended chan struct{}
}

// newReloader makes one. Things are read in their order.
func newReloader(s *settings, all []*reloadable) *reloader {
	return &reloader{
		every: reloadEvery, all: all, log: s.log, manager: s.manager, record: s.record,
		hangup: make(chan struct{}, 1), // one is as good as many
		enough: make(chan struct{}), ended: make(chan struct{}),
	}
}

// ask has everything read anew soon, and does not wait.
func (r *reloader) ask() {
	select {
	case r.hangup <- struct{}{}:
	default:
	}
}

// start begins to look. It goes on until end is called, which waits for a reload under way, but
// only a moment: a read may hang, and ends with the process then.
func (r *reloader) start() (end func()) {
	go r.run()
	return func() {
		close(r.enough)
		late := time.NewTimer(drainTime)
		defer late.Stop()
		select {
		case <-r.ended:
		case <-late.C:
		}
	}
}

func (r *reloader) run() {
	defer close(r.ended)
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-r.enough:
			return
		case <-tick.C:
			r.look(false)
		case <-r.hangup:
			r.manager.reload(func() { r.look(true) })
		}
	}
}

// look reads everything anew. asked says that a signal asked for it, and wants to be answered.
func (r *reloader) look(asked bool) {
	if asked && len(r.all) == 0 {
		r.log.Info("reloaded: there is nothing that is read anew while the server runs", "signal", "hangup")
	}
	for _, one := range r.all {
		if asked || !one.onSignal {
			r.reload(one, asked)
		}
	}
}

func (r *reloader) reload(one *reloadable, asked bool) {
	changed, err := one.reload()
	if err != nil {
		if text := err.Error(); asked || text != one.warned {
			one.warned = text
			r.log.Warn("cannot reload: what was read before stays", "what", one.name, "error", err)
		}
		return
	}
	wasWrong := one.warned != ""
	one.warned = ""
	switch {
	case changed:
		var said []any
		if one.says != nil {
			said = one.says()
		}
		r.record(audit.Record{Event: audit.Reload, Reason: one.name + pairs(said)})
		r.log.Info("reloaded", append([]any{"what", one.name}, said...)...)
	case wasWrong:
		r.log.Info("reloaded: it is right again, and as it was before", "what", one.name)
	case asked:
		r.log.Info("reloaded: it has not changed", "what", one.name)
	}
}

// pairs are names and values in words, each after a comma.
func pairs(said []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(said); i += 2 {
		fmt.Fprintf(&b, ", %v %v", said[i], said[i+1])
	}
	return b.String()
}
