package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// EnclosingStore is the directory of the store that a file is within, or would be, also by links:
// the file could replace a part of that store there. It is empty if there is no such store. A
// directory counts as one of a store if it has two of a store's three files, so that one may be
// missing, and so that another program's LOCK is not enough. It also counts if it is a known one.
// The error says why the file cannot be in its directory.
func EnclosingStore(file string, known ...string) (string, error) {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return "", err
		}
		same := func(dir string) bool {
			other, err := os.Stat(dir)
			return err == nil && os.SameFile(info, other)
		}
		n, err := Files(dir)
		if err != nil {
			return "", err
		}
		if n >= 2 || slices.ContainsFunc(known, same) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", nil
		}
		dir = filepath.Dir(dir)
	}
}

// Files counts those of a store's three files that a directory has: lock, snapshot and log.
func Files(dir string) (n int, err error) {
	for _, path := range []string{LockPath(dir), SnapshotPath(dir), LogDir(dir)} {
		if _, err := os.Lstat(path); err == nil {
			n++
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return n, nil
}
