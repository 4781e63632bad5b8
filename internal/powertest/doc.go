// Package powertest stands between a process and the system, for tests, where a program works past
// the seam of internal/vfs, as bbolt does with the file that it maps. It needs Linux.
//
// Record finds out what a power loss would leave. From then on each call of the process that makes
// something durable or changes a name (fsync, fdatasync, rename, unlink) is held up, on whatever
// thread it is made, until what the files are at this moment was taken over by a memory disk. So
// that disk knows which bytes and names were durable at each of these calls, however they were
// written.
//
// Refuse has calls that read files fail.
//
// A process cannot get rid of either any more: a test runs itself again in one of its own (Alone).
package powertest
