package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"gcd/store"
)

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
	files, err := store.Files(dir)
	if err != nil {
		return nil, err
	}
	if files == 0 {
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
