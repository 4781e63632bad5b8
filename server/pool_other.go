//go:build !linux

package server

import (
	"errors"
	"net"
)

const havePool = false

func newPool(*Server, *net.TCPListener, *net.UDPConn) (dispatcher, error) {
	return nil, errors.New("server: dispatch by readiness loops needs Linux")
}
