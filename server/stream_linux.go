package server

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/store"
)

// streamState is what a stream waits for.
type streamState uint8

const (
	closed     streamState = iota
	reading                // its client's bytes
	committing             // the backend
	writing                // its client to take the answer
	lingering              // its client to have read a refusal
	lent                   // a backup to be sent, by somebody else
)

// maxKept is the most capacity of a buffer that a closed stream keeps for the next.
const maxKept = 1 << 10

// handler gives meaning to a stream's bytes. Its methods run on the stream's loop and may close it.
type handler interface {
	// readable is told that the socket may have become readable.
	readable(c *stream)
	// committed is told that the group has its outcomes.
	committed(c *stream)
	// written is told that all of c.out is written.
	written(c *stream)
	// late is told that the read deadline has passed.
	late(c *stream)
	// parting is told, while the stream reads, that what has arrived by now is the last. It sees to
	// that, and ends the connection.
	parting(c *stream)
	// ended is told that the stream is about to be closed.
	ended(c *stream)
}

// stream is a TCP connection of a loop. It costs a few hundred bytes while it waits: bytes are read into the loop's
// scratch buffer and only then copied.
type stream struct {
	l    *loop
	slot int32 // in l.streams, for ever
	// generation tells events of this connection from those of the one before in the same slot.
	generation int32
	fd         int
	peer       netip.AddrPort
	from       *sourceUse
	state      streamState
	watched    bool // by the poller
	extra      bool // beyond MaxConns: here only to be refused
	refused    bool // the answer is a refusal
	unread     bool // there may be something to read that no edge will tell of
	hung       bool // the client will send no more
	broken     bool // and take nothing more
	untaken    bool // counted in Server.untaken
	goesOn     bool // behind what is written the connection does not end

	handler  handler
	in       []byte // received and not yet used; not to be touched while committing
	out      []byte // to be written
	sent     int    // bytes of out that are written
	lingered int    // bytes read while lingering

	since time.Duration // when it came, by the loop's clock

	ops   [1]store.Op
	group store.Group

	deadline, settle timer
}

// newStream makes a stream of an accepted socket.
func (l *loop) newStream(fd int, peer netip.AddrPort) *stream {
	var c *stream
	if n := len(l.free); n > 0 {
		c, l.free = l.free[n-1], l.free[:n-1]
	} else {
		c = &stream{l: l, slot: int32(len(l.streams))}
		c.deadline.c, c.settle.c = c, c
		c.group.Done = c.done
		l.streams = append(l.streams, c)
	}
	l.open++
	c.fd, c.peer, c.from, c.state, c.handler = fd, peer, l.s.shares.of(peer.Addr()), reading, l.handler
	c.since = l.now
	return c
}

// close ends the connection and makes the stream free.
func (c *stream) close() {
	if c.state == closed {
		return
	}
	c.shut()
	c.free()
}

// free makes the stream free for another connection.
func (c *stream) free() {
	c.in, c.out = kept(c.in), kept(c.out)
	c.ops[0] = store.Op{}
	c.watched, c.extra, c.refused, c.unread, c.hung, c.broken, c.goesOn, c.sent, c.lingered = false, false, false, false, false, false, false, 0, 0
	c.l.free = append(c.l.free, c)
}

// kept is an empty buffer of b's room, if that is not too much to keep.
func kept(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// abandon ends the connection of a stream that may still be the backend's, and so must not be used again.
func (c *stream) abandon() { c.shut() }

func (c *stream) shut() {
	c.handler.ended(c)
	unix.Close(c.fd) // takes it out of the poller
	c.leave()
	if c.extra {
		c.l.s.conns.releaseLingering()
	} else {
		c.l.s.conns.release(c.peer.Addr())
	}
}

// leave takes the stream out of its loop's care.
func (c *stream) leave() {
	c.state = closed
	c.isUntaken(false)
	c.generation++
	c.deadline.stop()
	c.settle.stop()
	c.l.open--
}

// ready is called when the socket may have become readable or writable.
func (c *stream) ready() {
	switch c.state {
	case reading:
		c.handler.readable(c)
	case committing:
		c.unread = true
	case writing:
		c.unread = true
		c.flush()
	case lingering:
		c.drain()
	}
}

// settled is called when the settle time has passed. If the loop was late, what came meanwhile is there to be read.
func (c *stream) settled() { c.receive(true) }

// receive reads until the socket is empty or the message is whole.
func (c *stream) receive(quiet bool) {
	for {
		room := c.l.scratch[:maxRead-len(c.in)]
		if len(c.in) == 0 { // it may be RESP's, and have a long way to its home
			room = room[:littleRead]
		}
		n, err := c.l.read(c.fd, room)
		switch {
		case err == unix.EAGAIN:
			if !quiet || c.received(true, false, true) {
				c.await()
			}
			return
		case err != nil:
			c.l.s.journal.broke(c.peer, c.in, err)
			c.close()
			return
		}
		c.in = append(c.in, room[:n]...)
		// A read that left the socket empty may have left the end behind, of which no edge would tell: so go on.
		drained, ended := n < len(room), n == 0
		if !c.received(drained, ended, false) {
			return
		}
		quiet = false
	}
}

// await makes the loop call when there is more to read, or when time is up.
func (c *stream) await() {
	if !c.watch(unix.EPOLLIN) {
		return
	}
	if c.deadline.list == nil {
		c.l.reading.start(&c.deadline, c.l.now)
	}
	if len(c.in) > 0 {
		c.l.settling.start(&c.settle, c.l.now)
	}
}

// watch has the poller report edges of the events. Watching begins with a report of what is there already, so nothing is
// missed between a read and this. When it fails the stream is closed.
func (c *stream) watch(events uint32) bool {
	var err error
	const always = unix.EPOLLET | unix.EPOLLRDHUP // RDHUP becomes c.hung
	if !c.watched {
		err = c.l.poll.add(c.fd, events|always, c.slot, c.generation)
	} else if events&unix.EPOLLOUT != 0 {
		err = c.l.poll.modify(c.fd, events|always, c.slot, c.generation)
	}
	if err != nil {
		c.l.s.journal.happened(brokenConn, c.peer, err)
		c.close()
		return false
	}
	c.watched = true
	return true
}

// submit hands c.group over at the end of the loop's turn.
func (c *stream) submit() {
	c.deadline.stop()
	c.settle.stop()
	c.state = committing
	c.l.groups = append(c.l.groups, &c.group)
}

// claim is what a message, whole and not yet answered, has in flight.
func (c *stream) claim() claim { return claim{from: c.from, clients: 1, requests: 1, bytes: len(c.in)} }

// done runs on the goroutine that owns the commit.
func (c *stream) done(*store.Group) {
	if !c.l.mail.put(c) {
		c.drop()
	}
}

// finish is called when the group has its outcomes.
func (c *stream) finish() {
	c.l.tally.done(c.claim())
	c.l.step(c, func() { c.handler.committed(c) })
}

func (c *stream) drop() { c.l.s.done(c.claim()) }

// flush writes c.out, and tells the handler when all is written.
func (c *stream) flush() {
	write := writeLast
	if c.goesOn {
		write = writeSocket
	}
	for c.sent < len(c.out) {
		n, err := write(c.fd, c.out[c.sent:])
		if err == unix.EAGAIN {
			c.state = writing
			c.isUntaken(true)
			if c.watch(unix.EPOLLIN|unix.EPOLLOUT) && c.deadline.list != &c.l.writing {
				c.l.writing.start(&c.deadline, c.l.now)
			}
			return
		}
		if err != nil {
			c.l.s.journal.happened(lostAnswer, c.peer, err)
			c.close()
			return
		}
		c.sent += n
		c.l.out += n
	}
	c.isUntaken(false)
	c.handler.written(c)
}

// isUntaken counts the stream among those that have an answer to take, or no more.
func (c *stream) isUntaken(is bool) {
	if c.untaken != is {
		c.untaken = is
		c.l.s.untaken.Add(int64(2*flag(is) - 1))
	}
}

// linger ends the connection when its client has read what it was sent, or has had the time for it. Closing on bytes that were never
// read would reset the connection and could destroy the answer.
func (c *stream) linger() {
	c.settle.stop()
	c.deadline.stop()
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		c.close()
		return
	}
	c.state = lingering
	c.l.lingering.start(&c.deadline, c.l.now)
	c.drain()
}

// refuse answers with a refusal, and then lingers.
func (c *stream) refuse(code codec.Code, text string) {
	c.l.s.journal.refusedMessage(code, c.peer, c.in)
	c.settle.stop()
	c.deadline.stop()
	c.refused = true
	c.out = codec.AppendRefusal(c.out, code, text)
	c.flush()
}

// drain reads and forgets what a refused client still sends.
func (c *stream) drain() {
	for c.lingered < lingerBytes {
		n, err := c.l.read(c.fd, c.l.scratch)
		if err == unix.EAGAIN {
			c.watch(unix.EPOLLIN)
			return
		}
		if err != nil || n == 0 {
			break
		}
		c.lingered += n
	}
	c.close()
}
