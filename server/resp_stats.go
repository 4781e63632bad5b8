package server

import (
	"strings"
	"sync/atomic"
	"time"
)

// What INFO tells of commands and of errors. Commands are counted in the turn of their connection,
// without anything that others see, and added up once a turn of the loop, or of the connection with
// goroutines. Time is read once for all of them.

// commandUse is how often a command was run, and what that took.
type commandUse struct{ calls, nanos atomic.Uint64 }

// runs is how often a command was run in a turn; nil is one that there is not, or that was not run.
type runs struct {
	command *command
	n       int
}

// turnRuns are those of all commands in a turn but INCR, which is what is left: nothing is done for
// each of them.
type turnRuns []runs

// add counts n more of a command.
func (r *turnRuns) add(c *command, n int) {
	for i := range *r {
		if one := &(*r)[i]; one.command == c {
			one.n += n
			return
		}
	}
	*r = append(*r, runs{c, n}) // no more than there are commands
}

// commandTimes shares the time of turns among the commands that were run in them.
type commandTimes struct {
	all    int // commands
	others turnRuns
	took   time.Duration
}

// finish takes over what a connection has run in a turn that is answered.
func (t *commandTimes) finish(x *exchange) {
	t.all += x.taken + x.inside
	for _, one := range x.ran {
		t.others.add(one.command, one.n)
	}
	x.ran, x.taken, x.inside = x.ran[:0], 0, 0
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
		incrs -= one.n
		if one.command != nil {
			one.command.use.add(one.n, each)
		}
	}
	if incrs > 0 {
		d.incr.use.add(incrs, each)
	}
	*t = commandTimes{others: t.others[:0]}
}

func (u *commandUse) add(n int, each time.Duration) {
	u.calls.Add(uint64(n))
	u.nanos.Add(uint64(n) * uint64(each))
}

// errorWords are the first words of the errors that there are, by which programs tell them apart.
var errorWords = [...]string{"ERR", "BUSY", "EXECABORT", "LOADING", "MISCONF", "NOPERM", "NOPROTO", "OOM"}

// errorCounts counts errors by their first word, which is the first of errorWords if it is none.
type errorCounts [len(errorWords)]atomic.Uint64

func (e *errorCounts) note(text string) {
	word, _, _ := strings.Cut(text, " ")
	for i := range errorWords {
		if word == errorWords[i] {
			e[i].Add(1)
			return
		}
	}
	e[0].Add(1)
}

// all is how many errors there were.
func (e *errorCounts) all() (n uint64) {
	for i := range e {
		n += e[i].Load()
	}
	return n
}
