package socket

import (
	"net"
	"os"
)

// Adopt makes a connection of a descriptor, which is then closed or the connection's.
func Adopt(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	c, err := net.FileConn(file)
	file.Close() // c has a descriptor of its own
	if tcp, is := c.(*net.TCPConn); is {
		err = tcp.SetKeepAliveConfig(Probing()) // for which package net has another idea
	}
	return c, err
}

// Probing is how the system asks whether the client of a silent connection is there still.
func Probing() net.KeepAliveConfig {
	return net.KeepAliveConfig{
		Enable: true, Idle: KeepAlive, Interval: KeepAlive / KeepAliveProbes, Count: KeepAliveProbes,
	}
}
