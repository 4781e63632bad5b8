package loop

import (
	"slices"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
)

// A conversation has a home: the loop that serves it as long as it is open. Conversations that are
// spread over several loops are read and answered beside each other, and beside the disk, at the
// price of more and smaller batches. That pays where the loops have processors to themselves, so
// only as many loops are homes as there are processors but one, which is left to the clients, the
// disk and the system.

// home returns the loop for a new conversation: of the homes that do not commit just now, and so
// take it at once, one with the fewest; l if it is one of these, or if there is none, or if the
// pool is about to end.
func (p *Pool) home(l *loop) *loop {
	if p.stage.Load() != serving {
		return l
	}
	var best *loop
	if l.isHome {
		best = l
	}
	for _, other := range p.homes {
		if phase(other.phase.Load()) != committing &&
			(best == nil || other.conversations.Load() < best.conversations.Load()) {
			best = other
		}
	}
	if best == nil {
		return l
	}
	return best
}

// becomeRedis makes the connection one that speaks RESP, on the loop that is its home. It returns
// false if that is another one.
func (c *conn) becomeRedis(first session.Event) bool {
	home := c.l.p.home(c.l)
	home.conversations.Add(1)
	if home != c.l {
		c.migrate(home, first)
		return false
	}
	c.converse()
	return true
}

// converse begins the conversation at its home.
func (c *conn) converse() {
	c.kept = true
	c.session = c.l.redis.NewSession(c.peer, epoll.LocalAddr(c.fd))
	if c.timed {
		c.stopTimers()
	}
}

// migrating is a connection on its way to its home.
type migrating struct {
	to           *loop
	fd           int
	peer         gate.Peer
	first        session.Event // what was read
	unread, hung bool          // as of conn
}

// migrate takes the connection out of its loop and sends it to another one.
func (c *conn) migrate(to *loop, first session.Event) {
	first.Bytes = slices.Clone(first.Bytes)
	m := &migrating{to: to, fd: c.fd, peer: c.peer, first: first, unread: c.unread, hung: c.hung}
	from := c.l
	c.letGo()
	from.p.o.Gate.Migrating.Add(1)
	if !to.completions.put(m) { // it has ended
		to.conversations.Add(-1)
		from.conversations.Add(1)
		m.to = from
		m.advance()
	}
}

// letGo takes the connection out of its loop, which leaves its socket and its place at the gate to
// somebody else.
func (c *conn) letGo() {
	if c.watched {
		c.l.poll.Remove(c.fd)
	}
	c.fd, c.then = -1, session.Close
	c.close(nil)
}

// goElsewhere sends the connection to who can carry TLS, with what was read of it.
func (c *conn) goElsewhere(said []byte) {
	t := dispatch.Taken{FD: c.fd, Peer: c.peer, Said: slices.Clone(said), Came: c.since}
	o := &c.l.p.o
	c.letGo()
	o.Secure(t)
}

// drop closes the connection: its home was aborted.
func (m *migrating) drop() {
	g := m.to.p.o.Gate
	g.Migrating.Add(-1)
	unix.Close(m.fd)
	g.Leave(m.peer)
}

// advance is called on the home.
func (m *migrating) advance() {
	l := m.to
	l.p.o.Gate.Migrating.Add(-1)
	if len(l.free) == 0 {
		l.addPlace()
	}
	c := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.open++
	c.life = life{fd: m.fd, peer: m.peer, state: reading, since: l.tally.Now, unread: m.unread, hung: m.hung,
		event: &m.first}
	c.converse()
	c.advance()
}
