package redis

import (
	"net/netip"
	"sync/atomic"
	"time"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/resp"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
)

// Session is one connection that speaks RESP. In each turn it takes the commands that its client
// has sent, as one group, and answers them when that has its outcomes. Meanwhile it wants nothing
// more to be read, so what a client can have under way is bounded. The fields are its goroutine's
// where nothing else is said.
type Session struct {
	door   *Door
	worker *Worker
	x      *exchange // nil while nothing of a command is there
	out    []byte    // the answers that are to be sent
	phase  phase
	last   bool   // nothing more will be read
	format string // of the backup that is to be sent

	id    uint64
	peer  gate.Peer
	from  *gate.Source
	local netip.AddrPort // the server's end
	since time.Time

	who       gate.Who // the client is, and may do
	countsAll bool     // it may count on all topics
	mayNone   bool     // it has no right at all
	failures  int      // to show a token that is somebody's

	version  resp.Version
	told     codec.Code // why no command is run any more: the server stops
	queueing bool       // MULTI has come, and what follows is kept

	transaction *transaction // from MULTI to the answer to EXEC, else nil

	little, modest bool // its last turn asked for little, and the one before as well

	// Read by other connections, too.
	label atomic.Pointer[label]
	held  gate.Held
	queue queueing

	charged int // bytes, as held has them
}

// phase is where in a turn a session is.
type phase uint8

const (
	waiting    phase = iota // for bytes
	taking                  // there may be commands to take
	committing              // the backend has the group
	answering               // the answers are to be sent
	answered                // they were
	ended
)

// label is what a client says of itself.
type label struct {
	name, library, libraryVersion string
	user                          string       // what the rules call it
	version                       resp.Version // the one that it speaks, as Session has it
}

// Worker is what the sessions on one goroutine share.
type Worker struct {
	*session.Worker
	door   *Door
	single bool // one session only: it keeps its exchange

	spare      []*exchange // that nobody uses
	spareBytes int         // that those hold

	// What was run since Flush (stats.go).
	Talked  bool // there were commands or answers
	ran     int  // commands that were answered
	others  turnRuns
	ranTook time.Duration
}

// NewWorker makes one. single says that it is for one session only.
func (d *Door) NewWorker(w *session.Worker, single bool) *Worker {
	return &Worker{Worker: w, door: d, single: single}
}

// NewSession makes a session of a connection between two addresses.
func (w *Worker) NewSession(peer gate.Peer, local netip.AddrPort) *Session {
	d := w.door
	c := &Session{door: d, worker: w, id: d.lastID.Add(1), peer: peer, from: d.gate.Source(peer), local: local,
		since: time.Now(), little: true}
	c.begin()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients[c.id] = c
	return c
}

// begin has the client be who it is by how it came, with nothing that it has set.
func (c *Session) begin() {
	c.who, c.version = c.door.gate.Know(c.peer), resp.V2
	c.countsAll, c.mayNone = c.who.Everything(access.Count), !c.who.HasAny()
	c.label.Store(&label{version: resp.V2, user: c.user()})
}

// user is what CLIENT LIST says who the client is; empty where nobody is asked.
func (c *Session) user() string {
	if !c.who.HasRules() {
		return ""
	}
	return c.who.Name()
}

// Advance takes commands, has them done and answers them.
func (c *Session) Advance(e session.Event) session.Action {
	switch e.Kind {
	case session.Bytes:
		c.last = c.last || e.Last
		switch {
		case e.End:
			c.phase = ended
		case len(e.Bytes) > 0:
			c.receive(e.Bytes)
			c.phase = taking
		}
	case session.Outcome:
		c.answer()
	case session.Written:
		c.phase = answered
	case session.Late:
		c.late()
	case session.Undetached:
		c.undetached(e.Err)
	case session.Ended:
		c.end(e.Err)
		return session.Action{}
	}
	a := c.next()
	a.Greedy = !c.modest
	if a.Next == session.Close || a.Next == session.Linger {
		c.end(nil)
	}
	return a
}

// next goes on until there is something that the dispatcher has to do.
func (c *Session) next() session.Action {
	for {
		switch c.phase {
		case taking:
			c.worker.Talked = true
			if c.x.takeAdmitted() {
				c.phase = committing
				c.x.group.Ops = c.x.ops
				return session.Action{Next: session.Commit, Group: &c.x.group, Claim: c.x.claim}
			}
			c.answer()
		case answering:
			if len(c.out) > 0 {
				return session.Action{Next: session.Write, Out: c.out}
			}
			c.phase = answered
			if x := c.x; x.at > 0 && !x.more && !x.closing && x.backup == "" {
				// There was a line without an answer: the time for a command begins anew.
				x.compact()
				return session.Action{Next: session.Again}
			}
		case answered:
			if next := c.afterAnswer(); next != session.Read {
				return session.Action{Next: next}
			}
		case ended:
			return session.Action{Next: session.Close}
		default:
			if c.last {
				return session.Action{Next: c.farewell()}
			}
			// A command that has begun has to be whole in time, and who is nobody, or keeps a
			// transaction waiting, is looked at now and then.
			a, likely := session.Action{Next: session.Read}, largeInput
			if c.x != nil && c.x.at < len(c.x.in) {
				if a.Clock, a.Most = session.Command, c.x.missing(); a.Most > 0 {
					likely = a.Most
				}
			} else if c.transaction != nil && c.queues() || c.mayNone {
				a.Clock = session.Silence
			}
			if likely > littleRead && c.door.gate.Crowded(likely) {
				a.Most = littleRead
			}
			return a
		}
	}
}

// answer makes the answers, and takes over what was run, be the client there still or not.
func (c *Session) answer() {
	c.phase = answering // the exchange is the backend's no more, whatever becomes of the answers
	x, w := c.x, c.worker
	x.answer()
	w.Talked = true
	w.ran += x.taken + x.inside
	for _, one := range x.ran {
		w.others.of(one.command).add(one)
	}
	x.ran, x.taken, x.inside, x.done = x.ran[:0], 0, 0, x.taken
	c.out, x.out = x.out, nil // so that what is kept for the exchange can be given back meanwhile
}

// Untaken charges for answers that wait for their client.
func (c *Session) Untaken() bool {
	return c.x.holdAnswer(cap(c.out))
}

// afterAnswer is what comes when a turn is answered. It is Read if that was all: then what is not
// needed for the wait is given back.
func (c *Session) afterAnswer() session.Next {
	x := c.x
	if cap(c.out) <= 2*maxTurnReplies {
		x.out = c.out[:0]
	}
	c.out = nil
	c.door.gate.Answered.Add(uint64(x.done))
	c.door.gate.Commands.Add(uint64(x.done))
	x.done = 0
	switch {
	case x.backup != "":
		c.format, x.backup = x.backup, ""
		return session.Detach
	case x.closing:
		return session.Linger
	case x.more:
		x.compact()
		c.phase = taking
		if x.listing.unfinished {
			return session.Look
		}
		return session.Again
	}
	c.phase = waiting
	switch {
	case x.at < len(x.in):
		x.compact()
		if !x.hold(0) && !c.last {
			c.cutOff(c.tooMuch(errHeld, x.in))
		}
	default:
		c.giveBack()
	}
	return session.Read
}

// cutOff ends the connection in the middle of a command, and says why.
func (c *Session) cutOff(why string) {
	c.x.closing = true
	c.x.out = c.x.appendError(c.x.out, why)
	c.answer()
}

// farewell ends the connection without destroying answers that its client has not read yet: closing
// on unread bytes would, and a client that was told that the server stops may have more under way.
func (c *Session) farewell() session.Next {
	if c.told != 0 || !c.isIdle() {
		return session.Linger
	}
	return session.Close
}

// isIdle tells that nothing of a command is there.
func (c *Session) isIdle() bool { return c.x == nil || c.x.idle() }

// late is called when a command was not whole in time, or a transaction has not gone on.
func (c *Session) late() {
	if c.isIdle() {
		if !c.mayBeSilent() {
			c.receive(nil)
			c.cutOff(c.tooMuch(errHeld, nil))
		}
		return
	}
	c.door.gate.Refused(codec.CodeNothingArrived, c.peer, c.x.in)
	c.cutOff(codec.CodeNothingArrived.RedisError())
}

// Detached sends a backup. The exchange may be another connection's by now, if this one has ended.
func (c *Session) Detached(conn session.Conn) bool {
	return c.door.Backup(conn, c.who, c.peer, c.format)
}

// undetached answers that there is none.
func (c *Session) undetached(why error) {
	c.door.gate.Happened(gate.BrokenBackup, c.peer, why)
	c.x.fail("ERR no backup now: " + why.Error())
	c.answer()
}

// end forgets the client. What the backend has is not touched.
func (c *Session) end(broken error) {
	if broken != nil && !c.isIdle() {
		c.door.gate.Happened(gate.BrokenConn, c.peer, broken)
	}
	c.forgetTransaction()
	c.door.forget(c)
	if c.phase != committing {
		c.giveBack()
	}
	c.door.gate.Hold(&c.held, 0)
}
