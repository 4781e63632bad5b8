package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ownStderr returns what the log is written to. A queue is in front of it, but Go's runtime writes
// to descriptor 2 itself when the program panics or gets SIGQUIT, and that must not wait for ever
// either: the process would stay, and serve nobody. So where stderr is a pipe the server opens it
// anew, not to block, which the others that have it do not notice. A socket, such as that of
// systemd's journal, cannot be opened anew; it is the service's own, and is set not to block. What
// does not fit is then lost. Terminals are left alone, and so is a stderr that cannot be opened.
func ownStderr(stderr *os.File) io.Writer {
	var status unix.Stat_t
	if unix.Fstat(unix.Stderr, &status) != nil {
		return stderr
	}
	fd := -1
	var err error
	switch status.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		if fd, err = unix.Open("/proc/self/fd/2", unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			err = unix.Dup3(fd, unix.Stderr, 0)
		}
	case unix.S_IFSOCK:
		if fd, err = unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = unix.SetNonblock(fd, true)
		}
	default:
		return stderr
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return stderr
	}
	return os.NewFile(uintptr(fd), stderr.Name())
}
