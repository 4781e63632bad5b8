package socket

import (
	"net"

	"github.com/hashicorp/go-hclog"
)

// receiveBuffer is how many bytes of datagrams the system is asked to keep for the server, framing
// included. Requests that come while a worker waits for the disk stay there; what does not fit is
// lost, and a client then waits for its timeout.
const receiveBuffer = 4 << 20

// GrowReceiveBuffer asks the system for room for datagrams, and says so if it gives much less.
func GrowReceiveBuffer(c *net.UDPConn, log hclog.Logger) {
	if err := c.SetReadBuffer(receiveBuffer); err != nil {
		log.Warn("cannot set the receive buffer for UDP", "error", err)
		return
	}
	if size, ok := receiveBufferOf(c); ok && size < receiveBuffer/2 {
		log.Info("the receive buffer for UDP is small: many requests at once may be lost, see net.core.rmem_max",
			"bytes", size, "wanted", receiveBuffer)
	}
}
