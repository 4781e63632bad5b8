// Package vfs is the seam between gcd and the disk: the few file operations that durability needs
// and nothing else. OS is the real disk; package vfstest has a memory disk that can lose power, and
// a wrapper that lets a test see, fail or shorten every operation.
//
// The contract that every implementation keeps, and that the log and the tools rely on:
//
//   - Bytes written with WriteAt are readable at once, but survive a power loss only after Sync on
//     that file returned nil.
//   - A name that was created, renamed, exchanged or removed survives a power loss only after
//     SyncDir on its directory returned nil. Before that a power loss may undo it, but never by
//     half: what was renamed has at least one of its names, and of two exchanged names both changed
//     or none.
//   - After a Sync that failed nothing is known about the bytes since the last Sync that did not.
//
// TestContract in vfstest holds the real disk and the memory disk to it.
package vfs

import "io"

// FS is a file system as the log and the tools see it. Names are slash-separated paths. Errors
// satisfy errors.Is with the fs.Err* values of package io/fs, and carry operation and path, as
// *fs.PathError or *os.LinkError do. Safe for concurrent use.
type FS interface {
	// Create makes a new empty file, mode 0600, open for reading and writing. It fails with
	// fs.ErrExist if name exists.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading only; WriteAt on it fails.
	OpenRead(name string) (File, error)
	// Rename gives the file or directory oldname the name newname, which is in the same directory.
	// A file replaces a file that has newname, in the same step: there is no moment at which
	// nothing has it. Nothing else is replaced: if newname is a directory, or if a directory is
	// renamed to the name of a file, Rename fails and changes nothing.
	Rename(oldname, newname string) error
	// Exchange gives each of two names in one directory what the other one had, in one step. Each
	// may be a file or a directory. It fails with errors.ErrUnsupported where the system cannot.
	Exchange(a, b string) error
	// Remove deletes a file or an empty directory. Files that are open stay usable where the system
	// lets them be removed.
	Remove(name string) error
	// ReadDir lists the names (not paths) in dir, sorted.
	ReadDir(dir string) ([]string, error)
	// MkdirAll makes dir and missing parents, mode 0700, and syncs the parent of each directory
	// that it made.
	MkdirAll(dir string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// File is an open file. ReadAt and WriteAt follow io.ReaderAt and io.WriterAt. WriteAt beyond the
// end extends the file with zeros. One goroutine at a time writes a file; ReadAt may run beside it.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes the file's bytes, and the size needed to read them, durable (fdatasync).
	Sync() error
	// Size is the file's length in bytes.
	Size() (int64, error)
	Close() error
}
