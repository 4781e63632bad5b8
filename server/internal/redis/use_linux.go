package redis

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// readUse asks the system what the process uses. What it does not tell is 0.
func readUse() processUse {
	var u processUse
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil { // sizes in pages: all, and what is in memory
		if fields := bytes.Fields(statm); len(fields) > 1 {
			pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
			u.resident = pages * uint64(os.Getpagesize())
		}
	}
	var system unix.Sysinfo_t
	if unix.Sysinfo(&system) == nil {
		u.systemMemory = uint64(system.Totalram) * uint64(system.Unit)
	}
	var own, children unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &own) == nil && unix.Getrusage(unix.RUSAGE_CHILDREN, &children) == nil {
		u.user, u.system = time.Duration(own.Utime.Nano()), time.Duration(own.Stime.Nano())
		u.childrenUser, u.childrenSystem = time.Duration(children.Utime.Nano()), time.Duration(children.Stime.Nano())
		u.processor = true
	}
	return u
}
