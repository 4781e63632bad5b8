//go:build linux && (amd64 || arm64)

package powertest

import (
	"strings"

	"golang.org/x/sys/unix"
)

// looks are the calls by which files are read, with the place of the name among the arguments; -1:
// the first one is a descriptor. A read of memory that a file is mapped into is none.
var looks = map[int32]struct {
	name  string
	place int
}{
	unix.SYS_OPENAT: {"open", 1}, unix.SYS_FSTAT: {"stat", -1}, unix.SYS_GETDENTS64: {"list", -1},
	unix.SYS_READ: {"read", -1}, unix.SYS_PREAD64: {"read", -1}, unix.SYS_COPY_FILE_RANGE: {"read", -1},
	statByName: {"stat", 1},
}

// Refuse has calls that open, look at, list or read files within root end with the error that
// refuse gives, as those of a disk do that cannot be read; 0 lets a call through. refuse is asked
// about each, one after the other, and must not itself touch what is within root. Names below root
// have to be absolute. It is for the rest of the process's life. ErrUnsupported if this system
// cannot.
func Refuse(root string, refuse func(call, name string) unix.Errno) error {
	numbers := make([]int32, 0, len(looks))
	for number := range looks {
		numbers = append(numbers, number)
	}
	l, err := listen(numbers)
	if err != nil {
		return err
	}
	go l.serve(func(n *notification) unix.Errno {
		look := looks[n.call]
		var name string
		var err error
		if look.place < 0 {
			name, err = opened(n.argument[0])
		} else {
			name, err = text(n.argument[look.place])
		}
		if err != nil || name != root && !strings.HasPrefix(name, root+"/") {
			return 0
		}
		return refuse(look.name, name)
	})
	return nil
}
