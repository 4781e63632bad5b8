package socket

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
)

// How many are let in by the last look at a socket: more than any queue has, where nothing more
// comes to it; and where that cannot be, which a sandbox may forbid, more than a queue usually has,
// so that the look ends however many come.
const (
	WholeQueue = 1 << 20
	UsualQueue = 8 << 10
)

// CloseDoor ends what comes to a listening socket and leaves what has come: the system drops every
// new request for a connection, as if nobody had got it yet, so that who asked asks again. Those in
// the queue can be accepted. Without it a client that is let in between the last accept and the
// close would be reset with what it has sent. At a unix socket who asks is told that nobody
// listens.
func CloseDoor(listener int) error {
	domain, err := unix.GetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err == nil && domain == unix.AF_UNIX {
		return os.NewSyscallError("shutdown", unix.Shutdown(listener, unix.SHUT_RD))
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K} // keeps 0 bytes
	program := unix.SockFprog{Len: 1, Filter: &drop}
	err = unix.SetsockoptSockFprog(listener, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	return os.NewSyscallError("setsockopt", err)
}

// CloseBox is CloseDoor of a socket for datagrams: connected to itself it gets nothing from anybody
// else, and who sends hears that nobody listens. What has come can be received, and answered.
func CloseBox(socket int) error {
	own, err := unix.Getsockname(socket)
	if err == nil {
		err = unix.Connect(socket, own)
	}
	return os.NewSyscallError("connect", err)
}

// AcceptQueued accepts those who have come to a listening socket, with their addresses, and waits
// for nobody. A connection that its client has reset already does not know any more who that was.
func AcceptQueued(l syscall.Conn, each func(net.Conn, netip.AddrPort)) error {
	const most = 1 << 16 // more than any queue has, should closing the door have failed
	return Apply(l, func(listener int) error {
		for range most {
			fd, peer, err := epoll.Accept(listener)
			if err == unix.EAGAIN || err == unix.EINVAL { // of a unix socket that is shut down
				return nil
			}
			if err != nil {
				return os.NewSyscallError("accept", err)
			}
			c, err := Adopt(fd)
			if err != nil {
				return err
			}
			each(c, peer)
		}
		return nil
	})
}

// Apply calls one of the above with c's descriptor.
func Apply(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}
