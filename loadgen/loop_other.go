//go:build !linux

package loadgen

import "net"

const haveLoops = false

func newLoop(ln lane, clients int, peer *net.TCPAddr) (driver, error) {
	return newGoroutines(ln, clients, peer)
}
