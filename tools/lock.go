package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gcd/internal/dirlock"
	"gcd/store"
)

// InUse says whether another process has a store's directory: a server, or a tool. It may be
// otherwise a moment later.
func InUse(dir string) (bool, error) {
	lock, err := dirlock.Read(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil || lock == nil {
		return err == nil, err
	}
	return false, lock.Release()
}

// lockWait is how long a tool that writes waits for another one that has the directory, unless it
// is told otherwise.
const lockWait = 10 * time.Second

// lockDir takes a store's directory for a tool that changes it: store.ErrLocked if a server has it,
// and store.ErrBusy if another tool keeps it for longer than wait; 0: lockWait, negative: no wait.
// Of a directory that holds no store it is store.ErrNoStore, and nothing is made in it.
func lockDir(ctx context.Context, dir string, wait time.Duration) (*dirlock.Lock, error) {
	if wait == 0 {
		wait = lockWait
	}
	return dirlock.Own(ctx, dir, dirlock.Options{Wait: wait, Admit: func() error {
		there, err := store.Holds(dir)
		if err == nil && !there {
			err = fmt.Errorf("%w: %s", store.ErrNoStore, dir)
		}
		return err
	}})
}
