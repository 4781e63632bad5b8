//go:build linux || darwin

package vfs

import "golang.org/x/sys/unix"

// Free is how many bytes may still be written where a directory is.
func Free(dir string) (int64, bool) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
