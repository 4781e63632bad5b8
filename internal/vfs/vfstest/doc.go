// Package vfstest has disks for tests. Mem is a disk in memory that can lose power: it forgets what
// was not synced. Fault wraps any vfs.FS and lets a test see, delay, fail or shorten every
// operation. OpenFiles counts what a test has left open.
package vfstest
