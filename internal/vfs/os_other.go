//go:build !linux

package vfs

// Sync is the strongest that package os has: F_FULLFSYNC on darwin, FlushFileBuffers on Windows.
func (f *osFile) Sync() error {
	return f.file.Sync()
}
