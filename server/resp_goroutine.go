package server

import (
	"errors"
	"io"
	"net"
	"runtime"
	"time"

	"gcd/codec"
	"gcd/resp"
	"gcd/store"
)

// talker is an exchange of goroutine dispatch, where a connection keeps its own.
type talker struct {
	exchange
	times commandTimes
	done  chan struct{} // gets one value for each submission
	last  bool          // what was read last was the last
}

// talk serves a RESP connection to its end. first is what was received already.
func (d *goroutines) talk(c *streamConn, first []byte) {
	t := &talker{done: make(chan struct{}, 1)}
	t.admission = d.s
	t.client = d.s.enterRESP(c.peer, c.nc.LocalAddr().(*net.TCPAddr).AddrPort())
	defer t.client.leave()
	defer t.charge(0)
	d.mu.Lock()
	c.least = time.Time{} // its first byte is here
	d.mu.Unlock()
	t.group.Done = func(*store.Group) {
		d.s.done(t.claim())
		t.done <- struct{}{} // has room: one submission at a time
	}
	t.in = first
	for d.turn(c, t) {
		if !t.more && !d.listen(c, t) {
			return
		}
	}
}

// turn takes and answers commands. It returns false when the connection has ended.
func (d *goroutines) turn(c *streamConn, t *talker) bool {
	if t.listing.unfinished && brokenConnection(c.nc) {
		d.s.journal.happened(lostAnswer, c.peer, "the connection broke before the answer was made")
		return false
	}
	admitted, goesOn := false, false
	began := time.Since(d.s.began)
	t.now = began
	if !d.s.guard(c.peer, func() {
		if t.listing.unfinished || !t.client.asksForLittle() && isLately(&d.s.askers.anybody, began) {
			d.looking.Lock()
			defer d.looking.Unlock()
		}
		admitted = t.takeAdmitted()
	}) {
		return false
	}
	if t.at > 0 {
		c.deadline = time.Time{} // what is read next is another command
	}
	if admitted && !d.commitRESP(t) {
		return false // t is the backend's still
	}
	d.s.guard(c.peer, func() {
		t.answer()
		goesOn = d.reply(c, t)
	})
	now := time.Since(d.s.began)
	t.times.settle(d.s.resp, now-began)
	d.s.noteRates(now)
	if t.more {
		runtime.Gosched() // others, too, have something to say
	}
	return goesOn
}

// commitRESP has t's operations done. It returns false if the dispatch was aborted before they were.
func (d *goroutines) commitRESP(t *talker) bool {
	t.group.Ops = t.ops
	d.s.backend.Submit(&t.group)
	select {
	case <-t.done:
		t.now = time.Since(d.s.began)
		t.noteLittle()
		return true
	case <-d.aborting:
		return false
	}
}

// reply writes what there is to write, and returns false if that was the last of the connection.
func (d *goroutines) reply(c *streamConn, t *talker) bool {
	t.times.finish(&t.exchange)
	if out := t.out; len(out) > 0 {
		t.out = nil
		if !d.writeWithin(c, out, d.patience(t, cap(out))) {
			return false
		}
		t.out = keptRoom(out, maxKeptBytes)
	}
	t.client.finished(&t.exchange)
	if t.backup != "" {
		format := t.backup
		t.backup = ""
		if !d.s.backUp(c.nc, c.peer, format) {
			return false
		}
	}
	if t.closing {
		d.linger(c)
		return false
	}
	t.compact()
	return true
}

// patience is how long the client has to take answers of so many bytes: no time to speak of if too
// many wait to be taken already.
func (d *goroutines) patience(t *talker, bytes int) time.Duration {
	if t.holdAnswer(bytes) {
		return d.s.opts.WriteTimeout
	}
	return min(crowded, d.s.opts.WriteTimeout)
}

// crowded is time for the system to take what it has room for.
const crowded = 100 * time.Millisecond

// farewell ends a connection without destroying answers that its client has not read yet: closing
// on unread bytes would, and a client that was told that the server stops may have more under way.
func (d *goroutines) farewell(c *streamConn, t *talker) {
	if t.client.told != 0 || !t.idle() {
		d.linger(c)
	}
}

// listen reads more of what the client says: the rest of a command in time, the beginning of one whenever it likes. It returns false
// at the connection's end. Who keeps a transaction waiting is looked at now and then.
func (d *goroutines) listen(c *streamConn, t *talker) bool {
	const least, room = 4 << 10, 16 << 10
	silent := t.idle()
	if silent {
		t.keepLittle()
		c.deadline = time.Time{}
	} else if c.deadline.IsZero() {
		c.deadline = time.Now().Add(d.s.opts.ReadTimeout)
	}
	if spare := cap(t.in) - len(t.in); spare < t.rest(least) {
		t.grow(room)
	}
	if !t.hold(least) {
		d.s.journal.refused(codec.CodeTooManyRequests, c.peer, t.in)
		d.cutOff(c, errHeld)
		return false
	}
	until := c.deadline
	if silent && t.client.queues() {
		until = time.Now().Add(d.s.opts.ReadTimeout)
	}
	d.readUntil(c, until)
	n, err := c.nc.Read(t.in[len(t.in):cap(t.in)])
	d.s.traffic.took(n)
	if isTimeout(err) && d.ended(c) && !t.last {
		t.last = true
		n, err = look(c.nc, t.in[len(t.in):cap(t.in)])
		d.s.traffic.took(n)
	}
	t.in = t.in[:len(t.in)+n]
	switch {
	case err == nil:
		return true
	case t.last && isTimeout(err):
		d.farewell(c, t)
	case isTimeout(err) && silent:
		if t.client.mayBeSilent() {
			return true
		}
		d.s.journal.refused(codec.CodeTooManyRequests, c.peer, nil)
		d.cutOff(c, errHeld)
	case isTimeout(err):
		d.s.journal.refused(codec.CodeNothingArrived, c.peer, t.in)
		d.cutOff(c, refusalText(codec.CodeNothingArrived))
	case !errors.Is(err, net.ErrClosed) && err != io.EOF && !t.idle():
		d.s.journal.happened(brokenConn, c.peer, err)
	}
	return false
}

// cutOff ends the connection in the middle of a command, and says why.
func (d *goroutines) cutOff(c *streamConn, why string) {
	d.s.resp.errors.note(why)
	if d.write(c, resp.AppendError(nil, why)) {
		d.linger(c)
	}
}
