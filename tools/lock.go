package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"gcd/store"
)

// holdsStore says whether a directory has any file of a store.
func holdsStore(dir string) (bool, error) {
	for _, path := range []string{store.LockPath(dir), store.SnapshotPath(dir), store.LogDir(dir)} {
		if _, err := os.Lstat(path); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// InUse says whether another process has a store's directory: a server, or a tool. It may be otherwise a moment later.
func InUse(dir string) (bool, error) {
	lock := flock.New(store.LockPath(dir), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", dir, err)
	}
	return !free, lock.Close()
}

// lockDir takes the lock of a store's directory, as a server does; store.ErrLocked if a process has it. A directory without any
// file of a store has none to take.
func lockDir(dir string) (release func() error, err error) {
	ours, err := holdsStore(dir)
	if err != nil {
		return nil, err
	}
	if !ours {
		return func() error { return nil }, nil
	}
	lock := flock.New(store.LockPath(dir), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", store.ErrLocked, dir)
	}
	return lock.Unlock, nil
}
