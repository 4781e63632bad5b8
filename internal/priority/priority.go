// Package priority keeps long work from being in the way of short work.
package priority

import "runtime"

// Least gives the calling goroutine a thread of its own, to its end, which the system runs when nobody else wants the processor. It is for work of seconds:
// at the common priority that has the processor for milliseconds at a time, and requests wait as long. The goroutine must not hold what others wait for, but for moments,
// and has to end: so does the thread, and nobody else ever gets it. Where the system has no such priority for a thread (it is Linux' SCHED_IDLE), the work goes on as it is.
func Least() {
	runtime.LockOSThread()
	lower()
}
