//go:build linux && (amd64 || arm64)

package powertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What <linux/seccomp.h> has and package unix has not.
const (
	setModeFilter = 1
	threadSync    = 1
	newListener   = 8
	threadSyncErr = 16 // the error of a thread that cannot be had is ESRCH
	userNotify    = 0x7fc00000
	allow         = 0x7fff0000
	receive       = 0xc0502100
	send          = 0xc0182101
	goOn          = 1
)

// notification is a call that is held up.
type notification struct {
	id       uint64
	pid      uint32
	flags    uint32
	call     int32
	arch     uint32
	ip       uint64
	argument [6]uint64
}

// response lets a call through, or fails it.
type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// A listener is told of calls of this process.
type listener int

// listen has calls held up from now on, by their numbers, on whatever thread they are made.
// ErrUnsupported if this system cannot.
func listen(calls []int32) (listener, error) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt: uint8(len(calls) - i), K: uint32(call)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allow},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: userNotify})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}

	runtime.LockOSThread() // both calls are about it first
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, threadSync|newListener|threadSyncErr,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, fmt.Errorf("%w: %w", ErrUnsupported, errno)
	}
	return listener(fd), nil
}

// serve asks each about the calls, one after the other, as long as the process lives: an error is
// what the call ends with, and 0 lets it through.
func (l listener) serve(each func(*notification) unix.Errno) {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), receive,
			uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // a signal, or the call was given up
		}
		answer := response{id: n.id, flags: goOn}
		if errno := each(&n); errno != 0 {
			answer = response{id: n.id, err: -int32(errno)}
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(l), send, uintptr(unsafe.Pointer(&answer)))
	}
}

// text reads a name in the memory of the process.
func text(at uint64) (string, error) {
	b := make([]byte, unix.PathMax)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(os.Getpid(), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err != nil {
		return "", fmt.Errorf("powertest: reading a name: %w", err)
	}
	end := bytes.IndexByte(b[:max(n, 0)], 0)
	if end < 0 {
		return "", errors.New("powertest: a name has no end")
	}
	return string(b[:end]), nil
}

// opened is the name of what a descriptor was opened as.
func opened(fd uint64) (string, error) { return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)) }
