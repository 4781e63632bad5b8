package epoll

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets are non-blocking unless a call says otherwise, so no call waits and none is interrupted:
// EINTR is of calls that wait.

// Read is read(2). The call never blocks, so the scheduler need not hear of it.
func Read(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// Write is send(2), likewise. last says that it is the last that a connection is sent: the system
// keeps it until the connection is shut down or closed, which has to be next, so that both leave in
// one segment, and the receiver wakes up once and acknowledges once.
func Write(fd int, b []byte, last bool) (int, error) {
	flags := uintptr(unix.MSG_NOSIGNAL)
	if last {
		flags |= unix.MSG_MORE
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), flags, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// Message is the kernel's struct mmsghdr.
type Message struct {
	unix.Msghdr
	Length uint32
}

// ReceiveMessages receives up to len(ms) datagrams. The flags are of recvmmsg(2), whose
// MSG_WAITFORONE waits for the first on a socket that blocks.
func ReceiveMessages(fd int, ms []Message, flags int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(ms))),
		uintptr(len(ms)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// SendMessages sends datagrams in order. It returns how many it sent, and an error if it could not
// send the first. The flags are of sendmmsg(2).
func SendMessages(fd int, ms []Message, flags int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(ms))),
		uintptr(len(ms)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
