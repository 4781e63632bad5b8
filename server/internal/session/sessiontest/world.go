package sessiontest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcd/codec"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// World is what happens between some clients, their sessions and a backend. Its switches say what
// may happen beside the least: bytes come, are read, committed and answered.
type World struct {
	Gate    *gate.Gate
	Backend *Backend
	Worker  session.Worker
	Clients []*Client

	Loops    bool // what a client sends first is there before its session is told anything, as on a loop
	Slow     bool // answers may be taken late, and in two parts
	Clocks   int  // how often clocks may run out, for each client
	Stops    bool // the server may stop at any time
	Breaks   bool // clients may break their connections
	Undetach bool // there may be no Detached
	Most     int  // bytes of a read; 0: as many as there are

	stopping, parting bool
	room              []move // for moves
}

// New makes a world in which somebody has just asked for little.
func New(g *gate.Gate, b *Backend) *World {
	// Turns are not ended by the clock, which no run has to itself.
	g.FullTime, g.SharedTime = time.Hour, time.Hour
	w := &World{Gate: g, Backend: b}
	w.Worker = session.Worker{Gate: g, Tally: g.Tally(true)}
	w.Worker.Tally.Now = time.Hour
	g.NoteLittle(w.Worker.Tally.Now, gate.Talker)
	return w
}

// Client is one connection.
type Client struct {
	Session session.Session
	Pieces  []string // that it sends
	Ends    bool     // it sends nothing after them, and says so

	Got    []byte       // what it has taken
	Over   bool         // the connection has ended
	Last   session.Next // what the session said last
	Clock  session.Clock
	Broken bool          // it was broken by one side or the other
	Late   int           // how often its clocks ran out
	RanOut session.Clock // the last of them
	Read   int           // bytes that the session has got
	Left   int           // bytes that had arrived, and it had not got, when it began to answer
	Empty  []int         // how many they were each time that a read left nothing
	Quiet  int           // how often nothing came for the settle time

	action  session.Action
	arrived []byte
	decided bool   // the backend has called Done
	taking  []byte // what Out was when the client began not to take it
	taken   int    // of those
}

// Add adds a client.
func (w *World) Add(s session.Session, pieces ...string) *Client {
	c := &Client{Session: s, Pieces: slices.Clone(pieces)}
	w.Clients = append(w.Clients, c)
	return c
}

// move is something that may happen, to a client or to all.
type move struct {
	what what
	c    *Client
}

type what uint8

const (
	steps   what = iota // the session hears what it waits for
	arrives             // the client's next piece
	quiet               // nothing comes for the settle time
	runsOut             // the clock
	breaks              // the connection, by its client
	commits             // the backend
	stops               // the server: it refuses
	parts               // and reads what has arrived for the last time
)

// Run has happen what may, until nothing more does, and returns what went against the contract of
// sessions.
func (w *World) Run(ch *Choices) error {
	most := 1000 // moves
	for _, c := range w.Clients {
		most += 20 * len(strings.Join(c.Pieces, ""))
		if w.Loops && len(c.Pieces) > 0 {
			c.arrived, c.Pieces = []byte(c.Pieces[0]), c.Pieces[1:]
			w.read(c)
		} else {
			w.tell(c, session.Event{Kind: session.Turn})
		}
	}
	for range most {
		moves := w.moves(true)
		if len(moves) == 0 {
			moves = w.moves(false)
		}
		if len(moves) == 0 {
			return w.check()
		}
		if err := w.make(moves[ch.Of(len(moves))], ch); err != nil {
			return err
		}
	}
	return errors.New("it does not come to an end")
}

// moves are what may happen now: what does by itself, or what does when nothing else happens.
func (w *World) moves(byItself bool) []move {
	all := w.room[:0]
	for _, c := range w.Clients {
		if c.Over {
			continue
		}
		more := len(c.Pieces) > 0 && !w.parting
		if byItself && w.mayStep(c) {
			all = append(all, move{steps, c})
		}
		if byItself && more {
			all = append(all, move{arrives, c})
		}
		if c.action.Next == session.Read && len(c.arrived) == 0 && !c.hasEnded() && !w.parting {
			if c.action.Clock == session.Settling && byItself == (more && w.Clocks > 0) {
				all = append(all, move{quiet, c})
			}
			if c.action.Clock != session.Unhurried && byItself == more && c.Late < w.Clocks {
				all = append(all, move{runsOut, c})
			}
		}
		if byItself && w.Breaks {
			all = append(all, move{breaks, c})
		}
	}
	if byItself && len(w.Backend.waiting) > 0 {
		all = append(all, move{what: commits})
	}
	if byItself && w.Stops && !w.parting {
		next := stops
		if w.stopping {
			next = parts
		}
		all = append(all, move{what: next})
	}
	w.room = all
	return all
}

// make has a move happen.
func (w *World) make(m move, ch *Choices) error {
	switch c := m.c; m.what {
	case steps:
		return w.step(c, ch)
	case arrives:
		c.arrived = append(c.arrived, c.Pieces[0]...)
		c.Pieces = c.Pieces[1:]
	case quiet:
		c.Quiet++
		w.tell(c, session.Event{Kind: session.Bytes, Drained: true, Quiet: true})
	case runsOut:
		c.Late, c.RanOut = c.Late+1, c.action.Clock
		w.tell(c, session.Event{Kind: session.Late})
	case breaks:
		c.Broken = true
		w.end(c, errors.New("broken by the client"))
	case commits:
		w.Backend.Commit()
	case stops:
		w.stopping = true
		w.Gate.Refusing.Store(uint32(codec.CodeShuttingDown))
	case parts:
		w.parting = true
	}
	return nil
}

func (c *Client) hasEnded() bool { return c.Ends && len(c.Pieces) == 0 }

// mayStep tells whether there is something for the client's session.
func (w *World) mayStep(c *Client) bool {
	switch c.action.Next {
	case session.Read:
		return len(c.arrived) > 0 || c.hasEnded() || w.parting
	case session.Commit:
		return c.decided
	}
	return true
}

// step does what the session said.
func (w *World) step(c *Client, ch *Choices) error {
	switch a := c.action; a.Next {
	case session.Read:
		w.read(c)
	case session.Commit:
		c.decided = false
		w.tell(c, session.Event{Kind: session.Outcome})
	case session.Write:
		return w.write(c, ch)
	case session.Again, session.Look:
		w.tell(c, session.Event{Kind: session.Turn})
	case session.Detach:
		w.detach(c, ch)
	default:
		return fmt.Errorf("it says %d", a.Next)
	}
	return nil
}

// read gives the session what has arrived.
func (w *World) read(c *Client) {
	most := max(w.Most, 1)
	if w.Most == 0 {
		most = 1<<16 + 1
	}
	if c.action.Most > 0 {
		most = min(most, c.action.Most)
	}
	n := min(most, len(c.arrived))
	e := session.Event{Kind: session.Bytes, Bytes: slices.Clone(c.arrived[:n]), Drained: n < most}
	e.End = n == 0 && c.hasEnded()
	e.Last = w.parting && e.Drained
	c.arrived = c.arrived[n:]
	c.Read += n
	if e.Drained {
		c.Empty = append(c.Empty, c.Read)
	}
	w.tell(c, e)
	clear(e.Bytes) // they are ours again
}

// write has the client take an answer: at once, or late and in two parts.
func (w *World) write(c *Client, ch *Choices) error {
	out := c.action.Out
	switch {
	case len(out) == 0:
		return errors.New("it writes nothing")
	case c.taking == nil && w.Slow && ch.Of(2) == 1:
		c.taking, c.taken = slices.Clone(out), 0
		if !c.Session.Untaken() {
			c.Broken = true
			w.end(c, nil)
		}
		return nil
	case c.taking != nil && c.taken == 0 && len(out) > 1:
		c.taken = 1 + ch.Of(2)*(len(out)-2)
	default:
		c.taken = len(out)
	}
	if c.taking != nil && string(c.taking) != string(out) {
		return fmt.Errorf("an answer that the client was taking changed from %.200q to %.200q", c.taking, out)
	}
	if c.taken == len(out) {
		c.Got = append(c.Got, out...)
		c.taking = nil
		w.Gate.Answered.Add(uint64(c.action.Answers))
		if then := c.action.Then; then != session.Read {
			c.Last, c.Over = then, true
		} else {
			w.tell(c, session.Event{Kind: session.Written})
		}
	}
	return nil
}

// detach lets the session have the connection, of which the client takes everything.
func (w *World) detach(c *Client, ch *Choices) {
	if w.Undetach && ch.Of(2) == 1 {
		w.tell(c, session.Event{Kind: session.Undetached, Err: errors.New("out of descriptors")})
		return
	}
	if !c.Session.Detached((*ownConn)(c)) {
		w.end(c, nil)
		return
	}
	w.tell(c, session.Event{Kind: session.Turn})
}

// ownConn is a connection that a session has to itself.
type ownConn Client

func (c *ownConn) Write(b []byte) (int, error) {
	c.Got = append(c.Got, b...)
	return len(b), nil
}

func (c *ownConn) SetWriteDeadline(time.Time) error { return nil }

// tell tells the session what has happened, and keeps what it says.
func (w *World) tell(c *Client, e session.Event) {
	c.action = c.Session.Advance(e)
	if next := c.action.Next; c.Last == session.Read && (next == session.Commit || next == session.Write) {
		c.Left = len(c.arrived)
	}
	c.Last, c.Clock = c.action.Next, c.action.Clock
	switch c.action.Next {
	case session.Commit:
		claim := c.action.Claim
		c.action.Group.Done = func(*core.Group) {
			w.Gate.Done(claim)
			c.decided = true
		}
		w.Backend.Submit(c.action.Group)
	case session.Linger, session.Close:
		c.Over = true
	}
}

// end ends the connection, of which the session hears unless it has said its last.
func (w *World) end(c *Client, broken error) {
	c.Over = true
	if c.action.Then == session.Read {
		c.Session.Advance(session.Event{Kind: session.Ended, Err: broken})
	}
}

// check looks at what is left.
func (w *World) check() error {
	for _, c := range w.Clients {
		if !c.Over {
			w.end(c, nil)
			c.Over = false
		}
	}
	st := w.Gate.Stats()
	switch {
	case w.Backend.broken:
		return errors.New("a topic changed while the backend had it")
	case st.InFlight != 0:
		return fmt.Errorf("%d requests are in flight at the end", st.InFlight)
	case st.Held != 0:
		return fmt.Errorf("%d bytes are held at the end", st.Held)
	case st.Panics != 0:
		return fmt.Errorf("%d panics", st.Panics)
	}
	return nil
}

// Splits calls each with all ways to cut a text into so many pieces, at every step-th place.
func Splits(text string, pieces, step int, each func(pieces []string)) {
	var cut func(rest string, done []string)
	cut = func(rest string, done []string) {
		if len(done) == pieces-1 {
			each(append(slices.Clone(done), rest))
			return
		}
		for i := 1; i < len(rest); i += step {
			cut(rest[i:], append(done, rest[:i]))
		}
	}
	cut(text, nil)
}

// Stopping tells that the server has begun to stop.
func (w *World) Stopping() bool { return w.stopping }

// Parting tells that what has arrived is the last.
func (w *World) Parting() bool { return w.parting }
