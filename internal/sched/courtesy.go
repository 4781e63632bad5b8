// Package sched keeps loops that wait in system calls on good terms with Go's scheduler.
package sched

import (
	"runtime"
	"time"
)

// longestStint is half of what Go's monitor allows.
const longestStint = 5 * time.Millisecond

// Courtesy sends a loop that waits in system calls alone through Go's scheduler from time to time.
// When such a goroutine has not been there for 10 ms, the runtime's monitor takes it, for ever, for
// one that keeps others from running: it signals its thread, takes the processor (P) away in each
// system call that it meets, and looks again 20 µs later instead of falling asleep. For a single
// client that was a sixth of the processor time and a tenth of the rate (retake in runtime/proc.go,
// go1.26). The monitor leaves a loop alone that goes there by itself. The zero value is ready.
type Courtesy struct {
	Due time.Duration // when the loop is to Yield, by a clock that does not go back
}

// Yield goes through the scheduler. The loop looks once in each turn whether it is Due.
func (c *Courtesy) Yield(now time.Duration) {
	c.Due = now + longestStint
	runtime.Gosched()
}
