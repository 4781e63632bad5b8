// Package reload reads anew what may change while a server runs, when a signal asks for it and now
// and then without one.
package reload

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Every is the time between two looks at what may have changed: whoever writes a file may be unable
// to send a signal, as Kubernetes is.
const Every = 30 * time.Second

// Thing is something that is read anew. If there is anything wrong with what is there now, what was
// read before stays.
type Thing struct {
	Name     string // of what was reloaded, in a sentence
	Reload   func() (changed bool, err error)
	Says     func() []any // names and values for the log, after a change; nil: nothing
	OnSignal bool         // only a signal has it read anew, and no look
}

// Options of a Loop.
type Options struct {
	Things []Thing       // in the order in which they are read
	Every  time.Duration // between two looks; default Every
	Log    hclog.Logger
	// Changed is told in words what has changed, before the log is; nil: nobody is.
	Changed func(what string)
	// Around does what a signal asks for, and may tell somebody before and after; nil: it is done.
	Around func(do func())
}

// Loop looks again and again, on a goroutine of its own: a file may be slow to read, and nobody
// waits for that.
type Loop struct {
	Options
	warned []string // by thing: the error that the log has; "": what was read last is right

	asked         chan struct{}
	enough, ended chan struct{}
}

// Start makes a loop and starts its goroutine, which Stop ends.
func Start(o Options) *Loop {
	if o.Every <= 0 {
		o.Every = Every
	}
	l := &Loop{
		Options: o, warned: make([]string, len(o.Things)),
		asked:  make(chan struct{}, 1), // one is as good as many
		enough: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// Ask has everything read anew soon, as a signal does. It does not wait.
func (l *Loop) Ask() {
	select {
	case l.asked <- struct{}{}:
	default:
	}
}

// Stop ends the loop. It waits for a read that is under way, but at most for timeout: one that
// hangs ends with the process.
func (l *Loop) Stop(timeout time.Duration) {
	close(l.enough)
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-l.ended:
	case <-late.C:
	}
}

func (l *Loop) run() {
	defer close(l.ended)
	tick := time.NewTicker(l.Every)
	defer tick.Stop()
	for {
		select {
		case <-l.enough:
			return
		case <-tick.C:
			l.look(false)
		case <-l.asked:
			if l.Around == nil {
				l.look(true)
			} else {
				l.Around(func() { l.look(true) })
			}
		}
	}
}

// look reads everything anew. asked says that a signal asked for it, and wants to be answered.
func (l *Loop) look(asked bool) {
	if asked && len(l.Things) == 0 {
		l.Log.Info("reloaded: there is nothing that is read anew while the server runs", "signal", "hangup")
	}
	for i := range l.Things {
		if asked || !l.Things[i].OnSignal {
			l.reload(&l.Things[i], &l.warned[i], asked)
		}
	}
}

func (l *Loop) reload(one *Thing, warned *string, asked bool) {
	changed, err := one.Reload()
	if err != nil {
		if text := err.Error(); asked || text != *warned {
			*warned = text
			l.Log.Warn("cannot reload: what was read before stays", "what", one.Name, "error", err)
		}
		return
	}
	wasWrong := *warned != ""
	*warned = ""
	switch {
	case changed:
		var said []any
		if one.Says != nil {
			said = one.Says()
		}
		if l.Changed != nil {
			l.Changed(one.Name + inWords(said))
		}
		l.Log.Info("reloaded", append([]any{"what", one.Name}, said...)...)
	case wasWrong:
		l.Log.Info("reloaded: it is right again, and as it was before", "what", one.Name)
	case asked:
		l.Log.Info("reloaded: it has not changed", "what", one.Name)
	}
}

// inWords are names and values, each pair after a comma.
func inWords(said []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(said); i += 2 {
		fmt.Fprintf(&b, ", %v %v", said[i], said[i+1])
	}
	return b.String()
}
