package epoll

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accept accepts a connection, which does not block.
func Accept(listener int) (int, netip.AddrPort, error) {
	var name unix.RawSockaddrInet6 // is long enough for IPv4, too
	length := uint32(unix.SizeofSockaddrInet6)
	fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&name)),
		uintptr(unsafe.Pointer(&length)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(fd), AddrPort(&name), nil
}

// LocalAddr is getsockname(2); the zero AddrPort if it fails.
func LocalAddr(fd int) netip.AddrPort {
	var name unix.RawSockaddrInet6
	length := uint32(unix.SizeofSockaddrInet6)
	unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd),
		uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&length)))
	return AddrPort(&name)
}

// AddrPort translates a socket address; an unknown family gives the zero AddrPort.
func AddrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
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
