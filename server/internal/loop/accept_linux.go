package loop

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/internal/epoll"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// How connections come and go.

// accept takes new connections, so many at most, and reads from each at once: most clients have
// sent their request already, and then the connection never needs to be watched. It returns true if
// there may be more.
func (l *loop) accept(most int) bool {
	o := &l.p.o
	for range most {
		var (
			fd   int
			addr netip.AddrPort
			err  error
		)
		if o.BeforeAccept != nil {
			err = o.BeforeAccept()
		}
		if err == nil {
			fd, addr, err = epoll.Accept(l.p.listener)
		}
		if err == unix.EAGAIN || err != nil && l.p.stage.Load() >= parting {
			return false
		}
		if err != nil {
			o.Gate.Happened(gate.AcceptError, gate.Peer{}, err)
			if gate.AcceptGoesOn(err) {
				continue
			}
			l.p.lease.pause()
			return false
		}
		if l.p.lease.troubled.Load() {
			l.p.lease.accepted()
		}
		l.letIn(fd, gate.Peer{Addr: addr})
	}
	return true
}

// letIn serves a connection, or refuses it.
func (l *loop) letIn(fd int, peer gate.Peer) {
	o := &l.p.o
	from, code, lingers := o.Gate.Enter(peer)
	if code != 0 && !lingers {
		l.turnAway(fd, peer, code)
		return
	}
	if len(l.free) == 0 {
		l.addPlace()
	}
	c := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.open++
	c.life = life{fd: fd, peer: peer, state: reading, since: l.tally.Now, fresh: true, unread: true}
	if code == 0 {
		c.message.Begin(o.Counter, &l.worker, peer, from)
		c.session = &c.message
	} else {
		c.surplus, c.session = true, o.Refuser(peer, code)
	}
	c.advance()
}

// addPlace makes room for one connection more than there ever were.
func (l *loop) addPlace() {
	c := &conn{l: l, slot: int32(len(l.conns))}
	c.deadline.c, c.settle.c = c, c
	c.done = func(*core.Group) {
		if !l.completions.put(c) {
			c.drop()
		}
	}
	l.conns, l.free = append(l.conns, c), append(l.free, c)
}

// turnAway refuses a connection for which not even a place to linger is free: it is told, if it
// listens.
func (l *loop) turnAway(fd int, peer gate.Peer, code codec.Code) {
	n, _ := epoll.Read(fd, l.scratch) // what was sent already would else reset the connection
	l.tally.In += max(0, n)
	n, _ = epoll.Write(fd, l.p.o.Refuser(peer, code).Append(nil, l.scratch[:max(0, n)]), true)
	l.tally.Out += max(0, n)
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	unix.Close(fd)
}

// close ends the connection, which something may have broken, and makes its place free for another
// one. Nothing finds the one that was here any more. The backend may still have its group if the
// loop was aborted.
func (c *conn) close(broken error) {
	if c.state == closed {
		return
	}
	l, g := c.l, c.l.p.o.Gate
	if c.then == session.Read {
		c.session.Advance(session.Event{Kind: session.Ended, Err: broken})
	}
	if c.fd >= 0 { // else another loop has it
		unix.Close(c.fd) // takes it out of the poller
		if c.kept {
			l.conversations.Add(-1)
		}
		if c.untaken {
			g.Untaken.Add(-1)
		}
		if c.surplus {
			g.LeaveLingering()
		} else {
			g.Leave(c.peer)
		}
	}
	if c.timed {
		c.stopTimers()
	}
	c.life = life{}
	c.generation++
	l.open--
	l.free = append(l.free, c)
}
