// Package counter is gcd's own protocol (docs/protocol.md), without sockets: one message over a
// connection, or one in each datagram.
package counter

import (
	"gcd/codec"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// MaxRead is how many bytes of a message are kept: one more than is allowed shows that it is too
// long.
const MaxRead = codec.MaxMessage + 1

// Session is one connection with one message and one answer. It is used for one connection after
// the other (Begin).
type Session struct {
	p      *Protocol
	worker *session.Worker
	peer   gate.Peer
	from   *gate.Source

	in, out []byte
	ops     [1]core.Op
	group   core.Group
}

// maxKept is the longest message whose room is kept for the next connection, if one comes.
const maxKept = 1 << 10

// Begin makes the session one of a new connection. It keeps the room of its buffers.
func (s *Session) Begin(p *Protocol, w *session.Worker, peer gate.Peer, from *gate.Source) {
	*s = Session{p: p, worker: w, peer: peer, from: from, in: s.in[:0], out: s.out[:0]}
}

// Received is how many bytes were received so far.
func (s *Session) Received() int { return len(s.in) }

// Advance takes the message, has it done and answers it.
func (s *Session) Advance(e session.Event) session.Action {
	op := &s.ops[0]
	switch e.Kind {
	case session.Outcome:
		if s.p.Gate.Options.Audit != nil {
			s.p.Changed(s.peer, gate.DoorTCP, s.ops[:], s.group.Index)
		}
		op.Topic = nil // it would keep the message
		switch {
		case op.Err != nil:
			return s.refuseOutcome(op.Err)
		case op.Kind == core.Reset:
			s.out = codec.AppendResetReply(s.out)
		default:
			s.out = codec.AppendCountReply(s.out, op.Sum)
		}
		if cap(s.in) > maxKept {
			s.in = nil
		}
		return session.Action{Next: session.Write, Out: s.out, Answers: 1, Then: session.Close}
	case session.Late:
		return s.refuse(codec.CodeNothingArrived, codec.CodeNothingArrived.Advice())
	case session.Ended:
		if e.Err != nil {
			s.p.Gate.Broke(s.peer, s.in, e.Err)
		}
		s.forget()
		return session.Action{}
	}
	s.in = append(s.in, e.Bytes...)
	switch {
	case len(s.in) == 0 && e.Last:
		return session.Action{Next: session.Close}
	case !e.End && !e.Quiet && !e.Last && len(s.in) < MaxRead && !(e.Drained && codec.Complete(s.in)):
		clock := session.Settling
		if len(s.in) == 0 {
			clock = session.Message
		}
		return session.Action{Next: session.Read, Clock: clock, Most: MaxRead - len(s.in)}
	}
	if refused := s.p.Decode(s.in, s.peer, gate.DoorTCP, op); refused != nil {
		return s.refuse(refused.Code, refused.Text)
	}
	claim := gate.Claim{From: s.from, Clients: 1, Requests: 1, Bytes: len(s.in), Asker: gate.Modest}
	if !s.worker.Tally.Admit(claim) {
		op.Topic = nil // likewise
		return s.refuse(codec.CodeTooManyRequests, codec.CodeTooManyRequests.Advice())
	}
	s.group.Ops = s.ops[:]
	return session.Action{Next: session.Commit, Group: &s.group, Claim: claim}
}

// refuseOutcome answers that the operation was not done, if that is known.
func (s *Session) refuseOutcome(err error) session.Action {
	code, known := gate.CodeOf(err)
	if !known {
		s.p.Gate.Happened(gate.UnknownOutcome, s.peer, err)
		s.forget()
		return session.Action{Next: session.Close}
	}
	return s.refuse(code, code.Advice())
}

// refuse answers with a refusal.
func (s *Session) refuse(code codec.Code, text string) session.Action {
	s.p.Gate.RefusedMessage(code, s.peer, s.in)
	s.forget()
	s.out = codec.AppendRefusal(s.out, code, text)
	return session.Action{Next: session.Write, Out: s.out, Then: session.Linger}
}

// forget gives back the room of a long message, which is not needed any more.
func (s *Session) forget() {
	if cap(s.in) > maxKept {
		s.in = nil
	}
}

// Untaken has nothing against it: an answer is small.
func (s *Session) Untaken() bool { return true }

// Detached is not called.
func (s *Session) Detached(session.Conn) bool { return false }
