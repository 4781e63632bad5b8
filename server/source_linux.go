package server

import "golang.org/x/sys/unix"

// answerControl turns the control message that came with a datagram, in place, into the one for its answer: from the address
// that the datagram was sent to, but through whatever interface the routes say.
func answerControl(control []byte) []byte {
	for rest := control; len(rest) > 0; {
		h, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return nil
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			clear(data[:4]) // struct in_pktinfo begins with the interface's index
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			clear(data[16:20]) // in struct in6_pktinfo it is behind the address
		default:
			return nil
		}
		rest = next
	}
	return control
}
