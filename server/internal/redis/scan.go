package redis

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"math"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/resp"
	"gcd/store/core"
)

// The bounds of a look at all topics. It goes by steps, so that a loop's other connections get
// their turns.
const (
	scanDefault  = 10      // topics that have a sum that SCAN looks at without COUNT
	maxLook      = 4096    // topics that SCAN and KEYS look at in one turn, and the most for COUNT
	maxScanTurns = 16      // after which SCAN returns, however few of the topics had a sum
	maxLookWork  = 1 << 22 // bytes of topics × bytes of the pattern, after which a step ends too
	maxScanReply = 1 << 20 // bytes of topics after which SCAN returns
	maxKeysReply = 8 << 20 // bytes of topics that KEYS returns
	maxLookReply = 1 << 18 // bytes of topics after which KEYS goes on in its next turn
	maxPattern   = 256     // bytes
)

// A cursor that a client gets is the backend's, with the number of the server's run above it: the
// order of the topics is another after a start, and a cursor of before would leave some out. Both
// fit into the 53 bits that every client keeps as they are.
const (
	cursorBits = 32 // a store has fewer topics
	maxCursor  = 1<<cursorBits - 1
	scanRuns   = 1 << (53 - cursorBits)
)

// newScanRun draws the number of a run. It is not 0, so that a cursor that somebody makes up from
// small numbers is none of any run.
func newScanRun() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return 1 + binary.BigEndian.Uint64(b[:])%(scanRuns-1)
}

// shownCursor makes a backend's cursor one for clients.
func (d *Door) shownCursor(cursor uint64) uint64 {
	if cursor == 0 {
		return 0
	}
	return d.scanRun<<cursorBits | cursor
}

// backendCursor undoes it. It returns false for a cursor of another run, or of nobody's.
func (d *Door) backendCursor(shown uint64) (cursor uint64, ok bool) {
	if shown == 0 {
		return 0, true
	}
	return shown & maxCursor, shown>>cursorBits == d.scanRun && shown&maxCursor != 0
}

// listing is what a look at the topics has found.
type listing struct {
	found      []byte // replies, behind room for what stands before them
	n          int    // how many
	cursor     uint64
	live       int  // topics that were looked at and have a sum
	turns      int  // that were had
	unfinished bool // the command goes on in the next turn
}

// foundHead is that room: the heads of two arrays and a cursor.
const foundHead = 64

// size is how many bytes were found.
func (l *listing) size() int { return max(0, len(l.found)-foundHead) }

// forget empties the listing and keeps a little room for the next.
func (l *listing) forget() { *l = listing{found: keptRoom(l.found, maxKeptBytes)} }

// whyLook is why a look at the topics ended.
type whyLook int

const (
	lookedAtAll   whyLook = iota // there are no more
	lookedEnough                 // there may be more
	lookedTooMuch                // there is no room for more
	lookedInVain                 // the server shuts down
)

// lookTogether is how many topics are looked at before something else can interrupt.
const lookTogether = 64

// reach is how far a look goes in one turn: so many topics, so many that have a sum and bytes of
// them since the look began.
type reach struct{ topics, live, bytes int }

// look goes on through the topics from the listing's cursor.
func (x *exchange) look(to reach, pattern []byte) whyLook {
	l, backend, work := &x.listing, x.door.backend(), 0
	if len(l.found) == 0 {
		l.found = append(l.found[:0], make([]byte, foundHead)...)
	}
	all := x.client.who.Everything(access.Read)
	one := func(topic []byte, v core.Value) {
		work += len(topic) * len(pattern)
		if v.Sum == 0 || !all && !x.client.who.May(access.Read, topic) {
			return
		}
		l.live++
		if pattern == nil || matches(pattern, topic) {
			l.found = resp.AppendBulk(l.found, topic)
			l.n++
		}
	}
	for topics := to.topics; topics > 0 && work < maxLookWork && l.live < to.live && l.size() < to.bytes; topics-- {
		if topics%lookTogether == 0 && x.door.gate.Ending() {
			return lookedInVain
		}
		room := cap(l.found)
		if l.cursor = backend.Scan(l.cursor, 1, one); l.cursor == 0 {
			return lookedAtAll
		}
		if cap(l.found) > room && !x.affords(0) {
			return lookedTooMuch
		}
	}
	return lookedEnough
}

// scanOptions are the arguments of SCAN.
type scanOptions struct {
	cursor  uint64 // the backend's
	count   int    // topics that have a sum
	pattern []byte // nil: all
	none    bool   // it asks for what there is none of
}

// scan returns when it has looked at as many topics that have a sum as COUNT says, as Redis does:
// those that have none are not there. It goes by turns, so that many of those hold up nobody else,
// and where there are very many it returns what it has, be it nothing.
func (x *exchange) scan() {
	o, ok := x.scanOptions()
	if !ok {
		return
	}
	l := &x.listing
	if l.turns == 0 {
		l.cursor = o.cursor
	}
	l.turns++
	to := reach{topics: maxLook, live: o.count, bytes: maxScanReply}
	if l.turns == 1 {
		to.topics = lookTogether // more of them when there is time for it
	}
	switch {
	case o.none:
		l.cursor = 0
	case l.turns == 1 && o.count > lookTogether: // there is much to do
		l.unfinished = true
		return
	default:
		why := x.look(to, o.pattern)
		enough := l.live >= o.count || l.size() >= maxScanReply || l.turns > maxScanTurns
		if l.unfinished = why == lookedEnough && !enough; l.unfinished {
			return
		}
		// Where it ends early for another reason the client goes on from there.
	}
	var head [foundHead]byte
	b := resp.AppendArray(head[:0], 2)
	x.replyFound(resp.AppendDecimal(b, x.door.shownCursor(l.cursor)))
}

// parseCursor reads a cursor as Redis does, for which it need not be written as other numbers.
func parseCursor(b []byte) (uint64, bool) {
	if len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if b = bytes.TrimLeft(b, "0"); len(b) == 0 {
		return 0, true
	}
	return parseUnsigned(b)
}

// scanOptions reads them. It returns false if it has answered already, with what is wrong.
func (x *exchange) scanOptions() (o scanOptions, ok bool) {
	shown, ok := parseCursor(x.parser.Arg(1))
	if !ok {
		x.fail("ERR invalid cursor")
		return o, false
	}
	if o.cursor, ok = x.door.backendCursor(shown); !ok {
		x.fail("ERR invalid cursor: it is not of this run of the server, and topics have another order in each; " +
			"begin again with 0")
		return o, false
	}
	count := int64(scanDefault)
	for i := 2; i < x.parser.Len(); i += 2 {
		if i+1 == x.parser.Len() {
			x.fail(errSyntax)
			return o, false
		}
		value := x.parser.Arg(i + 1)
		switch option := x.parser.Arg(i); {
		case is(option, "match"):
			o.pattern = value
		case is(option, "count"):
			if count, ok = parseInteger(value); !ok {
				x.fail(errNotAnInteger)
				return o, false
			}
			if count < 1 {
				x.fail(errSyntax)
				return o, false
			}
		case is(option, "type"):
			o.none = !is(value, "string")
		default:
			x.fail(errSyntax)
			return o, false
		}
	}
	if len(o.pattern) > maxPattern {
		x.fail(errPattern)
		return o, false
	}
	o.count = int(min(count, maxLook))
	return o, true
}

const errPattern = "ERR pattern is too long: it has at most 256 bytes"

// keys looks at some topics in each turn but the first: so it has a turn of its own, what it finds
// becomes the answer without a copy, and the loop says when there is time for it.
func (x *exchange) keys() {
	l, most := &x.listing, min(maxKeysReply, x.door.gate.MostHeld/2)
	if len(x.parser.Arg(1)) > maxPattern {
		x.fail(errPattern)
		return
	}
	if !l.unfinished {
		l.unfinished = true
		return
	}
	to := reach{topics: maxLook, live: math.MaxInt, bytes: min(most, l.size()+maxLookReply)}
	switch why := x.look(to, x.parser.Arg(1)); {
	case l.size() >= most:
		l.forget()
		x.fail("ERR too many topics for one answer: use SCAN")
	case why == lookedEnough:
		l.unfinished = true
	case why == lookedTooMuch:
		l.forget()
		x.tooLong()
	case why == lookedInVain:
		x.sayRefusing(codec.CodeShuttingDown)
	default:
		x.replyFound(nil)
	}
}

// replyFound makes the answer of what was found, as an array behind head. The commands that find
// something are barriers, with nothing in their turn but answers before them; if there are none
// what was found is the answer as it stands.
func (x *exchange) replyFound(head []byte) {
	l := &x.listing
	head = resp.AppendArray(head, l.n)
	if len(l.found) == 0 {
		l.found = append(l.found, make([]byte, foundHead)...)
	}
	at := foundHead - len(head)
	copy(l.found[at:], head)
	switch b := x.begin(); {
	case len(b) == 0:
		x.out, l.found = l.found[at:], b
	case !x.affords(len(l.found)):
		x.tooLong()
	default:
		x.end(append(b, l.found[at:]...))
	}
	l.forget()
}

// dbSize tells it at once, unless it is part of a transaction, or one comes into effect just now.
func (x *exchange) dbSize() {
	if x.group.Whole || x.door.backend().WholeVersion()%2 == 1 {
		x.ops = append(x.ops, core.Op{Kind: core.Size})
		x.step(formInteger, 1)
		return
	}
	x.integer(int64(x.door.backend().Live()))
}

// matches tells whether s is what the pattern says: * is any bytes, ? any byte, [a-z] one of those,
// [^a-z] none of them, and a backslash takes the next byte as it is. It takes at most len(pattern)
// × len(s) steps.
func matches(pattern, s []byte) bool {
	p, i := 0, 0
	star, from := -1, 0 // the last *, and where what it stands for ends
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, i
			p++
			continue
		}
		if n, ok := matchesOne(pattern[p:], s[i]); ok {
			p += n
			i++
			continue
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchesOne tells whether c is what the pattern begins with, and how many bytes of the pattern say
// that.
func matchesOne(pattern []byte, c byte) (n int, ok bool) {
	if len(pattern) == 0 {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		return matchesClass(pattern, c)
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// matchesClass does it for [...]; a class that is not closed goes to the pattern's end.
func matchesClass(pattern []byte, c byte) (n int, ok bool) {
	i, not := 1, false
	if i < len(pattern) && pattern[i] == '^' {
		i, not = 2, true
	}
	for ; i < len(pattern) && pattern[i] != ']'; i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
			ok = ok || pattern[i] == c
			continue
		}
		low, high := pattern[i], pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' {
			high = pattern[i+2]
			i += 2
		}
		ok = ok || min(low, high) <= c && c <= max(low, high)
	}
	return min(i+1, len(pattern)), ok != not
}
