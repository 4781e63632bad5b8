//go:build !unix

package socket

import "net"

// ReadAvailable reads what is there already, or comes within a moment.
func ReadAvailable(nc net.Conn, b []byte) (int, error) { return readSoon(nc, b) }

// IsBroken cannot tell: the write will.
func IsBroken(net.Conn) bool { return false }
