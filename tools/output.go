package tools

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gcd/internal/vfs"
)

// WriteFile makes a file, mode 0600, whose content write writes. It is there whole and durable when WriteFile returned nil; after an
// error what had its name before is there still. Something beside it named .NAME-* is left only by a process that was killed.
func WriteFile(name string, write func(io.Writer) error) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := (vfs.OS{}).SyncDir(dir); err != nil {
		return fmt.Errorf("%s is there, but perhaps not durably: %w", name, err)
	}
	return nil
}
