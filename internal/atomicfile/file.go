// Package atomicfile writes files that appear under their names whole and durable, or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gcd/internal/vfs"
)

// ErrNotDurable says that the file has its name, whole, and that a power loss may still take the name back.
var ErrNotDurable = errors.New("it is there, but perhaps not durably")

// Write makes a file, mode 0600, whose content write writes. When Write returns nil it is there, whole and durable, in place of what had its
// name, which must be an ordinary file. After an error what had the name is as it was, but for ErrNotDurable. An error of write comes back as it is.
// Something beside it named .NAME.*.part is left only by a process that was killed.
func Write(name string, write func(io.Writer) error) error {
	return writeFile(name, write, vfs.OS{}.SyncDir)
}

func writeFile(name string, write func(io.Writer) error, syncDir func(string) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there, and it is no ordinary file", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.part")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what cannot be removed is left under its other name
		return err
	}
	if err := syncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrNotDurable, err)
	}
	return nil
}
