package server

import (
	"net/netip"

	"gcd/codec"
)

// answerable tells whether a datagram may be answered at all, and counts it if not. What looks like a reply never is: two
// servers that were fed each other's addresses must fall silent.
func (s *Server) answerable(msg []byte, peer netip.AddrPort) bool {
	s.datagrams.Add(1)
	switch {
	case len(msg) == 0:
		s.journal.happened(emptyDatagram, peer, nil)
	case codec.Op(msg[0]).IsReply():
		s.journal.happened(replyDatagram, peer, nil)
	case peer.Port() == 0:
		s.journal.happened(portZeroDatagram, peer, nil)
	default:
		return true
	}
	return false
}

// appendDatagramRefusal notes the refusal of a datagram and appends the answer: code alone, or nothing if the source had
// its share of refusals.
func (s *Server) appendDatagramRefusal(dst []byte, code codec.Code, peer netip.AddrPort, msg []byte) []byte {
	if s.refusals.allow(peer.Addr(), s.journal.now()) {
		dst = codec.AppendRefusal(dst, code, "")
	} else {
		s.journal.happened(silencedRefusal, peer, nil)
	}
	s.journal.refused(code, peer, msg)
	return dst
}
