package redis

import (
	"sync/atomic"
	"time"

	"gcd/server/internal/gate"
)

// What INFO tells of commands and of errors. Commands are counted in the turn of their connection,
// without anything that others see, and added up once a turn of the loop, or of the connection with
// goroutines. Time is read once for all of them.

// commandUse is how often a command was run, and what that took; how often it was refused before it
// was run, and how often it failed when it was, both of which its answer says.
type commandUse struct{ calls, nanos, rejected, failed atomic.Uint64 }

// runs is what became of a command in a turn; nil is one that there is not, or that was queued.
type runs struct {
	command                 *command
	calls, rejected, failed int
}

// turnRuns are those of all commands in a turn but INCR that was done, which is what is left:
// nothing is done for each of them.
type turnRuns []runs

// of finds those of a command.
func (r *turnRuns) of(c *command) *runs {
	for i := range *r {
		if one := &(*r)[i]; one.command == c {
			return one
		}
	}
	*r = append(*r, runs{command: c}) // no more than there are commands
	return &(*r)[len(*r)-1]
}

// reject takes back a call, which is or will be counted, of a command that was refused instead.
func (r *turnRuns) reject(c *command) {
	one := r.of(c)
	one.calls--
	one.rejected++
}

func (r *runs) add(more runs) {
	r.calls += more.calls
	r.rejected += more.rejected
	r.failed += more.failed
}

// Flush tells all clients of commands, at the end of a turn of the goroutine that took so long, if
// it Talked. The time is shared among the commands that were answered; what turns took that ended
// without an answer goes to the next answers.
func (w *Worker) Flush(took time.Duration) {
	w.Talked = false
	w.ranTook += took
	if w.ran == 0 {
		return
	}
	each, incrs := w.ranTook/time.Duration(w.ran), w.ran
	for _, one := range w.others {
		incrs -= one.calls + one.rejected
	}
	if incrs > 0 { // before those of them that were refused are taken back
		use := &w.door.numbered[0].use
		use.calls.Add(uint64(incrs))
		use.nanos.Add(uint64(incrs) * uint64(each))
	}
	for _, one := range w.others {
		if one.command == nil {
			continue
		}
		use := &one.command.use
		use.calls.Add(uint64(one.calls))
		use.nanos.Add(uint64(one.calls) * uint64(each))
		if one.rejected+one.failed > 0 {
			use.rejected.Add(uint64(one.rejected))
			use.failed.Add(uint64(one.failed))
		}
	}
	w.ran, w.others, w.ranTook = 0, w.others[:0], 0
}

// told tells whether INFO tells of the command.
func (u *commandUse) told() bool { return u.calls.Load()+u.rejected.Load()+u.failed.Load() > 0 }

// blame counts an error that a command was answered with; c is nil where there is no such command.
// Of one that was refused for the server's sake nothing was done, so it is no call.
func (x *exchange) blame(c *command, text string) {
	ran := &x.ran
	if x.group.Whole {
		ran = &x.within
	}
	switch {
	case c == nil:
	case c.refused || refusedBefore(text):
		ran.reject(c)
	default:
		ran.of(c).failed++
	}
}

// refusedBefore tells whether an error says that the command was not begun, since it could not be
// then or for this client, whatever its arguments are.
func refusedBefore(text string) bool {
	switch gate.Words[gate.Word(text)] {
	case "BUSY", "LOADING", "MISCONF", "NOAUTH", "NOPERM", "OOM":
		return true
	}
	return false
}

// errorTally is as gate.Errors, of one exchange.
type errorTally [len(gate.Words)]uint32
