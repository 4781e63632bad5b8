package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Sync is fdatasync: it leaves out the times, which would cost another write of the inode, and
// nothing that is needed to read the bytes.
func (f *osFile) Sync() error {
	var syncErr error
	err := f.conn.Control(func(fd uintptr) {
		syncErr = uninterrupted(func() error { return unix.Fdatasync(int(fd)) })
	})
	if err != nil { // Control fails only on a file that was closed
		syncErr = fs.ErrClosed
	}
	if syncErr != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.file.Name(), Err: syncErr}
	}
	return nil
}

// uninterrupted repeats a call that a signal broke off (EINTR). It repeats after no other error: a
// sync that failed has dropped the error's traces, and the next one would claim success.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Exchange implements FS. Some file systems cannot do it.
func (OS) Exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSUP):
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
}
