package socket

import (
	"net"
	"time"
)

// readSoon reads what comes within a moment.
func readSoon(nc net.Conn, b []byte) (int, error) {
	nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	return nc.Read(b)
}
