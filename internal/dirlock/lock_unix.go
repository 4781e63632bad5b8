//go:build unix && !aix && !solaris

package dirlock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

type mode int

const (
	exclusive mode = unix.LOCK_EX
	shared    mode = unix.LOCK_SH
)

// lock takes the lock of an open file or directory, if it is free. errors.ErrUnsupported: this file
// system has none for it.
func lock(f *os.File, how mode) (free bool, err error) {
	lockErr, err := flock(f, int(how)|unix.LOCK_NB)
	if err != nil {
		return false, err
	}
	switch lockErr {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	}
	// NFS, for one, wants to write what it locks.
	none := []error{unix.EBADF, unix.ENOTSUP, unix.EOPNOTSUPP, unix.ENOLCK, unix.EINVAL, unix.ENOSYS}
	if slices.Contains(none, lockErr) {
		return false, fmt.Errorf("%w: %w", errors.ErrUnsupported, lockErr)
	}
	return false, os.NewSyscallError("flock", lockErr)
}

// unlock gives the lock of an open file or directory back, if there is one.
func unlock(f *os.File) error {
	_, err := flock(f, unix.LOCK_UN) // fails only where there are no locks
	return err
}

// flock makes the system call. err says that f is closed.
func flock(f *os.File, how int) (lockErr, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = conn.Control(func(fd uintptr) {
		for {
			if lockErr = unix.Flock(int(fd), how); lockErr != unix.EINTR {
				return
			}
		}
	})
	return lockErr, err
}

// openDir opens a directory, and nothing else.
func openDir(path string) (held, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return held{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return held{}, errors.Join(err, f.Close())
	}
	return held{f, info}, nil
}

// notThere says that an error of looking at a name means that the name is gone.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}
