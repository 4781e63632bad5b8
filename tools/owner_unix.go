//go:build unix

package tools

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives a tree the owner of what it takes the place of: root may restore for the user whom the server runs as.
func keepOwner(from, tree string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 && owner.Gid == 0 {
		return nil
	}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
