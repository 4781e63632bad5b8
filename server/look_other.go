//go:build !unix

package server

import (
	"net"
	"time"
)

// look reads what is there already, or comes within a moment.
func look(nc *net.TCPConn, b []byte) (int, error) {
	nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	return nc.Read(b)
}

// brokenConnection cannot tell: the write will.
func brokenConnection(*net.TCPConn) bool { return false }
