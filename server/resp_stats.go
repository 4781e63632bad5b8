package server

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
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

// commandTimes shares the time of turns among the commands that were run in them.
type commandTimes struct {
	all    int // commands
	others turnRuns
	took   time.Duration
}

// finish takes over what a connection has run in a turn, when there is an answer: whether the client
// is still there to take it is another question.
func (t *commandTimes) finish(x *exchange) {
	t.all += x.taken + x.inside
	for _, one := range x.ran {
		t.others.of(one.command).add(one)
	}
	x.ran, x.taken, x.inside, x.done = x.ran[:0], 0, 0, x.taken
}

// settle tells the server, at the end of a turn that took so long. What turns took that ended
// without an answer goes to the next answers.
func (t *commandTimes) settle(d *respDoor, took time.Duration) {
	t.took += took
	if t.all == 0 {
		return
	}
	each, incrs := t.took/time.Duration(t.all), t.all
	for _, one := range t.others {
		incrs -= one.calls + one.rejected
	}
	if incrs > 0 { // before those of them that were refused are taken back
		d.numbered[0].use.add(runs{calls: incrs}, each)
	}
	for _, one := range t.others {
		if one.command != nil {
			one.command.use.add(one, each)
		}
	}
	*t = commandTimes{others: t.others[:0]}
}

func (r *runs) add(more runs) {
	r.calls += more.calls
	r.rejected += more.rejected
	r.failed += more.failed
}

func (u *commandUse) add(r runs, each time.Duration) {
	u.calls.Add(uint64(r.calls))
	u.nanos.Add(uint64(r.calls) * uint64(each))
	if r.rejected+r.failed > 0 {
		u.rejected.Add(uint64(r.rejected))
		u.failed.Add(uint64(r.failed))
	}
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

// errorWords are the first words of the errors that there are, by which programs tell them apart.
var errorWords = [...]string{"ERR", "BUSY", "EXECABORT", "LOADING", "MISCONF", "NOPERM", "NOPROTO", "OOM"}

// refusedBefore tells whether an error says that the command was not begun, since it could not be
// then or for this client, whatever its arguments are.
func refusedBefore(text string) bool {
	switch errorWords[errorWord(text)] {
	case "BUSY", "LOADING", "MISCONF", "NOPERM", "OOM":
		return true
	}
	return false
}

// errorWord is which of errorWords an error begins with, the first if none.
func errorWord(text string) int {
	word, _, _ := strings.Cut(text, " ")
	return max(0, slices.Index(errorWords[:], word))
}

// errorCounts counts errors by their first word.
type errorCounts [len(errorWords)]atomic.Uint64

// errorTally is as errorCounts, of one exchange.
type errorTally [len(errorWords)]uint32

func (e *errorCounts) note(text string) { e[errorWord(text)].Add(1) }

// all is how many errors there were.
func (e *errorCounts) all() (n uint64) {
	for i := range e {
		n += e[i].Load()
	}
	return n
}
