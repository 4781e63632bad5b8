package server

import (
	"os"

	"golang.org/x/sys/unix"

	"gcd/internal/priority"
)

// A stream whose client gets a backup is lent: its loop does not watch it, and a goroutine of the pool's writes to it.

// loan brings a lent stream back.
type loan struct {
	v          *conversation
	generation int32 // of the stream
	ok         bool  // it can go on
}

// lend has a backup sent.
func (v *conversation) lend() {
	c, x := v.c, v.x
	format := x.backup
	x.backup = ""
	conn, err := c.duplicate()
	if err != nil {
		c.l.s.journal.happened(brokenBackup, c.peer, err)
		x.fail("ERR no backup now: " + err.Error())
		v.reply()
		return
	}
	if c.watched {
		c.l.poll.remove(c.fd)
		c.watched = false
	}
	c.deadline.stop()
	c.state = lent
	back := &loan{v: v, generation: c.generation}
	s, mail, peer := c.l.s, &c.l.mail, c.peer // the stream is the loop's
	c.l.p.lent.Go(func() {
		priority.Least()
		s.guard(peer, func() { back.ok = s.backUp(conn, peer, format) })
		conn.Close() // before the loop closes its own, which is to end the connection
		mail.put(back)
	})
}

// duplicate makes a file of the stream's socket, for which its user can wait.
func (c *stream) duplicate() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "connection"), nil
}

// finish is called on the loop.
func (b *loan) finish() {
	c := b.v.c
	if c.state != lent || c.generation != b.generation {
		return
	}
	c.l.step(c, func() { b.v.takeBack(b.ok) })
}

func (b *loan) drop() {}

// takeBack goes on with the conversation, or ends it.
func (v *conversation) takeBack(ok bool) {
	c := v.c
	if !ok {
		c.close()
		return
	}
	v.next() // which watches anew, and so hears of what came meanwhile
}
