package vfs

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSyncRepeatsOnlyInterruptedCalls(t *testing.T) {
	t.Parallel()
	for _, last := range []error{nil, unix.EIO, unix.EAGAIN} {
		calls := 0
		err := uninterrupted(func() error {
			calls++
			if calls < 4 {
				return unix.EINTR
			}
			return last
		})
		if !errors.Is(err, last) || calls != 4 {
			t.Errorf("%v after %d calls, want %v after 4", err, calls, last)
		}
	}
}

// An error of the disk reaches the caller: a pipe cannot be synced.
func TestSyncError(t *testing.T) {
	t.Parallel()
	name := t.TempDir() + "/pipe"
	must(t, unix.Mkfifo(name, 0o600))
	pipe, err := os.OpenFile(name, os.O_RDWR, 0) // for both, so it does not wait for another end
	must(t, err)
	f, err := newOSFile(pipe)
	must(t, err)
	defer f.Close()
	wantErr(t, f.Sync(), unix.EINVAL)
}

// SyncDir asks the file system: that of /proc cannot sync.
func TestSyncDirError(t *testing.T) {
	t.Parallel()
	wantErr(t, OS{}.SyncDir("/proc/self"), unix.EINVAL)
}
