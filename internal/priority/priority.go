// Package priority keeps long work from being in the way of short work.
package priority

import "runtime"

// Least gives the calling goroutine a thread of its own, to its end, which the system runs when
// nobody else wants the processor. It is for work of seconds: at the common priority that has the
// processor for milliseconds at a time, and requests wait as long. The goroutine must not hold what
// others wait for, but for moments, and has to end: so does the thread, and nobody else ever gets
// it. Where the system has no such priority for a thread (it is Linux' SCHED_IDLE), the work goes
// on as it is.
func Least() {
	runtime.LockOSThread()
	lower()
}

// Yield gives the processor to whoever wants it. Work at the least priority is to call it each 50
// microseconds or so: Linux lets such a thread have its turn too, now and then, although others
// want to run, and looks again at the next tick of its clock only, which may be 4 ms later.
// Yielding costs a tenth of a microsecond.
func Yield() { yield() }
