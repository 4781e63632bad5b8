package cmdline

import (
	"io"

	"golang.org/x/sys/unix"
)

// MayBeClosed says whether w may have been closed when the program was started (">&-"). Go's
// runtime opens the null device in its place then, for reading and writing, so that nothing else
// gets its number, and what is written is lost without an error. Some programs open the null device
// so for those that they run; a shell's ">/dev/null" does not.
func MayBeClosed(w io.Writer) bool {
	file := fileOf(w)
	if file == nil {
		return false
	}
	var status unix.Stat_t
	fd := int(file.Fd())
	if unix.Fstat(fd, &status) != nil || status.Mode&unix.S_IFMT != unix.S_IFCHR ||
		uint64(status.Rdev) != unix.Mkdev(1, 3) {
		return false
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}
