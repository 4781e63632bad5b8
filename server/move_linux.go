package server

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// A conversation has a home: the loop that serves it as long as it is open. Conversations that are spread over several loops are read and
// answered beside each other, and beside the disk, at the price of more and smaller batches. That pays where the loops have processors to
// themselves, so only as many loops are homes as there are processors but one, which is left to the clients, the disk and the system.

// home returns the loop for a new conversation: of the homes that do not commit just now, and so take it at once, one with the fewest; l if it is
// one of these, or if there is none, or if the pool is about to end.
func (p *pool) home(l *loop) *loop {
	if p.stage.Load() != serving {
		return l
	}
	var best *loop
	if l.isHome {
		best = l
	}
	for _, other := range p.homes {
		if !other.committing.Load() && (best == nil || other.conversations.Load() < best.conversations.Load()) {
			best = other
		}
	}
	if best == nil {
		return l
	}
	return best
}

// moving is a connection on its way to its home.
type moving struct {
	to      *loop
	fd      int
	peer    netip.AddrPort
	in      []byte // received
	drained bool   // the read behind in left the socket empty
}

// move takes the connection out of the stream and sends it to another loop.
func (c *stream) move(to *loop, drained bool) {
	m := &moving{to: to, fd: c.fd, peer: c.peer, in: slices.Clone(c.in), drained: drained && !c.hung}
	if c.watched {
		c.l.poll.remove(c.fd)
	}
	c.leave()
	c.free()
	to.s.moving.Add(1)
	if !to.mail.put(m) { // it has ended
		to.conversations.Add(-1)
		c.l.conversations.Add(1)
		m.to = c.l
		m.finish()
	}
}

// drop closes the connection: its home was aborted.
func (m *moving) drop() {
	m.to.s.moving.Add(-1)
	unix.Close(m.fd)
	m.to.s.conns.release(m.peer.Addr())
}

// finish is called on the home.
func (m *moving) finish() {
	m.to.s.moving.Add(-1)
	c := m.to.newStream(m.fd, m.peer)
	c.in = append(c.in, m.in...)
	m.to.step(c, func() { c.talk(m.drained) })
}
