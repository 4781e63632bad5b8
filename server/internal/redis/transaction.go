package redis

import (
	"strconv"
	"sync/atomic"

	"gcd/codec"
	"gcd/resp"
	"gcd/server/internal/gate"
)

// Transactions: MULTI, EXEC, DISCARD.
//
// After MULTI commands are kept, not run. EXEC runs them as one whole group of the backend: what
// counts, resets or reads becomes an operation, so that all of it is done at one moment, and one
// record makes it durable. Every other command is run after it, when its place in the answer
// comes. So until the group is admitted nothing at all was done.

// inMulti is what becomes of a command between MULTI and EXEC.
type inMulti uint8

const (
	queued inMulti = iota // it is kept for EXEC, unless it is refused everywhere
	atOnce                // it is run
	barred                // it is refused
)

// maxLater is how many bytes of answers there are when no more of the commands is run that are run
// after the group.
const maxLater = 2 * resp.MaxCommand

// mostQueued is how many bytes the commands of a transaction may have, as arrays: as many as one
// command, if that many can be in flight.
func (d *Door) mostQueued() int { return min(resp.MaxCommand, d.gate.Options.MaxInFlightBytes) }

const (
	errBarred     = "ERR Command not allowed inside a transaction"
	errAborted    = "EXECABORT Transaction discarded because of previous errors."
	errNotOneFits = "EXECABORT Transaction discarded because what it changes may not fit into one record of the log: " +
		"count or reset fewer topics, or shorter ones, in one transaction"
)

// transaction is what a client has sent since MULTI, until EXEC is answered: the operations' topics
// are parts of it. It is kept by the client, whose connection has an exchange only while it has
// something to do.
type transaction struct {
	commands []byte // one after the other, each an array
	topics   int    // operations that they need at most
	spoiled  bool   // a command was refused, so EXEC will be
	held     gate.Held
	parser   resp.Parser
}

// queueing is what other connections may see of a transaction.
type queueing struct {
	commands atomic.Int32 // since MULTI, and one more; 0: no MULTI has come
	bytes    atomic.Int64
}

func (x *exchange) multi() {
	c := x.client
	if c.queueing {
		x.spoil()
		x.fail("ERR MULTI calls can not be nested")
		return
	}
	c.transaction, c.queueing = new(transaction), true
	c.queue.commands.Store(1)
	x.status("OK")
}

func (x *exchange) discard() {
	if !x.client.queueing {
		x.fail("ERR DISCARD without MULTI")
		return
	}
	x.client.forgetTransaction()
	x.status("OK")
}

// forgetTransaction ends the transaction.
func (c *Session) forgetTransaction() {
	if t := c.transaction; t != nil {
		c.door.gate.Hold(&t.held, 0)
		c.transaction, c.queueing = nil, false
		c.queue.commands.Store(0)
		c.queue.bytes.Store(0)
	}
}

// mayBeSilent tells whether a client that said nothing for the read timeout may go on so: not if it
// has no right at all. What its transaction queues takes room from others, so else it may only
// while there is plenty.
func (c *Session) mayBeSilent() bool {
	return !c.mayNone && (!c.queues() || !c.door.gate.Crowded(c.door.gate.MostHeld/2))
}

// queues tells whether the client is charged for a transaction.
func (c *Session) queues() bool { return c.transaction != nil && c.transaction.held.Bytes() > 0 }

// spoil has EXEC refuse the transaction, of which nothing needs to be kept then.
func (x *exchange) spoil() {
	c := x.client
	if !c.queueing {
		return
	}
	t := c.transaction
	c.door.gate.Hold(&t.held, 0)
	c.transaction = &transaction{spoiled: true}
	c.queue.bytes.Store(0)
}

// enqueue keeps the command that was parsed, or refuses it. It tells whether it is queued.
func (x *exchange) enqueue(c *command) bool {
	t, args := x.client.transaction, x.parser.Len()
	switch {
	case c.refused:
		x.spoil()
		c.run(x)
		return false
	case c.inMulti == barred:
		x.spoil()
		x.reject(errBarred)
		return false
	case t.spoiled: // nothing of it will be run
	case t.topics+c.topics(args) > x.door.gate.Options.MaxInFlight:
		x.spoil()
		x.door.gate.Refused(codec.CodeTooManyRequests, x.client.peer, x.parser.Arg(0))
		x.reject("ERR more topics than --max-in-flight allows: a transaction has at most " +
			strconv.Itoa(x.door.gate.Options.MaxInFlight))
		return false
	case len(t.commands)+arraySize(&x.parser) > x.door.mostQueued():
		x.spoil()
		x.door.gate.Refused(codec.CodeMessageTooLong, x.client.peer, x.parser.Arg(0))
		x.reject("ERR transaction is too long: its commands have at most " +
			strconv.Itoa(x.door.mostQueued()) + " bytes")
		return false
	case x.client.mayNone, !t.grow(x.door.gate, arraySize(&x.parser)):
		x.spoil()
		x.tooLong()
		return false
	default:
		t.append(&x.parser)
		t.topics += c.topics(args)
		x.client.queue.bytes.Store(int64(t.held.Bytes()))
	}
	x.client.queue.commands.Add(1)
	x.status("QUEUED")
	return true
}

// grow makes room for so many bytes more of commands, and charges for it. It returns false if that
// is too much for all together.
func (t *transaction) grow(g *gate.Gate, bytes int) bool {
	need := len(t.commands) + bytes
	if need <= cap(t.commands) {
		return true
	}
	room := max(need, 2*cap(t.commands))
	if !g.Hold(&t.held, room) {
		return false
	}
	t.commands = append(make([]byte, 0, room), t.commands...)
	return true
}

// append keeps a command, as an array however it was written.
func (t *transaction) append(p *resp.Parser) {
	t.commands = resp.AppendArray(t.commands, p.Len())
	for i := range p.Len() {
		t.commands = resp.AppendBulk(t.commands, p.Arg(i))
	}
}

// arraySize is how many bytes append adds.
func arraySize(p *resp.Parser) int {
	size := len("*\r\n") + numberSize(p.Len())
	for i := range p.Len() {
		n := len(p.Arg(i))
		size += len("$\r\n\r\n") + numberSize(n) + n
	}
	return size
}

func numberSize(n int) int { return int(max(1, digits(uint64(n)))) }

// topics is how many operations the command needs at most in a transaction, with so many arguments.
func (c *command) topics(args int) int {
	switch {
	case c.keys.last < 0:
		return args - c.keys.first
	case c.keys.first > 0 || c.asOperation:
		return 1
	}
	return 0
}

// exec is a barrier, so that what it collects is a group of its own; and its turn ends with it.
func (x *exchange) exec() {
	c := x.client
	t := c.transaction
	switch {
	case !c.queueing:
		x.fail("ERR EXEC without MULTI")
		return
	case t.spoiled:
		c.forgetTransaction()
		x.fail(errAborted)
		return
	case !x.affords(t.topics * (opSize + replyRoom)):
		c.forgetTransaction()
		x.tooLong()
		return
	}
	c.queueing, x.group.Whole, x.over = false, true, true
	n := int(c.queue.commands.Swap(0)) - 1
	x.ready = resp.AppendArray(x.ready[:0], n) // empty, since nothing is collected
	x.steps = append(x.steps, step{form: formReady, n: uint32(len(x.ready))})
	outer, denied := x.parser, ""
	x.parser = t.parser
	for at := 0; at < len(t.commands); {
		from := at
		at += x.parse(t, at)
		command := x.whichCommand(0)
		if may, topic := x.permits(command); !may && denied == "" { // since it was queued the rules have changed
			x.noteDenied(command, topic)
			denied = x.denial(command, topic)
		}
		if command.topics(x.parser.Len()) > 0 {
			x.current = command.number
			command.run(x)
			x.within.of(command).calls++
		} else {
			x.steps = append(x.steps, step{form: formLater, n: uint32(from)})
		}
	}
	t.parser, x.parser = x.parser, outer
	x.size = len(t.commands) - x.parsed // without EXEC, which is added after it
	if denied != "" {
		x.abort("EXECABORT Transaction discarded because of: " + denied)
		return
	}
	if !x.door.backend().Fits(x.ops) {
		x.door.gate.Refused(codec.CodeMessageTooLong, c.peer, x.parser.Arg(0))
		x.abort(errNotOneFits)
	}
}

// parse parses the command of a transaction that begins at an offset, and returns its length.
func (x *exchange) parse(t *transaction, at int) int {
	n, err := x.parser.Next(t.commands[at:])
	if n == 0 || err != nil {
		panic("server: a command that was kept cannot be parsed")
	}
	return n
}

// runLater runs the command of the transaction that begins at an offset, for its reply.
func (x *exchange) runLater(at int) {
	t, outer, steps := x.client.transaction, x.parser, x.steps
	x.parser, x.steps = t.parser, nil // without steps a reply is appended to out
	x.parse(t, at)
	c := x.whichCommand(0)
	if len(x.out) > maxLater || !x.affords(replyRoom) {
		x.tooLong()
	} else {
		c.run(x)
	}
	x.within.of(c).calls++
	t.parser, x.parser, x.steps = x.parser, outer, steps
}

// abort answers EXEC with an error. Nothing of the transaction was done.
func (x *exchange) abort(text string) {
	x.ops, x.steps, x.ready, x.size = x.ops[:0], x.steps[:0], x.ready[:0], 0
	x.endTransaction()
	x.blame(x.door.commands["exec"], text)
	x.out = x.appendError(x.out, text)
}

// countTransaction counts the commands of a transaction that is answered, and their errors.
func (x *exchange) countTransaction() {
	for _, one := range x.within {
		x.ran.of(one.command).add(one)
		x.inside += one.calls + one.rejected
	}
	for word, n := range x.errors {
		x.door.gate.Errors[word].Add(uint64(n))
	}
}

// endTransaction is called when EXEC was answered.
func (x *exchange) endTransaction() {
	x.group.Whole, x.within, x.errors = false, x.within[:0], errorTally{}
	x.client.forgetTransaction()
}
