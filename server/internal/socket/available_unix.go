//go:build unix

package socket

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ReadAvailable reads what is there already, and waits for nothing: os.ErrDeadlineExceeded says
// that nothing is. A read with a deadline that has passed before it begins does not look at all, so
// however short a deadline is set, a goroutine that was late would miss what is there.
func ReadAvailable(nc net.Conn, b []byte) (n int, err error) {
	socket, is := nc.(syscall.Conn)
	if !is { // something is between: what is there may be whole only when more has come
		return readSoon(nc, b)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	nc.SetReadDeadline(time.Time{})
	if rawErr := raw.Read(func(fd uintptr) bool {
		for {
			if n, err = syscall.Read(int(fd), b); err != syscall.EINTR {
				return true
			}
		}
	}); rawErr != nil {
		return 0, rawErr
	}
	switch {
	case err == syscall.EAGAIN:
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// IsBroken tells whether the other side can take nothing more. That it sends nothing more, is no
// sign of that. Where something is between the connection and its socket only a write can tell.
func IsBroken(nc net.Conn) (broken bool) {
	socket, is := nc.(syscall.Conn)
	if !is {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} // which asks for nothing but what is told in any case
		n, _ := unix.Poll(fds, 0)
		broken = n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return broken || err != nil
}
