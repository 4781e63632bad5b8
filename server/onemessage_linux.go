package server

import (
	"golang.org/x/sys/unix"

	"gcd/codec"
)

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
	if !c.l.tally.admit(c.claim()) {
		c.refuse(codec.CodeTooManyRequests, advice(codec.CodeTooManyRequests))
		return false
	}
	s.askers.note(c.l.now, false)
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

func (h oneMessage) late(c *stream) {
	if c.l.p.stage.Load() == parting {
		h.parting(c)
		return
	}
	c.refuse(codec.CodeNothingArrived, advice(codec.CodeNothingArrived))
}

// parting takes what has arrived for all that comes. Who has only just come is given the time for a
// first byte.
func (oneMessage) parting(c *stream) {
	room := c.l.scratch[:maxRead-len(c.in)]
	n, err := c.l.read(c.fd, room)
	c.in = append(c.in, room[:max(0, n)]...)
	if err == unix.EAGAIN && len(c.in) == 0 && c.l.now-c.since < c.l.s.firstByte {
		if c.watch(unix.EPOLLIN) {
			c.l.greeting.start(&c.deadline, c.l.now)
		}
		return
	}
	if len(c.in) == 0 || err != nil && err != unix.EAGAIN {
		c.close()
		return
	}
	c.received(n < len(room), n == 0, true)
}

func (oneMessage) ended(*stream) {}
