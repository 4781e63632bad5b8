package server

import (
	"golang.org/x/sys/unix"

	"gcd/codec"
)

// surplus is a stream beyond the limits, which is told so in the language that it speaks.
type surplus struct{ code codec.Code }

func (h surplus) readable(c *stream) {
	n, err := c.l.read(c.fd, c.l.scratch)
	switch {
	case err == unix.EAGAIN:
		if c.watch(unix.EPOLLIN) && c.deadline.list == nil {
			c.l.greeting.start(&c.deadline, c.l.now)
		}
	case err != nil:
		c.close()
	default:
		h.refuse(c, c.l.scratch[:n])
	}
}

// refuse answers; said is what the client has sent.
func (h surplus) refuse(c *stream, said []byte) {
	c.l.s.journal.refused(h.code, c.peer, said)
	c.deadline.stop()
	c.out = c.l.s.appendSurplus(c.out, said, h.code)
	c.flush()
}

func (h surplus) late(c *stream)      { h.refuse(c, nil) }
func (h surplus) written(c *stream)   { c.linger() }
func (h surplus) parting(c *stream)   { h.readable(c) }
func (h surplus) committed(c *stream) { c.close() }
func (h surplus) ended(*stream)       {}
