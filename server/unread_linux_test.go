package server_test

import (
	"errors"
	"syscall"
)

// smallSegments is for a net.Dialer whose connection is not to be read: of a connection with small
// segments the system keeps a tenth of a MB that its client has not taken, and else some MB over
// the loopback, which a busy machine takes a minute to fill for a dozen clients.
func smallSegments(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = errors.Join(syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10))
	})
	return errors.Join(err, failed)
}
