package blocking

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"time"

	"gcd/codec"
	"gcd/server/internal/counter"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/redis"
	"gcd/server/internal/secure"
	"gcd/server/internal/session"
	"gcd/server/internal/socket"
	"gcd/store/core"
)

const (
	// firstRead is the size of the buffer in which a connection begins. A message that fills it is
	// never complete by its bytes alone (codec.Complete), so only the few that are longer need one
	// of counter.MaxRead.
	firstRead = 536
	// talkRead is how many bytes of commands are read at once.
	talkRead = 16 << 10
	// littleAnswer is how long an answer is at most that is charged to nobody while its client
	// takes it: far less than a connection has for nothing.
	littleAnswer = 1 << 10
	// crowded is time for the system to take what it has room for, when the client is not waited
	// for.
	crowded = 100 * time.Millisecond
)

// conn is a connection with a goroutine of its own. It is used for one after the other, unless the
// backend has kept its group.
type conn struct {
	d       *Dispatcher
	socket  net.Conn
	nc      net.Conn     // the socket, or tls
	tls     *secure.Conn // over the socket; nil without TLS
	peer    gate.Peer
	from    *gate.Source
	surplus bool // it has a place only to be told that it is too many

	session  session.Session
	over     bool            // it has said its last
	message  counter.Session // until another protocol is spoken
	claim    gate.Claim      // of the group that the backend has
	worker   session.Worker
	redis    *redis.Worker // nil until RESP is spoken
	fresh    bool          // nothing was read yet
	greedy   bool          // it asks for much
	looks    bool          // it looks at topics, which takes long
	lingered int           // bytes read since the server is about to end
	came     time.Time

	// least, under Dispatcher.mu: it is not ended before, since it has only just come.
	least time.Time

	clock    session.Clock // that runs
	deadline time.Time     // its end; zero: never

	first   [firstRead]byte
	scratch []byte  // what is read into
	long    *[]byte // of the dispatcher's pool, if first was too short

	committed chan struct{} // gets one value for each submission
	done      func(*core.Group)
}

func newConn(d *Dispatcher) *conn {
	c := &conn{d: d, committed: make(chan struct{}, 1)}
	c.worker = session.Worker{Gate: d.o.Gate, Tally: d.o.Gate.Tally(true)}
	c.done = func(*core.Group) {
		d.o.Gate.Done(c.claim)
		c.committed <- struct{}{} // has room: one submission at a time
	}
	return c
}

// begin makes it a new connection, which is told a code if that is not 0.
func (c *conn) begin(nc net.Conn, peer gate.Peer, from *gate.Source, code codec.Code) {
	c.socket, c.nc, c.tls, c.from, c.peer, c.came, c.scratch = nc, nc, nil, from, peer, time.Now(), c.first[:]
	c.fresh, c.over, c.greedy, c.looks, c.surplus = true, false, false, false, code != 0
	c.clock, c.deadline, c.lingered = session.Unhurried, time.Time{}, 0
	if c.surplus {
		c.session = c.d.o.Refuser(peer, code)
		return
	}
	c.message.Begin(c.d.o.Counter, &c.worker, peer, from)
	c.session = &c.message
}

// run serves the connection to its end.
func (c *conn) run() {
	broken, whole := c.serve()
	if !c.over {
		c.advance(session.Event{Kind: session.Ended, Err: broken})
	}
	c.worker.Tally.Flush()
	c.leave()
	if !whole { // the backend has the group still
		return
	}
	if c.long != nil {
		c.d.scratch.Put(c.long)
		c.long = nil
	}
	c.socket, c.nc, c.tls, c.session, c.redis = nil, nil, nil, nil, nil
	c.d.conns.Put(c)
}

// leave closes the connection and gives back its place.
func (c *conn) leave() {
	c.nc.Close()
	c.d.mu.Lock()
	delete(c.d.live, c)
	c.d.mu.Unlock()
	if c.surplus {
		c.d.o.Gate.LeaveLingering()
	} else {
		c.d.o.Gate.Leave(c.peer)
	}
}

// serve does what the session says. It returns what has broken the connection, if something did,
// and whether the backend has nothing of it: it keeps the group when the dispatch was aborted.
func (c *conn) serve() (broken error, whole bool) {
	for e := (session.Event{Kind: session.Turn}); ; {
		a := c.advance(e)
		e = session.Event{Kind: session.Turn}
		switch a.Next {
		case session.Read:
			if e, broken = c.read(a); e.Kind == session.Turn {
				return broken, true
			}
		case session.Commit:
			c.clock, c.claim = session.Unhurried, a.Claim
			a.Group.Done = c.done
			c.d.o.Backend().Submit(a.Group)
			select {
			case <-c.committed:
				e.Kind = session.Outcome
				if who := a.Claim.Asker; who == gate.Talker {
					c.d.o.Gate.NoteLittle(time.Since(c.d.o.Gate.Began), who)
				}
			case <-c.d.aborting:
				return nil, false
			}
		case session.Write:
			if !c.write(a.Out) {
				return nil, true
			}
			if a.Answers > 0 {
				c.d.o.Gate.Answered.Add(uint64(a.Answers))
			}
			// The client's own word that nothing more follows may be there unread, if it is TLS's.
			if a.Then == session.Linger || c.over && c.tls != nil {
				c.linger()
			}
			if c.over {
				return nil, true
			}
			e.Kind = session.Written
		case session.Again:
			c.clock = session.Unhurried
			runtime.Gosched() // others, too, have something to say
		case session.Look:
			if socket.IsBroken(c.socket) {
				c.d.o.Gate.Happened(gate.LostAnswer, c.peer, "the connection broke before the answer was made")
				return nil, true
			}
			c.looks = true
		case session.Detach:
			if !c.detached() {
				return nil, true
			}
		case session.Linger:
			c.linger()
			return nil, true
		default:
			return nil, true
		}
	}
}

// advance tells the session what has happened. A panic in it costs this connection alone: then
// there is nothing to do but to end it, of which the session has still to hear.
func (c *conn) advance(e session.Event) (a session.Action) {
	g := c.d.o.Gate
	defer func() {
		if with := recover(); with != nil {
			g.Panicked(c.peer, with)
			a = session.Action{Next: session.Close}
		}
	}()
	now := time.Since(g.Began)
	if c.redis != nil && c.redis.Talked {
		c.redis.Flush(now - c.worker.Tally.Now)
	}
	c.worker.Tally.Now = now
	c.worker.Tally.Flush()
	if c.looks || c.greedy && g.IsShared(now) {
		c.d.looking.Lock()
		defer c.d.looking.Unlock()
	}
	a = c.session.Advance(e)
	c.looks, c.greedy = false, a.Greedy
	c.over = a.Then != session.Read || a.Next == session.Linger || a.Next == session.Close
	if (c.over || a.Next == session.Read) && c.redis != nil && c.redis.Talked { // what follows is not its time
		c.redis.Flush(time.Since(g.Began) - now)
	}
	return a
}

// detached lets the session have the connection to itself.
func (c *conn) detached() (goesOn bool) {
	defer func() {
		if with := recover(); with != nil {
			c.d.o.Gate.Panicked(c.peer, with)
		}
	}()
	return c.session.Detached(c.nc)
}

// read returns what comes. An event that is none of Bytes and Late says that the connection is
// over, and the error what has broken it, if something did.
func (c *conn) read(a session.Action) (e session.Event, broken error) {
	c.setClock(a.Clock)
	room := c.scratch
	if c.redis == nil && !c.fresh && c.long == nil && c.message.Received() >= firstRead {
		c.long = c.d.scratch.Get().(*[]byte)
		c.scratch = *c.long
		room = c.scratch
	}
	if a.Most > 0 && a.Most < len(room) {
		room = room[:a.Most]
	}
	n, err := c.nc.Read(room)
	if err != nil && isTimeout(err) {
		ended := c.d.ended(c)
		settled := c.clock == session.Settling && time.Now().Before(c.came.Add(c.d.o.ReadTimeout))
		if !ended && !settled {
			return session.Event{Kind: session.Late}, nil
		}
		// A timeout alone does not prove quiet, for this goroutine may have been late: the system
		// is asked once more.
		n, err = c.readAvailable(room)
		if isTimeout(err) && settled && !ended && c.halfRecord() { // the message goes on for sure
			return c.read(session.Action{Clock: session.Message, Most: a.Most})
		}
		if ended {
			c.lingered += n
		}
		e.Last = ended && (n < len(room) || c.lingered > dispatch.LingerBytes)
		if isTimeout(err) {
			e.Kind, e.Drained, e.Quiet = session.Bytes, true, settled
			return e, nil
		}
	}
	c.worker.Tally.In += n
	switch {
	case err == io.EOF:
		e.End = true
	case errors.Is(err, net.ErrClosed): // by Abort
		return e, nil
	case err != nil:
		return e, err
	}
	e.Kind, e.Bytes, e.Drained = session.Bytes, room[:n], n < len(room) && !c.halfRecord()
	if c.fresh && n > 0 {
		c.fresh = false
		switch c.language(room[0]) {
		case dispatch.RESP:
			c.becomeRedis()
		case dispatch.TLS:
			if !c.secure(room[:n]) {
				return session.Event{}, nil
			}
			return c.read(a)
		case dispatch.Clear:
			c.session = c.d.o.RefuseClear(c.peer)
		}
	}
	return e, nil
}

// language is what the connection speaks, by its first byte.
func (c *conn) language(first byte) dispatch.Language {
	if c.surplus {
		return dispatch.Message // it is not listened to
	}
	return c.d.o.Language(first, c.peer, c.tls != nil)
}

// readAvailable reads what is there already.
func (c *conn) readAvailable(b []byte) (int, error) {
	if c.tls != nil {
		return c.tls.ReadAvailable(b)
	}
	return socket.ReadAvailable(c.socket, b)
}

// halfRecord tells whether the first part of something is there, and the rest is sure to come.
func (c *conn) halfRecord() bool { return c.tls != nil && c.tls.HalfRecord() }

// becomeRedis makes the connection one that speaks RESP.
func (c *conn) becomeRedis() {
	c.d.mu.Lock()
	c.least = time.Time{} // its first byte is here
	c.d.mu.Unlock()
	var local netip.AddrPort
	if a, is := c.nc.LocalAddr().(*net.TCPAddr); is {
		local = a.AddrPort()
	}
	c.redis = c.d.o.Redis.NewWorker(&c.worker, true)
	c.session = c.redis.NewSession(c.peer, local)
	c.scratch = make([]byte, talkRead)
}

// setClock sets the time that the client has.
func (c *conn) setClock(clock session.Clock) {
	o := &c.d.o
	switch clock {
	case session.Unhurried:
		c.deadline = time.Time{}
	case session.Greeting:
		c.deadline = c.came.Add(o.FirstByte)
	case session.Silence:
		c.deadline = time.Now().Add(o.ReadTimeout)
	case session.Command:
		if c.clock != clock {
			c.deadline = time.Now().Add(o.ReadTimeout)
		}
	default:
		c.deadline = c.came.Add(o.ReadTimeout)
		if soon := time.Now().Add(o.Settle); clock == session.Settling && soon.Before(c.deadline) {
			c.deadline = soon
		}
	}
	c.clock = clock
	c.d.readUntil(c, c.deadline)
}

// write sends all of b, and returns false if that cannot be.
func (c *conn) write(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	o := &c.d.o
	timeout := o.WriteTimeout
	if len(b) > littleAnswer && !c.session.Untaken() {
		timeout = min(crowded, timeout)
	}
	c.clock = session.Unhurried
	o.Gate.Untaken.Add(1)
	defer o.Gate.Untaken.Add(-1)
	c.nc.SetWriteDeadline(time.Now().Add(timeout))
	n, err := c.nc.Write(b)
	c.worker.Tally.Out += n
	if err != nil {
		o.Gate.Happened(gate.LostAnswer, c.peer, err)
		return false
	}
	return true
}

// linger lets the client read the last that it was told: closing on bytes that were never read
// would reset the connection and could destroy it.
func (c *conn) linger() {
	if c.closeWrite() != nil {
		return
	}
	c.socket.SetReadDeadline(time.Now().Add(c.d.o.Linger))
	n, _ := io.CopyN(io.Discard, c.socket, dispatch.LingerBytes)
	c.worker.Tally.In += int(n)
}

// closeWrite tells the client that nothing more follows.
func (c *conn) closeWrite() error {
	if c.nc != c.socket {
		return c.tls.CloseWrite()
	}
	if half, is := c.socket.(interface{ CloseWrite() error }); is {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
