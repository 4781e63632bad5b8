package socket

import (
	"net"

	"golang.org/x/sys/unix"
)

// receiveBufferOf returns how many bytes the system keeps for a socket. The kernel doubles what it
// was asked for, for its own needs, and reports the double.
func receiveBufferOf(c *net.UDPConn) (size int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		size, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return size / 2, err == nil && failed == nil
}
