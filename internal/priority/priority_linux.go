package priority

import "golang.org/x/sys/unix"

// lower needs no rights.
func lower() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
}
