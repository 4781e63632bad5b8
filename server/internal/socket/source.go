package socket

import (
	"net"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// PinSource asks for each datagram's own destination address when the socket is bound to all of
// them, so that the answer comes from where the request went (AnswerControl). Systems that cannot
// do it answer from the address that their routes choose. It has to be called before anybody knows
// the socket's port: what arrives earlier does not carry its destination.
func PinSource(c *net.UDPConn) {
	addr := c.LocalAddr().(*net.UDPAddr)
	if !addr.IP.IsUnspecified() {
		return
	}
	if addr.IP.To4() != nil {
		_ = ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true)
	} else {
		_ = ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true)
	}
}

// KeepAlive is how long a connection is silent before the system asks whether its client is there
// still. It asks KeepAliveProbes times within the same time, and then closes the connection.
const (
	KeepAlive       = 300 * time.Second
	KeepAliveProbes = 3
)
