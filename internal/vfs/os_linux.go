package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Sync is fdatasync: it leaves out the times, which would cost another write of the inode, and nothing that is needed to
// read the bytes.
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

// uninterrupted repeats a call that a signal broke off (EINTR). It repeats after no other error: a sync that failed
// has dropped the error's traces, and the next one would claim success.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
