package server

import "gcd/codec"

// oneMessage is the counter protocol on a stream: one message, one answer.
type oneMessage struct{}

func (oneMessage) readable(c *stream) { c.receive(false) }

// received is told that c.in may have grown; of the last read, whether it left the socket empty, whether the client will
// send no more, and whether it has been quiet for the settle time. It returns true to wait for more.
func (c *stream) received(drained, closed, quiet bool) bool {
	s := c.l.s
	if len(c.in) > 0 && s.speaksRESP(c.in[0]) {
		c.converse(drained)
		return false
	}
	if !ended(c.in, drained, closed, quiet) {
		return true
	}
	if err := s.decode(c.in, &c.ops[0]); err != nil {
		r := refusal(err)
		c.refuse(r.Code, r.Text)
		return false
	}
	if !s.admit(c.claim()) {
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

func (oneMessage) written(c *stream) {
	if c.refused {
		c.linger()
		return
	}
	c.l.s.answered.Add(1)
	c.close()
}

func (oneMessage) late(c *stream) {
	c.refuse(codec.CodeNothingArrived, advice(codec.CodeNothingArrived))
}

func (oneMessage) draining(c *stream) { c.close() }

func (oneMessage) ended(*stream) {}
