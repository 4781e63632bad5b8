package server

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls on sockets that a loop makes for every request, without the allocations that the general ones make. Sockets
// are non-blocking, and EINTR is tried again.

// acceptSocket accepts a connection. Its errors are unix.Errno values.
func acceptSocket(listener int) (int, netip.AddrPort, error) {
	var name unix.RawSockaddrInet6 // is long enough for IPv4, too
	for {
		length := uint32(unix.SizeofSockaddrInet6)
		fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&name)),
			uintptr(unsafe.Pointer(&length)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return -1, netip.AddrPort{}, errno
		}
		return int(fd), addrPort(&name), nil
	}
}

// localAddr is getsockname(2); the zero AddrPort if it fails.
func localAddr(fd int) netip.AddrPort {
	var name unix.RawSockaddrInet6
	length := uint32(unix.SizeofSockaddrInet6)
	unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&length)))
	return addrPort(&name)
}

// readSocket is read(2). The call never blocks, so the scheduler need not hear of it.
func readSocket(fd int, b []byte) (int, error) { return transfer(unix.SYS_READ, fd, b, 0) }

// writeSocket is write(2), likewise.
func writeSocket(fd int, b []byte) (int, error) { return transfer(unix.SYS_WRITE, fd, b, 0) }

// writeLast is writeSocket for the last that a connection is sent. The system keeps it until the connection is shut down or closed, which has
// to be next, so that both leave in one segment: the receiver wakes up once and acknowledges once.
func writeLast(fd int, b []byte) (int, error) { return transfer(unix.SYS_SENDTO, fd, b, unix.MSG_MORE) }

func transfer(call uintptr, fd int, b []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return -1, errno
		}
		return int(n), nil
	}
}

// addrPort translates a socket address; an unknown family gives the zero AddrPort.
func addrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	switch name.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), port)
	}
	return netip.AddrPort{}
}

// message is the kernel's struct mmsghdr.
type message struct {
	unix.Msghdr
	length uint32
}

// receiveMessages receives up to len(ms) datagrams.
func receiveMessages(fd int, ms []message) (int, error) { return messages(unix.SYS_RECVMMSG, fd, ms) }

// sendMessages sends datagrams in order. It returns how many it sent, and an error if it could not send the first.
func sendMessages(fd int, ms []message) (int, error) { return messages(unix.SYS_SENDMMSG, fd, ms) }

func messages(call uintptr, fd int, ms []message) (int, error) {
	for {
		n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(ms))), uintptr(len(ms)),
			unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
}
