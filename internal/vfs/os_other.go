//go:build !linux

package vfs

import (
	"errors"
	"os"
)

// Sync is the strongest that package os has: F_FULLFSYNC on darwin, FlushFileBuffers on Windows.
func (f *osFile) Sync() error {
	return f.file.Sync()
}

// Exchange implements FS. Package os has no way to do it.
func (OS) Exchange(a, b string) error {
	return &os.LinkError{Op: "exchange", Old: a, New: b, Err: errors.ErrUnsupported}
}
