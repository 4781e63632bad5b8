//go:build unix

package socket

import (
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnixPath is how many bytes the path of a unix socket may have; a zero byte comes after it.
const maxUnixPath = len(unix.RawSockaddrUnix{}.Path) - 1

// queue is how many connections wait at a unix socket at most, to be accepted. The system may allow
// less.
const queue = 4096

// listenUnix sets the mode before anybody can connect: between bind and listen a socket refuses.
func listenUnix(path string, mode fs.FileMode) (*net.UnixListener, error) {
	syscall.ForkLock.RLock() // no child gets it
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // the listener has a descriptor of its own
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, &os.PathError{Op: "bind", Path: path, Err: err}
	}
	err = os.Chmod(path, mode)
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, queue))
	}
	var l net.Listener
	if err == nil {
		l, err = net.FileListener(file)
	}
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	return l.(*net.UnixListener), nil
}
