// Package counter is gcd's own protocol (docs/protocol.md), without sockets: one message over a
// connection, or one in each datagram.
package counter

import (
	"errors"

	"gcd/codec"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// MaxRead is how many bytes of a message are kept: one more than is allowed shows that it is too
// long.
const MaxRead = codec.MaxMessage + 1

// Protocol is what the sessions and datagrams of one server share.
type Protocol struct {
	Gate *gate.Gate
	// Parse is codec.ParseRequest, but where a test puts a fault.
	Parse func([]byte) (codec.Request, error)
}

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
	refused bool
}

// Begin makes the session one of a new connection. It keeps the room of its buffers.
func (s *Session) Begin(p *Protocol, w *session.Worker, peer gate.Peer, from *gate.Source) {
	*s = Session{p: p, worker: w, peer: peer, from: from, in: s.in[:0], out: s.out[:0]}
}

// maxKept is the most capacity of buffers that is kept until the next connection, if one comes.
const maxKept = 1 << 10

// Received is how many bytes were received so far.
func (s *Session) Received() int { return len(s.in) }

// Advance takes the message, has it done and answers it.
func (s *Session) Advance(e session.Event) session.Action {
	switch e.Kind {
	case session.Outcome:
		op := &s.ops[0]
		op.Topic = nil // it would keep the message
		if op.Err == nil {
			s.out = AppendAnswer(s.out, op)
			return session.Action{Next: session.Write, Out: s.out}
		}
		return s.refuseOutcome(op.Err)
	case session.Written:
		if s.refused {
			return session.Action{Next: session.Linger}
		}
		s.p.Gate.Answered.Add(1)
		return session.Action{Next: session.Close}
	case session.Late:
		return s.refuse(codec.CodeNothingArrived, codec.CodeNothingArrived.Advice())
	case session.Ended:
		if e.Err != nil {
			s.p.Gate.Broke(s.peer, s.in, e.Err)
		}
		if cap(s.in)+cap(s.out) > maxKept {
			s.in, s.out = nil, nil
		}
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
	if err := s.p.Decode(s.in, &s.ops[0]); err != nil {
		r := Refusal(err)
		return s.refuse(r.Code, r.Text)
	}
	claim := gate.Claim{From: s.from, Clients: 1, Requests: 1, Bytes: len(s.in)}
	if !s.worker.Admission.Admit(claim) {
		s.ops[0].Topic = nil // likewise
		return s.refuse(codec.CodeTooManyRequests, codec.CodeTooManyRequests.Advice())
	}
	s.p.Gate.NoteLittle(s.worker.Now, false)
	s.group.Ops = s.ops[:]
	return session.Action{Next: session.Commit, Group: &s.group, Claim: claim}
}

// refuseOutcome answers that the operation was not done, if that is known.
func (s *Session) refuseOutcome(err error) session.Action {
	code, known := gate.CodeOf(err)
	if !known {
		s.p.Gate.Happened(gate.UnknownOutcome, s.peer, err)
		return session.Action{Next: session.Close}
	}
	return s.refuse(code, code.Advice())
}

// refuse answers with a refusal.
func (s *Session) refuse(code codec.Code, text string) session.Action {
	s.p.Gate.RefusedMessage(code, s.peer, s.in)
	s.refused = true
	s.out = codec.AppendRefusal(s.out, code, text)
	return session.Action{Next: session.Write, Out: s.out}
}

// Untaken has nothing against it: an answer is small.
func (s *Session) Untaken() bool { return true }

// Detached is not called.
func (s *Session) Detached(session.Conn) bool { return false }

// Refusal makes a *codec.RefusalError of any error of Decode.
func Refusal(err error) *codec.RefusalError {
	var r *codec.RefusalError
	if errors.As(err, &r) {
		return r
	}
	return &codec.RefusalError{Code: codec.CodeMalformed}
}

// Decode makes an operation of a whole message; op.Topic is part of msg. The error is a
// *codec.RefusalError. A server that loads or stops refuses every message.
func (p *Protocol) Decode(msg []byte, op *core.Op) error {
	if code := codec.Code(p.Gate.Refusing.Load()); code != 0 && len(msg) > 0 {
		return &codec.RefusalError{Code: code, Text: code.Advice()}
	}
	req, err := p.Parse(msg)
	if err != nil {
		return err
	}
	*op = core.Op{Kind: core.Count, Topic: req.Topic}
	if req.Op == codec.OpReset {
		op.Kind = core.Reset
	}
	return nil
}

// AppendAnswer appends the answer to an operation that succeeded.
func AppendAnswer(dst []byte, op *core.Op) []byte {
	if op.Kind == core.Reset {
		return codec.AppendResetReply(dst)
	}
	return codec.AppendCountReply(dst, op.Sum)
}
