// Package tempfile makes files that are gone with the process, for what does not fit into memory.
package tempfile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// Err is wrapped by every error that says that such a file cannot be made, written or read.
var Err = errors.New("tools: temporary file")

// A File has no name, where the system allows that.
type File struct{ *os.File }

// Make makes a file in a directory; "" is os.TempDir.
func Make(dir string) (*File, error) {
	file, err := os.CreateTemp(dir, "gcd-tool-*")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", Err, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Remove(file.Name()); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return &File{file}, nil
}

// Reopen opens the file anew, for reading.
func (f *File) Reopen() (*os.File, error) { return reopen(f.File) }

// Close closes the file, which is gone then.
func (f *File) Close() error {
	err := f.File.Close()
	if runtime.GOOS == "windows" {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
