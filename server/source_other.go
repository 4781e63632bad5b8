//go:build !linux

package server

import (
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// answerControl makes of the control message that came with a datagram the one for its answer: from the address that the
// datagram was sent to. An IPv4 datagram on a socket for both families gets none.
func answerControl(control []byte) []byte {
	if len(control) == 0 {
		return nil
	}
	var four ipv4.ControlMessage
	if four.Parse(control) == nil && four.Dst != nil {
		return (&ipv4.ControlMessage{Src: four.Dst}).Marshal()
	}
	var six ipv6.ControlMessage
	if six.Parse(control) == nil && six.Dst != nil {
		return (&ipv6.ControlMessage{Src: six.Dst}).Marshal()
	}
	return nil
}

// bequeath does nothing: package net sets what a connection needs.
func bequeath(string, string, syscall.RawConn) error { return nil }
