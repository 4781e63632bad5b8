package redis

import (
	"math"
	"slices"
	"strconv"
	"time"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/resp"
	"gcd/server/internal/gate"
	"gcd/store/core"
)

// The bounds of what one turn of a RESP connection takes. What is beyond them has its turn later,
// so a connection's memory is bounded by them, by its input (one read and at most one command of
// resp.MaxCommand), and by what one command may answer. What all together hold while they wait for
// their clients has its own bound, in held.go.
const (
	maxTurnReplies = 256 << 10 // bytes of replies after which no further command is taken
)

// exchange is one turn of a RESP connection: commands that were received, what they ask of the
// backend, as one group, and the replies, in the commands' order. It is used by turns; between them
// it keeps the bytes of a command that is not whole, and a connection that has none needs no
// exchange.
type exchange struct {
	door   *Door
	client *Session
	tally  *gate.Tally // the worker's
	in     []byte      // received
	at     int         // where the first command begins that was not taken
	parser resp.Parser
	parsed int // the length of that command, if it is parsed already

	ops   []core.Op
	group core.Group
	size  int // bytes of the commands from the first that asks for something on, for admit
	steps []step
	ready []byte // the replies of formReady
	out   []byte // to be written

	claim   gate.Claim // what the group has in flight, when it is admitted
	taken   int        // commands
	done    int        // those whose answer is being sent
	ran     turnRuns   // those of them that are not INCR, and the commands of transactions
	inside  int        // of the latter
	within  turnRuns   // those of the transaction that is run, while it may still be refused
	errors  errorTally // likewise
	current uint8      // the number of the command that is run, that of INCR if nothing is said
	more    bool       // there is more to take when this turn is over
	closing bool       // the connection ends when out is written
	over    bool       // the turn takes nothing more
	read    int        // topics that it has read

	listing listing
	backup  string // the format of one that is to be sent when out is written; empty: none
}

// take takes commands from what was received: operations are collected, and everything else is
// done. When the server stops all are refused. What it does for each command is a good part of what
// the server does for a count in a long pipeline.
func (x *exchange) take() {
	room, bytes := x.tally.Room(x.client.from, len(x.in)-x.at)
	if x.parsed == 0 && x.door.gate.Crowded(x.door.gate.MostHeld/2) {
		x.lighten()
	}
	defer func() {
		if need := x.holds() + len(x.ops)*replyRoom; need > freeHeld || x.client.charged > 0 {
			x.charge(need)
		}
	}()
	x.more, x.over, x.read = false, false, 0
	refusing := codec.Code(x.door.gate.Refusing.Load())
	look := x.taken + fewOps
	clock := clock{x: x}
	for !x.closing {
		if len(x.out)+len(x.ready) >= maxTurnReplies || x.over || x.taken == look && x.lacksRoom() {
			x.more = !x.over || x.backup != "" || x.at < len(x.in)
			return
		}
		if x.parsed == 0 {
			n, err := x.parser.Next(x.in[x.at:])
			if err != nil {
				x.malformed(err)
				return
			}
			if n == 0 {
				return
			}
			x.parsed = n
		}
		ops := len(x.ops)
		n := x.parser.Len() // 0: a line without a word, which counts as bytes all the same
		var name []byte
		if n > 0 {
			name = x.parser.Arg(0)
		}
		switch {
		case (refusing != 0 || x.client.told != 0) && n > 0 && x.refuses(refusing):
			x.sayRefusing(refusing)
		case len(x.ops) > 0 && (len(x.ops)+n-1 > room || x.size+x.parsed > bytes):
			x.more = true // it may not fit with what was collected, and may fit alone
			return
		case len(name) == 4 && n == 2 && !x.client.queueing && // the hot one
			name[0]|0x20 == 'i' && name[1]|0x20 == 'n' && name[2]|0x20 == 'c' && name[3]|0x20 == 'r' &&
			(x.client.countsAll || x.client.who.May(access.Count, x.parser.Arg(1))):
			x.ask(formInteger, core.Count, 1, 1, maxInteger)
		case n > 0:
			if done := x.run(); !done {
				x.more = true
				return
			}
		}
		if x.taken == look {
			look += fewOps
		}
		if n > 0 {
			x.taken++
		}
		x.at += x.parsed
		if len(x.ops) > 0 {
			x.size += x.parsed
		}
		x.parsed = 0
		if len(x.ops) == ops && clock.over() && x.at < len(x.in) {
			x.more = true
			return
		}
	}
}

// A clock ends the turn of an exchange with what is answered at once, when that has taken its time.
// A turn that asks the backend alone has no need of the time.
type clock struct {
	x     *exchange
	began time.Duration // since Gate.Began; 0: it was not looked at yet
	long  time.Duration
	each  int // commands between two looks
	left  int // of them
}

// over is asked after each command that was answered at once.
func (c *clock) over() bool {
	g := c.x.door.gate
	if c.began == 0 {
		c.long, c.each = g.TurnTime(c.x.tally.Now)
		c.began, c.left = time.Since(g.Began), c.each
	}
	if c.left--; c.left > 0 || codec.Code(g.Refusing.Load()) != 0 { // who is refused is not kept waiting
		return false
	}
	c.left = c.each
	return time.Since(g.Began)-c.began >= c.long
}

// takeAdmitted takes commands and has their operations admitted. It returns false if there are
// none, or none that are; those are answered with the refusal, and without a turn for each where
// only one at a time might have found a place.
func (x *exchange) takeAdmitted() bool {
	c := x.client
	if c.who.HasRules() {
		c.renew()
	}
	asked, little := 0, false // operations, or commands, of which one may read many topics
	for {
		taken := x.taken
		x.take()
		asked = len(x.ops)
		if asked == 0 {
			asked = x.taken - taken
		}
		little = max(asked, x.read) <= gate.LittleOps && !x.more
		if len(x.ops) == 0 {
			break
		}
		x.claim = gate.Claim{From: c.from, Clients: 1, Requests: asked, Bytes: x.size}
		if little && c.little {
			x.claim.Asker = gate.Talker
		}
		if x.tally.Admit(x.claim) {
			break
		}
		x.refuse(gate.ErrTooManyRequests)
		if !x.more {
			return false
		}
		x.answer()
	}
	// Who asks nothing of topics, as when a client connects, is no reason for others to have short
	// turns. Nor does one turn make him who asks for little: it may be the rest of a long pipeline.
	if asked > 0 {
		c.modest, c.little = little && c.little, little
		if c.modest && x.read > 0 {
			x.door.gate.NoteLittle(x.tally.Now, gate.Talker)
		}
	}
	return len(x.ops) > 0
}

// lacksRoom tells that there is no room for more of what the turn has taken.
func (x *exchange) lacksRoom() bool {
	return len(x.out)+len(x.ready)+len(x.ops) > 0 && !x.affords(len(x.ops)*replyRoom)
}

// run does the command that was parsed. It returns false if the command has to wait: for what was
// collected before it, or for its next turn.
func (x *exchange) run() bool {
	c := x.whichCommand(0)
	fits := c != nil && (c.arity <= 0 || x.parser.Len() == c.arity) && x.parser.Len() >= -c.arity
	may, topic := true, []byte(nil)
	if fits {
		may, topic = x.permits(c)
	}
	switch {
	case c == nil:
		x.spoil()
		x.unknownCommand()
	case !fits:
		x.spoil()
		x.reject(x.arityError(c.name))
	case !may:
		x.deny(c, topic)
	case x.client.queueing && c.inMulti != atOnce:
		if x.enqueue(c) {
			c = nil
		}
	case len(x.ops) > 0 && c.barrier:
		return false
	default:
		x.current = c.number
		c.run(x)
		x.current = 0
		if x.listing.unfinished {
			return false
		}
	}
	x.ran.of(c).calls++
	return true
}

// whichCommand finds the command whose name is an argument, the 0th of one to run, or the
// subcommand whose name is the next; nil if there is none.
func (x *exchange) whichCommand(at int) *command {
	c := x.door.command(x.parser.Arg(at))
	if c != nil && len(c.subs) > 0 && x.parser.Len() > at+1 {
		return c.sub(x.parser.Arg(at + 1))
	}
	return c
}

// refuses tells whether the command that was parsed is refused because the server loads or stops:
// while it loads there are commands that it can answer.
func (x *exchange) refuses(code codec.Code) bool {
	if x.client.told != 0 {
		code = x.client.told
	}
	c := x.whichCommand(0)
	return c == nil || !c.runsDespite(code)
}

// sayRefusing refuses the command that was parsed, whatever it is and however far it was done. Who
// was told that the server stops is told nothing else any more.
func (x *exchange) sayRefusing(code codec.Code) {
	if x.client.told != 0 {
		code = x.client.told
	} else if code != codec.CodeLoading {
		x.client.told = code
	}
	x.listing.forget()
	x.spoil()
	switch g := x.door.gate; {
	case gate.SpeaksHTTP(x.in[x.at:]) || is(x.parser.Arg(0), "host:"): // the lines that follow are none of ours
		g.Happened(gate.Probe, x.client.peer, "it speaks HTTP")
		x.closing = true
	case x.asksNothing():
		g.Happened(gate.Probe, x.client.peer, code.String())
	default:
		g.Refused(code, x.client.peer, x.parser.Arg(0))
	}
	x.fail(code.RedisError())
	x.ran.of(x.whichCommand(0)).calls++
}

// asksNothing tells whether the command that was parsed is about the connection or the server, as
// those are that ask whether it is well: nobody misses what it would do.
func (x *exchange) asksNothing() bool {
	c := x.whichCommand(0)
	return c != nil && (c.group == groupConnection || c.group == groupServer)
}

// malformed answers bytes that are no command.
func (x *exchange) malformed(err error) {
	x.door.gate.Refused(codec.CodeMalformed, x.client.peer, x.in[x.at:])
	x.end(x.appendError(x.begin(), "ERR "+err.Error()))
	x.closing = true
}

// begin returns the buffer to append a reply to that is known now, and end takes it back.
func (x *exchange) begin() []byte {
	if len(x.steps) == 0 {
		return x.out
	}
	return x.ready
}

func (x *exchange) end(b []byte) {
	if len(x.steps) == 0 {
		x.out = b
		return
	}
	x.step(formReady, len(b)-len(x.ready))
	x.ready = b
}

func (x *exchange) status(text string) { x.end(resp.AppendSimple(x.begin(), text)) }
func (x *exchange) integer(n int64)    { x.end(resp.AppendInt(x.begin(), n)) }
func (x *exchange) bulk(b []byte)      { x.end(resp.AppendBulk(x.begin(), b)) }

// fail answers the command that was parsed with an error.
func (x *exchange) fail(text string) {
	x.blame(x.whichCommand(0), text)
	x.end(x.appendError(x.begin(), text))
}

// reject does it instead of running the command.
func (x *exchange) reject(text string) {
	if c := x.whichCommand(0); c != nil {
		x.ran.reject(c)
	}
	x.end(x.appendError(x.begin(), text))
}

// appendError appends an error, and counts it: that of a transaction when it is answered.
func (x *exchange) appendError(dst []byte, text string) []byte {
	if x.group.Whole {
		x.errors[gate.Word(text)]++
	} else {
		x.door.gate.Errors.Note(text)
	}
	return resp.AppendError(dst, text)
}

// step adds to the plan of the answer.
func (x *exchange) step(f form, n int) {
	last := len(x.steps) - 1
	if last >= 0 && x.steps[last].form == f && f < formValues &&
		(x.steps[last].command == x.current || f == formReady) {
		x.steps[last].n += uint32(n)
		return
	}
	x.steps = append(x.steps, step{f, x.current, uint32(n)})
}

// ask collects operations of a kind on the topics that are the first so many arguments, and plans
// their answer. n and highest are those of a count.
func (x *exchange) ask(f form, kind core.Kind, topics int, n, highest uint64) {
	if topics > 1 && (!x.fits(topics) || !x.hasRoom(topics)) {
		return
	}
	for i := 1; i <= topics; i++ {
		if err := codec.CheckTopic(x.parser.Arg(i)); err != nil {
			x.refuseTopic(x.parser.Arg(i), err)
			return
		}
	}
	for i := 1; i <= topics; i++ {
		if len(x.ops) == cap(x.ops) {
			x.ops = slices.Grow(x.ops, topics+1-i)
		}
		x.ops = x.ops[:len(x.ops)+1] // what an old operation left is overwritten by the backend
		op := &x.ops[len(x.ops)-1]
		op.Kind, op.Topic, op.N, op.Max = kind, x.parser.Arg(i), n, highest
	}
	x.step(f, topics)
}

// one is ask for the first argument alone, and each for all arguments.
func (x *exchange) one(f form, kind core.Kind, n, highest uint64) { x.ask(f, kind, 1, n, highest) }
func (x *exchange) each(f form, kind core.Kind)                   { x.ask(f, kind, x.parser.Len()-1, 0, 0) }

// hasRoom tells whether there is room for the operations on so many topics and their reply, and
// else refuses the command. For those of a transaction there is.
func (x *exchange) hasRoom(topics int) bool {
	if topics <= fewOps || x.group.Whole || x.affords(topics*(opSize+replyRoom)) {
		return true
	}
	x.tooLong()
	return false
}

// fits tells whether all topics of a command can be in flight at once, and else refuses it: no
// later try could succeed.
func (x *exchange) fits(topics int) bool {
	most := x.door.gate.Options.MaxInFlight
	if topics <= most {
		return true
	}
	x.door.gate.Refused(codec.CodeTooManyRequests, x.client.peer, x.parser.Arg(0))
	x.fail("ERR more topics than --max-in-flight allows: a command has at most " + strconv.Itoa(most))
	return false
}

// read answers with the states of the topics that are the arguments. After operations they are
// read in their order, and in a transaction at its moment; else now, unless some topics show
// already what a transaction did and others do not yet.
func (x *exchange) readTopics(f form) {
	x.read += x.parser.Len() - 1
	if len(x.ops) > 0 || x.group.Whole {
		x.each(f, core.Read)
		return
	}
	version := x.door.backend().WholeVersion()
	if version%2 == 1 {
		x.each(f, core.Read)
		return
	}
	for i := 1; i < x.parser.Len(); i++ {
		if err := codec.CheckTopic(x.parser.Arg(i)); err != nil {
			x.refuseTopic(x.parser.Arg(i), err)
			return
		}
	}
	switch f {
	case formValues:
		x.readValues(version)
	case formLive:
		x.readLive(version)
	default:
		v, _ := x.door.backend().GetBytes(x.parser.Arg(1))
		b, _ := x.appendReply(x.begin(), step{form: f},
			[]core.Op{{Kind: core.Read, Topic: x.parser.Arg(1), Sum: v.Sum, Epoch: v.Epoch}})
		x.end(b)
	}
}

// readValues is formValues of the arguments, if the backend is at a version still behind it.
func (x *exchange) readValues(version uint64) {
	b := resp.AppendArray(x.begin(), x.parser.Len()-1)
	for i := 1; i < x.parser.Len(); i++ {
		if i%fewOps == 0 && !x.mayGrow(b) {
			x.tooLong()
			return
		}
		v, _ := x.door.backend().GetBytes(x.parser.Arg(i))
		b = x.appendValue(b, v.Sum)
	}
	if x.door.backend().WholeVersion() != version {
		x.each(formValues, core.Read)
		return
	}
	x.end(b)
}

// readLive is likewise formLive.
func (x *exchange) readLive(version uint64) {
	n := 0
	for i := 1; i < x.parser.Len(); i++ {
		v, _ := x.door.backend().GetBytes(x.parser.Arg(i))
		n += flag(v.Sum > 0)
	}
	if x.door.backend().WholeVersion() != version {
		x.each(formLive, core.Read)
		return
	}
	x.integer(int64(n))
}

// refuseTopic refuses the command because an argument can be no topic.
func (x *exchange) refuseTopic(topic []byte, why *codec.RefusalError) {
	x.door.gate.Refused(why.Code, x.client.peer, topic)
	x.fail(why.Code.RedisError())
}

// refuse gives all operations that were collected an outcome without the backend; of a transaction
// nothing is done.
func (x *exchange) refuse(err error) {
	if x.group.Whole {
		code, _ := gate.CodeOf(err)
		x.door.gate.Refused(code, x.client.peer, nil)
		x.abort(code.RedisError())
		return
	}
	for i := range x.ops {
		x.ops[i].Err = err
	}
}

// compact moves what was not taken to the beginning, so that more can be received. It keeps the
// address of a command that is held.
func (x *exchange) compact() {
	if x.at > 0 && x.parsed == 0 {
		x.in = x.in[:copy(x.in, x.in[x.at:])]
		x.at = 0
	}
}

// idle tells that nothing of a command is there.
func (x *exchange) idle() bool { return x.at == len(x.in) }

// maxInteger is the highest sum that RESP's integers can tell.
const maxInteger = math.MaxInt64
