// Package vfs is the seam between gcd's log and the disk: the few file operations that durability
// needs and nothing else. OS is the real disk; package vfstest has a memory disk that can lose power,
// and a wrapper that lets a test see, fail or shorten every operation.
//
// The contract that every implementation keeps, and that the log relies on:
//
//   - Bytes written with WriteAt are readable at once but survive a power loss only after Sync on that file returned nil.
//   - A name created, renamed or removed survives a power loss only after SyncDir on its directory returned nil.
//   - After a Sync that failed nothing is known about the bytes since the last Sync that did not.
package vfs

import "io"

// FS is a file system as the log sees it. Names are slash-separated paths; errors satisfy errors.Is with the fs.Err*
// values of package io/fs and carry operation and path (as *fs.PathError or *os.LinkError do). Safe for concurrent use.
type FS interface {
	// Create makes a new empty file, mode 0600, open for reading and writing. It fails with fs.ErrExist if name exists.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading only; WriteAt on it fails.
	OpenRead(name string) (File, error)
	// Rename gives oldname the name newname in one step; newname must not exist (implementations may but need not check).
	Rename(oldname, newname string) error
	// Remove deletes a file.
	Remove(name string) error
	// ReadDir lists the names (not paths) in dir, sorted.
	ReadDir(dir string) ([]string, error)
	// MkdirAll makes dir and missing parents, mode 0700, and syncs the parent of each directory that it made.
	MkdirAll(dir string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
}

// File is an open file. ReadAt and WriteAt follow io.ReaderAt and io.WriterAt; WriteAt behind the end extends the file
// with zeros. One file is written by one goroutine at a time; ReadAt may run beside it.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes the file's bytes, and the size needed to read them, durable (fdatasync).
	Sync() error
	// Size is the file's length in bytes.
	Size() (int64, error)
	Close() error
}
