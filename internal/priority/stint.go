package priority

import (
	"runtime"
	"time"
)

// longestStint is half of what Go's monitor allows.
const longestStint = 5 * time.Millisecond

// Stint is how long a loop that waits in system calls alone has run since its goroutine went
// through Go's scheduler. After 10 ms of it the runtime's monitor takes the goroutine for one that
// keeps others from running, for ever: it signals its thread, takes the processor (P) away in each
// system call that it meets, and looks again 20 µs later instead of falling asleep. That cost a
// sixth of the processor time of a request that is alone, and a tenth of its rate (retake in
// runtime/proc.go, go1.26). A loop that ends its stints itself is left alone. The zero value is
// ready.
type Stint struct{ began time.Duration }

// Turn is to be called once in each turn of the loop. It goes through the scheduler when the stint
// has been long, and says whether it did. now is of a clock that does not go back.
func (s *Stint) Turn(now time.Duration) bool {
	if now-s.began < longestStint {
		return false
	}
	s.began = now
	runtime.Gosched()
	return true
}
