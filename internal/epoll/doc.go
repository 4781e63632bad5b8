// Package epoll is what a readiness loop on Linux asks the system for at every request: which
// sockets are ready, and the calls on sockets that never block, without the allocations that the
// general ones make. The server, the load generator and the bare loops that gcd is compared with
// have it, so that all three pay the same for the system.
//
// Errors are unix.Errno values. On other systems it is empty.
package epoll
