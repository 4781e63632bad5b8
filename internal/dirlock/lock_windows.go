package dirlock

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

type mode uint32

const (
	exclusive mode = windows.LOCKFILE_EXCLUSIVE_LOCK
	shared    mode = 0
)

// lock takes the lock of an open file, if it is free. Of a directory there is none:
// errors.ErrUnsupported.
func lock(f *os.File, how mode) (free bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return false, errors.ErrUnsupported
	}
	flags := uint32(how) | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, os.NewSyscallError("LockFileEx", err)
}

// unlock does nothing: closing the file gives its lock back.
func unlock(*os.File) error { return nil }

// openDir opens a directory, and nothing else.
func openDir(path string) (held, error) {
	f, err := os.Open(path)
	if err != nil {
		return held{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: windows.ERROR_DIRECTORY}
	}
	if err != nil {
		return held{}, errors.Join(err, f.Close())
	}
	return held{f, info}, nil
}

// notThere says that an error of looking at a name means that the name is gone.
func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
