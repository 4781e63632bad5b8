package main

import (
	"os"
	"runtime"

	"gcd/server"
)

// waiting is how many more goroutines Go's scheduler may run than there are processors.
const waiting = 2

// allowWaiting lets the loops of a pool wait without holding others up. Go runs as many goroutines
// at a time as there are processors, and counts one that is in a system call as running, until it
// notices that the call takes long; when nothing else happens it looks each 10 ms only. A loop
// waits for the disk and for requests in system calls, and a snapshot runs on a thread that gets a
// processor only when nobody else wants it: while one loop slept and a snapshot was written, the
// other came back from its sync and stood still for 10 to 20 ms, with all processors idle.
// GOMAXPROCS, if set, is left alone; else Go no longer follows limits that change while the server
// runs. Goroutine dispatch gains nothing by it: a goroutine that waits for a request leaves its
// place to others by itself.
func allowWaiting(dispatch server.Dispatch) {
	if runtime.GOOS != "linux" || dispatch != server.Pool || os.Getenv("GOMAXPROCS") != "" {
		return
	}
	runtime.SetDefaultGOMAXPROCS() // so that a second call adds nothing
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + waiting)
}
