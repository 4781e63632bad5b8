//go:build unix

package tempfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// reopen gives another descriptor of a file, which may have no name.
func reopen(file *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}
