package socket

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SetInherited sets on the listening socket what connections take over from it, so that it costs a
// loop no call for each of them: answers leave at once, and a client that has vanished is noticed.
func SetInherited(_, _ string, c syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(KeepAlive.Seconds())},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(KeepAlive.Seconds()) / KeepAliveProbes},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, KeepAliveProbes},
		} {
			if err = unix.SetsockoptInt(int(fd), o.level, o.name, o.value); err != nil {
				return
			}
		}
	}
	if controlErr := c.Control(set); controlErr != nil {
		return controlErr
	}
	return os.NewSyscallError("setsockopt", err)
}

// AnswerControl turns the control message that came with a datagram, in place, into the one for its
// answer: from the address that the datagram was sent to, but through whatever interface the routes
// say.
func AnswerControl(control []byte) []byte {
	for rest := control; len(rest) > 0; {
		h, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return nil
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			clear(data[:4]) // struct in_pktinfo begins with the interface's index
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			clear(data[16:20]) // in struct in6_pktinfo it is behind the address
		default:
			return nil
		}
		rest = next
	}
	return control
}
