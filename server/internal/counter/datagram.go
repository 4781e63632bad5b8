package counter

import (
	"gcd/codec"
	"gcd/server/internal/gate"
	"gcd/store/core"
)

// IsAnswerable tells whether a datagram may be answered at all, and counts it. What looks like a
// reply never is: two servers that were fed each other's addresses must fall silent.
func (p *Protocol) IsAnswerable(msg []byte, peer gate.Peer) bool {
	g := p.Gate
	g.Datagrams.Add(1)
	switch {
	case len(msg) == 0:
		g.Happened(gate.EmptyDatagram, peer, nil)
	case codec.Op(msg[0]).IsReply():
		g.Happened(gate.ReplyDatagram, peer, nil)
	case peer.Addr.Port() == 0:
		g.Happened(gate.PortZeroDatagram, peer, nil)
	default:
		return true
	}
	return false
}

// AppendRefusal notes the refusal of a datagram and appends the answer: the code alone, or nothing
// if the source had its share of refusals.
func (p *Protocol) AppendRefusal(dst []byte, code codec.Code, peer gate.Peer, msg []byte) []byte {
	g := p.Gate
	if g.MayRefuse(peer) {
		dst = codec.AppendRefusal(dst, code, "")
	} else {
		g.Happened(gate.SilencedRefusal, peer, nil)
	}
	g.Refused(code, peer, msg)
	return dst
}

// AppendFailure appends the answer to a datagram's operation that has failed; nothing if it gets
// none.
func (p *Protocol) AppendFailure(dst []byte, op *core.Op, peer gate.Peer) []byte {
	code, known := gate.CodeOf(op.Err)
	if !known {
		p.Gate.Happened(gate.UnknownOutcome, peer, op.Err)
		return dst
	}
	return p.AppendRefusal(dst, code, peer, op.Topic)
}
