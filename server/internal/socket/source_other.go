//go:build !linux

package socket

import (
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// AnswerControl makes of the control message that came with a datagram the one for its answer: from
// the address that the datagram was sent to. An IPv4 datagram on a socket for both families gets
// none.
func AnswerControl(control []byte) []byte {
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

// SetInherited does nothing: package net sets what a connection needs.
func SetInherited(string, string, syscall.RawConn) error { return nil }
