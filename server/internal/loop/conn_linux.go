package loop

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/server/internal/counter"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// connState is what a connection waits for.
type connState uint8

const (
	closed    connState = iota
	reading             // its client's bytes, or its turn
	deciding            // the backend
	writing             // its client to take the answer
	lingering           // its client to have read a refusal
	detached            // another goroutine has it
)

// littleRead is how much is read at a time of a connection that has not said which protocol it
// speaks: it may have a long way to its home.
const littleRead = 4 << 10

// conn is a connection of a loop, and the place for the next one when it is closed. It costs a few
// hundred bytes while it waits: bytes are read into the loop's scratch buffer, and only then copied
// by its session.
type conn struct {
	l    *loop
	slot int32 // in l.conns, for ever
	// generation tells events of this connection from those of the one before in the same slot.
	generation       int32
	deadline, settle timer
	message          counter.Session   // until another protocol is spoken
	claim            gate.Claim        // of the group that the backend has
	done             func(*core.Group) // of that group: it runs on the goroutine that owns the commit
	life
}

// life is what begins anew with each connection.
type life struct {
	fd       int
	peer     gate.Peer
	state    connState
	watched  bool // by the poller
	surplus  bool // beyond MaxConns: here only to be refused
	fresh    bool // nothing was read from it yet
	kept     bool // it does not end after what is written
	unread   bool // there may be something to read that no edge will tell of
	quiet    bool // the settle time is over
	answered bool // it had its turn, and others have theirs before it reads more
	queued   bool // in l.again or l.looking
	hung     bool // the client will send no more
	broken   bool // and take nothing more
	untaken  bool // counted in Gate.Untaken
	greedy   bool // it asks for much, and comes after those who do not
	timed    bool // one of its timers may run

	session  session.Session
	said     session.Next   // what the session said last
	then     session.Next   // Close or Linger, when it has said the last
	event    *session.Event // that it is told next, if that is more than that it has its turn
	asked    bool           // it has said what it waits for
	clock    session.Clock  // that runs, or ran last
	most     int            // bytes that are to be read at once; 0: all
	out      []byte         // to be sent
	sent     int            // bytes of it that are
	answers  int            // requests that it answers
	lingered int            // bytes read since the server or the connection is about to end
	since    time.Duration  // when it came, by the gate's clock
}

// advance goes on with the connection until it has to wait for something: it tells the session what
// has happened, and does what that says. A panic costs this connection alone.
func (c *conn) advance() {
	defer func() {
		if with := recover(); with != nil {
			c.l.p.o.Gate.Panicked(c.peer, with)
			c.close(nil)
		}
	}()
	var e session.Event
	goesOn := true
	switch {
	case c.state == deciding: // the backend has
		c.l.tally.Done(c.claim)
		c.state, e.Kind = reading, session.Outcome
	case c.state == writing:
		e.Kind, goesOn = session.Written, c.write()
	case c.event != nil:
		e, c.event = *c.event, nil
	case c.kept && c.l.p.o.Gate.Crowded(len(c.l.scratch)): // it says anew how much to read at once
	case c.said == session.Read:
		e, goesOn = c.read()
	}
	for goesOn {
		a := c.session.Advance(e)
		c.said, c.greedy = a.Next, a.Greedy
		if c.timed && a.Next != session.Read {
			c.stopTimers()
		}
		goesOn = false
		switch a.Next {
		case session.Read:
			c.clock, c.most, c.asked = a.Clock, a.Most, true
			e, goesOn = c.read()
		case session.Write:
			c.out, c.answers, c.then = a.Out, a.Answers, a.Then
			e, goesOn = session.Event{Kind: session.Written}, c.write()
		case session.Commit: // at the end of the loop's turn, with what others ask for
			c.state, c.claim = deciding, a.Claim
			a.Group.Done = c.done
			c.l.groups = append(c.l.groups, a.Group)
		case session.Again:
			c.goOnLater(&c.l.again)
		case session.Look: // and hear meanwhile if the client breaks the connection
			if c.watch(unix.EPOLLIN) {
				c.goOnLater(&c.l.looking)
			}
		case session.Detach:
			e, goesOn = c.detach()
		case session.Linger:
			c.then = session.Linger
			c.linger()
		default:
			c.then = session.Close
			c.close(nil)
		}
	}
}

// drop is called in place of advance when the loop was aborted.
func (c *conn) drop() { c.l.p.o.Gate.Done(c.claim) }

// read returns what is there for the session. It returns false if nothing is, or if others have
// their turn first.
func (c *conn) read() (e session.Event, is bool) {
	l := c.l
	last := l.p.stage.Load() >= parting
	if !last {
		if !c.unread { // others have their turn while it waits
			c.answered = false
			c.await()
			return e, false
		}
		if c.answered {
			c.goOnLater(&l.again)
			return e, false
		}
	}
	room := l.scratch
	if c.fresh && !last {
		room = room[:littleRead]
	}
	if c.most > 0 && c.most < len(room) {
		room = room[:c.most]
	}
	n, err := epoll.Read(c.fd, room)
	if n > 0 {
		l.tally.In += n
		if last {
			c.lingered += n
		}
	}
	e = session.Event{Kind: session.Bytes, Drained: n < len(room), End: n == 0, Quiet: c.quiet}
	e.Last = last && (e.Drained || c.lingered > dispatch.LingerBytes)
	switch {
	case err == unix.EAGAIN:
		c.unread = false
		switch {
		case !c.asked: // it says what it waits for
			return session.Event{}, true
		case !c.quiet && !last, last && c.isTooYoung():
			c.await()
			return e, false
		}
		n, e.End = 0, false
	case err != nil:
		c.close(err)
		return e, false
	default: // an edge after a read that left the socket empty tells of more, but none of the end that is there
		c.unread, e.Quiet = !e.Drained || c.hung, false
	}
	c.quiet = false
	if c.clock == session.Silence && c.deadline.list != nil { // it is over, and what began has a time of its own
		c.deadline.stop()
	}
	e.Bytes = room[:n]
	if c.fresh && n > 0 {
		c.fresh = false
		if language := l.p.o.Language(room[0], c.peer, false); language != dispatch.Message && !c.surplus {
			return e, c.begin(language, e)
		}
	}
	return e, true
}

// begin has the connection go on in the language of its first bytes, which is not the one that it
// was thought to speak. It returns false if that is elsewhere.
func (c *conn) begin(language dispatch.Language, first session.Event) bool {
	switch language {
	case dispatch.RESP:
		return c.becomeRedis(first)
	case dispatch.TLS:
		c.goElsewhere(first.Bytes)
		return false
	case dispatch.Clear:
		c.session = c.l.p.o.RefuseClear(c.peer)
	}
	return true
}

// isTooYoung tells that the connection has only just come, so that it has time for its first byte
// although the server stops.
func (c *conn) isTooYoung() bool { return c.fresh && c.l.tally.Now-c.since < c.l.p.o.FirstByte }

// await makes the loop call when there is more to read, or when time is up.
func (c *conn) await() {
	if !c.watched && !c.watch(unix.EPOLLIN) {
		return
	}
	l := c.l
	if l.p.stage.Load() >= parting {
		c.clock = session.Greeting
	}
	if c.clock == session.Unhurried {
		if c.timed {
			c.stopTimers()
		}
		return
	}
	c.timed = true
	switch c.clock {
	case session.Greeting:
		if c.deadline.list != &l.greeting {
			l.greeting.start(&c.deadline, l.tally.Now)
		}
		return
	case session.Silence:
		l.reading.start(&c.deadline, l.tally.Now)
		return
	case session.Settling:
		l.settling.start(&c.settle, l.tally.Now)
	}
	if c.deadline.list == nil {
		l.reading.start(&c.deadline, l.tally.Now)
	}
}

// late is called when the time for reading is up.
func (c *conn) late() {
	if c.queued { // it waits for its turn
		return
	}
	if c.l.p.stage.Load() < parting {
		c.event = &session.Event{Kind: session.Late}
	}
	c.advance()
}

// settled is called when the settle time is over. If the loop was late, what came meanwhile is
// there to be read.
func (c *conn) settled() {
	c.unread, c.quiet = true, true
	c.advance()
}

// stopTimers ends what the connection waits for at most.
func (c *conn) stopTimers() {
	for _, t := range [...]*timer{&c.deadline, &c.settle} {
		if t.list != nil {
			t.stop()
		}
	}
	c.timed = false
}

// watch has the poller report edges of the events. Watching begins with a report of what is there
// already, so nothing is missed between a read and this. When it fails the connection is closed.
func (c *conn) watch(events uint32) bool {
	var err error
	const always = unix.EPOLLET | unix.EPOLLRDHUP // RDHUP becomes c.hung
	if !c.watched {
		err = c.l.poll.Add(c.fd, events|always, c.slot, c.generation)
	} else if events&unix.EPOLLOUT != 0 {
		err = c.l.poll.Modify(c.fd, events|always, c.slot, c.generation)
	}
	if err != nil {
		c.close(fmt.Errorf("server: epoll_ctl: %w", err))
		return false
	}
	c.watched = true
	return true
}

// goOnLater gives the connection a turn in the next turn of the loop.
func (c *conn) goOnLater(list *[]later) {
	c.queued, c.answered = true, false
	*list = append(*list, later{c, c.generation})
}

// write sends what is to be sent. It returns false if not all of that is sent yet.
func (c *conn) write() bool {
	for c.sent < len(c.out) {
		n, err := epoll.Write(c.fd, c.out[c.sent:], !c.kept)
		if err == unix.EAGAIN {
			c.waitForClient()
			return false
		}
		if err != nil {
			c.l.p.o.Gate.Happened(gate.LostAnswer, c.peer, err)
			c.close(nil)
			return false
		}
		c.sent += n
		c.l.tally.Out += n
	}
	if c.untaken {
		c.untaken = false
		c.l.p.o.Gate.Untaken.Add(-1)
	}
	if c.timed {
		c.stopTimers()
	}
	if c.answers > 0 {
		c.l.p.o.Gate.Answered.Add(uint64(c.answers))
	}
	switch c.then {
	case session.Close:
		c.close(nil)
		return false
	case session.Linger:
		c.linger()
		return false
	}
	c.state, c.out, c.sent, c.answered = reading, nil, 0, true
	return true
}

// waitForClient waits until the client takes more, but not for ever.
func (c *conn) waitForClient() {
	if !c.session.Untaken() {
		c.l.p.o.Gate.Happened(gate.LostAnswer, c.peer, "too many answers wait to be taken")
		c.close(nil)
		return
	}
	if !c.watch(unix.EPOLLIN | unix.EPOLLOUT) {
		return
	}
	c.state = writing
	if !c.untaken {
		c.untaken = true
		c.l.p.o.Gate.Untaken.Add(1)
	}
	if c.deadline.list != &c.l.writing {
		c.timed = true
		c.l.writing.start(&c.deadline, c.l.tally.Now)
	}
}

// linger ends the connection when its client has read what it was sent, or has had the time for it.
// Closing on bytes that were never read would reset the connection and could destroy the answer.
func (c *conn) linger() {
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		c.close(nil)
		return
	}
	c.state, c.timed = lingering, true
	c.l.lingering.start(&c.deadline, c.l.tally.Now)
	c.discard()
}

// discard reads and forgets what a client still sends that was told the last.
func (c *conn) discard() {
	for c.lingered < dispatch.LingerBytes {
		n, err := epoll.Read(c.fd, c.l.scratch)
		if err == unix.EAGAIN {
			c.watch(unix.EPOLLIN)
			return
		}
		if err != nil || n == 0 {
			break
		}
		c.l.tally.In += n
		c.lingered += n
	}
	c.close(nil)
}
