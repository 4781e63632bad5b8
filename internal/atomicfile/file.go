// Package atomicfile writes files that appear under their names whole and durable, or not at all.
package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"

	"gcd/internal/vfs"
)

// File is a file in the making, with another name in the same directory. Its mode is 0600.
type File struct {
	*os.File
	name string
	done bool
}

// Create begins a file that will have a name. What has the name already stays until Commit.
func Create(name string) (*File, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is there, and it is no ordinary file", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.part")
	if err != nil {
		return nil, err
	}
	return &File{File: f, name: name}, nil
}

// Commit makes what was written durable and gives it its name, in place of what had it. After an error the name is as it was, or
// has the new file, whose name may then not survive a power loss.
func (f *File) Commit() error {
	err := f.Sync()
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), f.name)
	}
	if err != nil {
		return err
	}
	f.done = true
	return vfs.OS{}.SyncDir(filepath.Dir(f.name))
}

// Discard removes the file if it was not given its name. Calling it again, or behind Commit, does nothing.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	// Nobody depends on either: a file that cannot be removed is left under its other name.
	_ = f.Close()
	_ = os.Remove(f.Name())
}
