package counter

import (
	"errors"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/server/internal/gate"
	"gcd/store/core"
)

// Protocol is what the sessions and datagrams of one server share.
type Protocol struct {
	Gate *gate.Gate
	// Parse is codec.ParseRequest, but where a test puts a fault.
	Parse func([]byte) (codec.Request, error)
}

// Decode makes an operation of a whole message that a peer has sent to a door; op.Topic is part of
// msg. It returns why not, or nil. A server that loads or stops refuses every message.
func (p *Protocol) Decode(msg []byte, peer gate.Peer, door string, op *core.Op) *codec.RefusalError {
	if code := codec.Code(p.Gate.Refusing.Load()); code != 0 && len(msg) > 0 {
		return &codec.RefusalError{Code: code, Text: code.Advice()}
	}
	req, err := p.Parse(msg)
	if err != nil {
		var refused *codec.RefusalError
		if !errors.As(err, &refused) {
			refused = &codec.RefusalError{Code: codec.CodeMalformed}
		}
		return refused
	}
	*op = core.Op{Kind: core.Count, Topic: req.Topic}
	if req.Op == codec.OpReset {
		op.Kind = core.Reset
	}
	if p.Gate.Options.Rules != nil {
		return p.permit(peer, door, op)
	}
	return nil
}

// permit tells why a peer may not do an operation, or nil. Nobody can show a token here, so who it
// is the way tells by which it came.
func (p *Protocol) permit(peer gate.Peer, door string, op *core.Op) *codec.RefusalError {
	right := access.Count
	if op.Kind == core.Reset {
		right = access.Reset
	}
	who := p.Gate.Know(peer)
	if who.May(right, op.Topic) {
		return nil
	}
	code := who.Refusal()
	p.Gate.Denied(&who, peer, door, right.String(), op.Topic)
	return &codec.RefusalError{Code: code, Text: code.Advice()}
}

// IsAnswerable tells whether a datagram may be answered at all: one that asks for something may,
// unless it came from port 0. What looks like a reply never is: two servers that were fed each
// other's addresses must fall silent.
func (p *Protocol) IsAnswerable(msg []byte, peer gate.Peer) bool {
	g := p.Gate
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

// Changed writes down the operations of a peer that cannot be undone, when they have outcomes.
// There is somebody to write it down (gate.Options.Audit).
func (p *Protocol) Changed(peer gate.Peer, door string, ops []core.Op, index uint64) {
	who := p.Gate.Know(peer)
	p.Gate.Changed(&who, peer, door, ops, index)
}
