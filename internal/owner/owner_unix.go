//go:build unix

package owner

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// id is a user.
type id uint32

func (i id) root() bool { return i == 0 }

// String is the user's name and number.
func (i id) String() string {
	number := strconv.FormatUint(uint64(i), 10)
	if u, err := user.LookupId(number); err == nil {
		return fmt.Sprintf("%s (uid %s)", u.Username, number)
	}
	return "uid " + number
}

// ids are the user to whom a file belongs and the one as whom this process runs.
func ids(path string) (theirs, me id, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return id(stat.Uid), id(os.Geteuid()), true
}

// Keep gives a tree, or one file, the owner of the directory that it is made in, or of what it
// replaces, if this process is root: the server's user must be able to open it.
func Keep(from, tree string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || stat.Uid == 0 && stat.Gid == 0 {
		return nil
	}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(stat.Uid), int(stat.Gid))
	})
}
