// Package powertest finds out what a power loss would leave of files that a program writes past the
// seam of internal/vfs, as bbolt does with the file that it maps. It is for tests, and needs Linux.
//
// From Record on, each call of the process that makes something durable or changes a name (fsync,
// fdatasync, rename, unlink) is held up, on whatever thread it is made, until what the files are at
// this moment was taken over by a memory disk. So that disk knows which bytes and names were
// durable at each of these calls, however they were written. A process cannot get rid of this any
// more: a test runs itself again in one of its own.
package powertest
