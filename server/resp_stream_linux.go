package server

import (
	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/store"
)

// conversation is RESP on a stream of a loop. In each turn of the loop it takes what its client has sent, hands that over as one group, and
// when the group has its outcomes writes the answers and goes on. Meanwhile it reads nothing, so what a client can have under way is bounded.
type conversation struct {
	c      *stream
	client *respClient
	x      *loopExchange // nil while nothing of a command is there
	queued bool          // in loop.again or loop.looking
	parted bool          // what was read last was the last
}

// loopExchange is an exchange of a loop's, which lends it to conversations.
type loopExchange struct {
	exchange
	c *stream
}

// converse makes a stream RESP's, with what it has received, on the loop that is its home.
func (c *stream) converse(drained bool) {
	home := c.l.p.home(c.l)
	home.conversations.Add(1)
	if home != c.l {
		c.move(home, drained)
		return
	}
	c.talk(drained)
}

// talk makes a stream RESP's that has arrived at its home.
func (c *stream) talk(drained bool) {
	v := &conversation{c: c, client: c.l.s.enterRESP(c.peer, localAddr(c.fd))}
	c.handler, c.goesOn = v, true
	c.settle.stop()
	c.unread = !drained || c.hung
	v.exchange().receive(c.in)
	c.in = kept(c.in)
	v.proceed()
}

// exchange returns the conversation's exchange, a new one if it has none.
func (v *conversation) exchange() *loopExchange {
	if v.x != nil {
		return v.x
	}
	l := v.c.l
	if n := len(l.exchanges); n > 0 {
		v.x, l.exchanges = l.exchanges[n-1], l.exchanges[:n-1]
		l.spareBytes -= v.x.holds()
	} else {
		v.x = new(loopExchange)
		v.x.group.Done = v.x.done
	}
	v.x.c, v.x.client, v.x.admission = v.c, v.client, &l.tally
	return v.x
}

// giveBack returns the exchange to the loop.
func (v *conversation) giveBack() {
	if v.x == nil {
		return
	}
	l := v.c.l
	v.x.release()
	v.x.c = nil
	if l.spareBytes+v.x.holds() > l.s.mostSpare() {
		v.x.trim(0)
	}
	l.spareBytes += v.x.holds()
	l.exchanges = append(l.exchanges, v.x)
	v.x = nil
}

// done runs on the goroutine that owns the commit.
func (x *loopExchange) done(*store.Group) {
	if !x.c.l.mail.put(x) {
		x.drop()
	}
}

func (x *loopExchange) drop() { x.client.s.done(x.claim()) }

// finish is called when the group has its outcomes.
func (x *loopExchange) finish() {
	c := x.c
	c.l.tally.done(x.claim())
	c.l.step(c, func() { c.handler.committed(c) })
}

// goOn is the turn of a conversation that has more to do than it did in its last.
func (v *conversation) goOn() {
	switch {
	case v.x == nil || !v.x.more:
		v.receive()
	case v.c.broken && v.x.listing.unfinished:
		v.c.l.s.journal.happened(lostAnswer, v.c.peer, "the connection broke before the answer was made")
		v.c.close()
	default:
		v.proceed()
	}
}

// readable is called when the client may have sent something.
func (v *conversation) readable(c *stream) {
	if v.queued { // it comes to that
		c.unread = true
		return
	}
	if !v.client.asksForLittle() && c.l.spent() { // it is behind those that wait already
		c.unread, v.queued = true, true
		c.l.again = append(c.l.again, v)
		return
	}
	v.receive()
}

// receive reads once. A read that left the socket empty is the last until there is an edge, unless the client will send no more:
// then the end is still to be read.
func (v *conversation) receive() {
	c := v.c
	room := c.l.scratch
	if v.x != nil {
		room = room[:v.x.appetite(len(room))]
	} else if c.l.s.crowded(len(room)) {
		room = room[:littleRead]
	}
	n, err := c.l.read(c.fd, room)
	switch {
	case err == unix.EAGAIN && c.l.p.stage.Load() >= parting: // this was the last look
		v.farewell()
	case err == unix.EAGAIN:
		c.unread = false
		v.await()
	case err != nil || n == 0:
		if err != nil && v.x != nil {
			c.l.s.journal.happened(brokenConn, c.peer, err)
		}
		c.close()
	default:
		c.unread = n == len(room) || c.hung
		if v.x == nil {
			c.deadline.stop() // that of a silence
		}
		v.exchange().receive(room[:n])
		v.proceed()
	}
}

// proceed takes commands and has them done.
func (v *conversation) proceed() {
	c, x := v.c, v.x
	x.now, c.l.talked = c.l.now, true
	admitted := x.takeAdmitted()
	if x.at > 0 || x.held > 0 { // what is not whole yet began later
		c.deadline.stop()
	}
	if !admitted {
		v.reply()
		return
	}
	c.deadline.stop()
	c.state = committing
	x.group.Ops = x.ops
	c.l.groups = append(c.l.groups, &x.group)
}

func (v *conversation) committed(c *stream) {
	c.state = writing // the exchange is the backend's no more, so that ended gives it back
	v.x.now = c.l.now
	v.x.noteLittle()
	v.reply()
}

// reply writes what is to be answered.
func (v *conversation) reply() {
	c, x := v.c, v.x
	x.answer()
	c.l.times.finish(&x.exchange)
	c.l.talked = true
	c.out, c.sent, x.out = x.out, 0, nil
	c.flush()
	if c.state == writing && !x.holdAnswer(cap(c.out)) {
		c.l.s.journal.happened(lostAnswer, c.peer, "too many answers wait to be taken")
		c.close()
	}
}

// written is called when the client was sent all answers.
func (v *conversation) written(c *stream) {
	x := v.x
	x.out, c.out = keptRoom(c.out, 2*maxTurnReplies), nil
	v.client.finished(&x.exchange)
	c.deadline.stopIn(&c.l.writing)
	switch {
	case x.backup != "":
		v.lend()
	case x.closing:
		c.linger()
	default:
		v.next()
	}
}

// next sees to what comes behind a turn.
func (v *conversation) next() {
	c, x := v.c, v.x
	c.state = reading
	x.compact()
	if !x.more && c.l.p.stage.Load() >= parting {
		v.parting(c)
		return
	}
	if !x.more && !x.idle() && !x.hold(0) {
		c.l.s.journal.refused(codec.CodeTooManyRequests, c.peer, x.in)
		v.cutOff(errHeld)
		return
	}
	if x.listing.unfinished && !c.watch(unix.EPOLLIN) { // a client that breaks the connection meanwhile is waited for no more
		return
	}
	if !x.more && !c.unread {
		v.await()
	} else if !v.queued {
		v.queued = true
		if x.listing.unfinished {
			c.l.looking = append(c.l.looking, v)
		} else {
			c.l.again = append(c.l.again, v)
		}
	}
}

// await makes the loop call when there is more to read. A command that has begun has to be whole in
// time, and who keeps a transaction waiting is looked at now and then.
func (v *conversation) await() {
	c := v.c
	if !c.watch(unix.EPOLLIN) {
		return
	}
	if v.x == nil || v.x.idle() {
		v.giveBack()
		c.deadline.stop()
		if v.client.queues() {
			c.l.reading.start(&c.deadline, c.l.now)
		}
	} else if c.deadline.list == nil {
		c.l.reading.start(&c.deadline, c.l.now)
	}
}

// late is called when a command was not whole in time, or a transaction has not gone on.
func (v *conversation) late(c *stream) {
	if v.x == nil {
		if v.queued || v.client.mayBeSilent() { // queued: it is not silent, it waits for its turn
			c.l.reading.start(&c.deadline, c.l.now)
			return
		}
		c.l.s.journal.refused(codec.CodeTooManyRequests, c.peer, nil)
		v.exchange()
		v.cutOff(errHeld)
		return
	}
	c.l.s.journal.refused(codec.CodeNothingArrived, c.peer, v.x.in)
	v.cutOff(refusalText(codec.CodeNothingArrived))
}

// cutOff ends the connection in the middle of a command, and says why.
func (v *conversation) cutOff(why string) {
	v.x.closing = true
	v.x.out = v.x.appendError(v.x.out, why)
	v.reply()
}

// parting reads for the last time, and behind that ends the connection.
func (v *conversation) parting(*stream) {
	switch {
	case v.queued: // it comes to that
	case v.parted:
		v.farewell()
	default:
		v.parted = true
		v.receive()
	}
}

// farewell ends the connection without destroying answers that its client has not read yet: closing
// on unread bytes would, and a client that was told that the server stops may have more under way.
func (v *conversation) farewell() {
	if v.client.told != 0 || v.x != nil && !v.x.idle() {
		v.c.linger()
		return
	}
	v.c.close()
}

// ended is called when the stream is closed. What the backend has is not touched.
func (v *conversation) ended(c *stream) {
	v.client.leave()
	c.l.conversations.Add(-1)
	if c.state != committing {
		v.giveBack()
	}
}
