//go:build unix

package client

import "syscall"

// quiet reports whether nothing has arrived, neither a datagram nor an error. It takes what has
// arrived away, so a socket that is not quiet is of no further use.
func (s *socket) quiet() bool {
	empty := false
	err := s.raw.Control(func(fd uintptr) {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:]) // does not block: the descriptors of package net never do
		empty = err == syscall.EAGAIN
	})
	return err == nil && empty
}
