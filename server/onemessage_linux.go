package server

import (
	"gcd/codec"
)

// oneMessage is the counter protocol on a stream: one message, one answer.
type oneMessage struct{}

func (oneMessage) received(c *stream, drained, closed, quiet bool) bool {
	if !ended(c.in, drained, closed, quiet) {
		return true
	}
	s := c.l.s
	if err := s.decode(c.in, &c.ops[0]); err != nil {
		r := refusal(err)
		c.refuse(r.Code, r.Text)
		return false
	}
	if !s.admit(1, len(c.in)) {
		c.refuse(codec.CodeTooManyRequests, advice(codec.CodeTooManyRequests))
		return false
	}
	c.group.Ops = c.ops[:]
	c.submit()
	return false
}

func (oneMessage) committed(c *stream) {
	op := &c.ops[0]
	if op.Err == nil {
		c.out = appendAnswer(c.out, op)
		c.flush()
		return
	}
	code, known := codeOf(op.Err)
	if !known {
		c.l.s.journal.happened(unknownOutcome, c.peer, op.Err)
		c.close()
		return
	}
	c.refuse(code, advice(code))
}
