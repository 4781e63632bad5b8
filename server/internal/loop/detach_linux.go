package loop

import (
	"os"

	"golang.org/x/sys/unix"

	"gcd/internal/priority"
	"gcd/server/internal/session"
)

// reattach brings a connection back that another goroutine had.
type reattach struct {
	c          *conn
	generation int32
	ok         bool // it can go on
}

// detach lets another goroutine have the connection, which its loop does not watch meanwhile. It
// returns true if that cannot be, and what the session is told then.
func (c *conn) detach() (e session.Event, failed bool) {
	// A file of the same socket, for which its user can wait.
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return session.Event{Kind: session.Undetached, Err: os.NewSyscallError("fcntl", err)}, true
	}
	file := os.NewFile(uintptr(fd), "connection")
	if c.watched {
		c.l.poll.Remove(c.fd)
		c.watched = false
	}
	c.state = detached
	back := &reattach{c: c, generation: c.generation}
	s, g, q, peer := c.session, c.l.p.o.Gate, &c.l.completions, c.peer // the connection is the loop's
	c.l.p.detached.Go(func() {
		priority.Least()
		defer func() {
			if with := recover(); with != nil {
				g.Panicked(peer, with)
			}
			file.Close() // before the loop closes its own, which is to end the connection
			q.put(back)
		}()
		back.ok = s.Detached(file)
	})
	return e, false
}

// advance is called on the loop.
func (b *reattach) advance() {
	c := b.c
	if c.state != detached || c.generation != b.generation {
		return
	}
	if !b.ok {
		c.close(nil)
		return
	}
	c.state, c.unread = reading, true // nobody heard of what came meanwhile
	c.advance()
}

func (b *reattach) drop() {}
