package main

import (
	"os"
	"runtime"

	"gcd/server"
)

// waiting is how many more goroutines may be inside of Go's scheduler than there are processors.
const waiting = 2

// allowWaiting lets the loops of a pool wait without being in anybody's way. Go runs as many goroutines at a time as there are processors, and counts one that is in a
// system call as running, until it notices that the call takes long; when nothing else happens it looks each 10 ms only. A loop waits for the disk and for requests in
// system calls, and a snapshot is on a thread that gets a processor when nobody else wants it: while one loop slept and a snapshot was written, the other came back from
// its sync and stood still for 10 to 20 ms, with all processors idle. GOMAXPROCS, if set, is left alone; else Go no longer
// follows limits that change while the server runs.
// Goroutines that wait for requests give their place away by themselves, and gain nothing.
func allowWaiting(dispatch server.Dispatch) {
	if runtime.GOOS != "linux" || dispatch != server.Pool || os.Getenv("GOMAXPROCS") != "" {
		return
	}
	runtime.SetDefaultGOMAXPROCS() // however often this is called
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + waiting)
}
