package vfs

import (
	"errors"
	"runtime"
	"syscall"
)

// What Windows says of a full disk: ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
const (
	windowsHandleDiskFull syscall.Errno = 39
	windowsDiskFull       syscall.Errno = 112
)

// NoRoom says whether an error means that the disk, or what its user may use of it, is full.
func NoRoom(err error) bool {
	if runtime.GOOS == "windows" {
		return errors.Is(err, windowsDiskFull) || errors.Is(err, windowsHandleDiskFull) ||
			errors.Is(err, syscall.ENOSPC)
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
