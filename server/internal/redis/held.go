package redis

import (
	"unsafe"

	"gcd/codec"
	"gcd/store/core"
)

// What the exchanges of all connections hold has a bound: beyond freeHeld each is charged to its
// client (gate.Hold). It is charged before or while it grows, by every command whose answer may be
// long and at the end of every turn, so that it makes no difference whether what it holds waits for
// the client, for the disk, or for its next turn.
//
// Those who have no right at all can be many, and need no more than that; so nothing is held for
// them beyond it.
//
// An exchange for which there is no room gives back what it holds for later use, reads little at a
// time and takes few commands in a turn, so that it needs no more than freeHeld, and so a pipeline
// of small commands always goes on, piece by piece. Only a command that is long itself, or whose
// answer is longer than it, is refused, and a client that does not take long answers is cut off.
const (
	freeHeld  = 16 << 10 // bytes that are not charged
	spareHeld = 1 << 20  // bytes beyond the unfinished command above which they are given back though there is room
	// largeInput is how many bytes of a command there are when no more than it is read, so that its
	// buffer need not grow for what follows.
	largeInput = 64 << 10
	// littleRead is how much is read at a time when there is no room, and of a connection that has
	// not said which protocol it speaks.
	littleRead = 4 << 10
	fewOps     = 32 // operations after which a turn looks whether there is room for more
	replyRoom  = 64 // bytes that the reply to an operation needs at most, nearly always
)

const (
	errHeld    = "BUSY too many bytes of unfinished commands: try again later"
	errAnswers = "BUSY too many bytes of answers and commands are held for clients: try again later"
)

// holds is how many bytes the exchange has room for.
func (x *exchange) holds() int {
	return cap(x.in) + cap(x.out) + cap(x.ready) + cap(x.listing.found) + x.parser.Room() +
		(cap(x.ran)+cap(x.within))*int(unsafe.Sizeof(runs{})) + cap(x.ops)*opSize +
		cap(x.steps)*int(unsafe.Sizeof(step{}))
}

const opSize = int(unsafe.Sizeof(core.Op{}))

// charge charges the exchange for so many bytes instead of those that it was charged for. It
// returns false, and changes nothing, if that is too much for all together, or its client may
// nothing.
func (x *exchange) charge(bytes int) bool {
	most := max(0, bytes-freeHeld)
	if most > x.client.charged && x.client.mayNone || !x.door.gate.Hold(&x.client.held, most) {
		return false
	}
	x.client.charged = most
	return true
}

// affords charges the exchange for so many bytes more than it holds, which it is about to need. It
// returns false if there is no room for them.
func (x *exchange) affords(bytes int) bool { return x.charge(x.holds() + bytes) }

// mayGrow is asked now and then while a long reply is made: b, which begin began.
func (x *exchange) mayGrow(b []byte) bool { return x.affords(cap(b) - cap(x.begin())) }

// tooLong refuses a command because there is no room for its answer, or for what it is made from.
func (x *exchange) tooLong() {
	x.fail(x.client.tooMuch(errAnswers, x.parser.Arg(0)))
}

// tooMuch notes that the client was refused since there is no room for it, and returns the error:
// text, or that it has to say who it is.
func (c *Session) tooMuch(text string, msg []byte) string {
	code := codec.CodeTooManyRequests
	if c.mayNone {
		code = c.who.Refusal()
		text = code.RedisError()
	}
	c.door.gate.Refused(code, c.peer, msg)
	return text
}

// lighten gives back what is not needed if there is no room for it. It comes before a turn, unless
// that goes on with a command, or all together hold less than half of what they may: then there is.
func (x *exchange) lighten() {
	if !x.charge(x.holds()) {
		x.trim(0)
		x.charge(x.holds())
	}
}

// holdAnswer charges the exchange for the wait for its client to take an answer of so many bytes.
// It returns false if there is no room for it, although all else was given back.
func (x *exchange) holdAnswer(bytes int) bool {
	if x.affords(bytes) {
		return true
	}
	if x.parsed == 0 && !x.listing.unfinished {
		x.compact()
		x.trim(0)
	}
	return x.affords(bytes)
}

// hold prepares for the wait for more bytes, when all that was whole is answered. room is how many
// of them the input needs room for. It returns false if the unfinished command is too long to be
// waited for.
func (x *exchange) hold(room int) bool {
	if n := x.holds(); n <= spareHeld+2*len(x.in) && x.charge(n) {
		return true
	}
	x.trim(room)
	return x.charge(x.holds())
}

// trim gives back all that is not needed for the unfinished command and the next bytes of it.
func (x *exchange) trim(room int) {
	x.in = append(make([]byte, 0, len(x.in)+room), x.in...)
	x.parser.Trim()
	x.out, x.ready, x.ops, x.steps, x.listing.found, x.group.Ops = nil, nil, nil, nil, nil, nil
}

// receive takes bytes that were read, into the session's exchange: one of the worker's if it has
// none. For a command that says how long it is there is room then for no more than twice what is
// there and no more than that.
func (c *Session) receive(b []byte) {
	x, w := c.x, c.worker
	if x == nil {
		if n := len(w.spare); n > 0 {
			x, w.spare = w.spare[n-1], w.spare[:n-1]
			w.spareBytes -= x.holds()
		} else {
			x = &exchange{door: c.door}
		}
		x.client, x.tally, c.x = c, &w.Tally, x
	}
	if size := len(x.in) + len(b); size > cap(x.in) {
		if need := x.parser.Needs(); need > size {
			size = min(need, 2*size)
		} else if len(x.in) > 0 {
			size += size / 4
		}
		x.in = append(make([]byte, 0, size), x.in...)
	}
	x.in = append(x.in, b...)
}

// missing is how many bytes of a large command are surely still to come, 0 where that is not known.
// The input begins with the command.
func (x *exchange) missing() int {
	if len(x.in) < largeInput {
		return 0
	}
	return max(0, x.parser.Needs()-len(x.in))
}

// giveBack returns the exchange, of which nothing is needed any more, to the worker; that of a
// connection with a goroutine of its own stays with it. What is large is given back to the system.
func (c *Session) giveBack() {
	x, w := c.x, c.worker
	if x == nil {
		return
	}
	x.parser.Reset()
	x.in, x.out, x.ready, x.ops, x.steps = x.in[:0], x.out[:0], x.ready[:0], x.ops[:0], x.steps[:0]
	x.at, x.parsed, x.size, x.taken, x.done, x.inside, x.current = 0, 0, 0, 0, 0, 0, 0
	x.more, x.closing, x.group = false, false, core.Group{}
	x.ran, x.within, x.errors = x.ran[:0], x.within[:0], errorTally{}
	x.listing, x.backup = listing{found: x.listing.found[:0]}, ""
	holds := x.holds()
	if holds > maxKeptBytes { // else nothing of it is large
		x.in, x.out = keptRoom(x.in, maxKeptBytes), keptRoom(x.out, maxKeptBytes)
		x.ready, x.listing.found = keptRoom(x.ready, maxKeptBytes), keptRoom(x.listing.found, maxKeptBytes)
		x.ops, x.steps = keptRoom(x.ops, maxKeptOps), keptRoom(x.steps, maxKeptOps)
		holds = x.holds()
	}
	if !w.single && w.spareBytes+holds > c.door.mostSpare {
		x.trim(0)
		holds = x.holds()
	}
	if w.single {
		x.charge(holds)
		return
	}
	if c.charged > 0 {
		x.charge(0)
	}
	x.client, c.x = nil, nil
	w.spare = append(w.spare, x)
	w.spareBytes += holds
}

// What an exchange that waits for its next use keeps room for: a pipeline of some hundred commands.
// maxSpare bounds those of a loop together, and so does spareShare, a part of what all connections
// may hold. It is more than 256 clients with pipelines of 128 need, which would make their buffers
// anew for each turn.
const (
	maxKeptBytes = 32 << 10
	maxKeptOps   = 1024
	maxSpare     = 16 << 20
	spareShare   = 4
)

func keptRoom[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	return s[:0]
}
