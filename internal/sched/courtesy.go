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
type Courtesy struct{ began time.Duration }

// Turn is to be called once in each turn of the loop. It goes through the scheduler when it has not
// done so for long, and says whether it did. now is of a clock that does not go back.
func (c *Courtesy) Turn(now time.Duration) bool {
	if now-c.began < longestStint {
		return false
	}
	c.began = now
	runtime.Gosched()
	return true
}
