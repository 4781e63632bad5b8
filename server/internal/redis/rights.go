package redis

import (
	"gcd/codec"
	"gcd/internal/access"
	"gcd/server/internal/gate"
)

// Who may run which command. Each command says what it needs; it is looked at before a command is
// run or kept for EXEC, and again at EXEC, and over its rights a command is refused as a whole.

// mostFailures is how many wrong tokens a connection may show before it ends.
const mostFailures = 3

// renew has the client be who it is by the rules that hold now.
func (c *Session) renew() {
	if c.door.gate.Renew(&c.who, c.peer) {
		c.known()
		c.x.listing.forget() // what was found by the old ones: it begins again, if it still may
	}
}

// known is called when it has become clear who the client is.
func (c *Session) known() {
	c.countsAll, c.mayNone = c.who.Everything(access.Count), !c.who.HasAny()
	label := *c.label.Load()
	label.user = c.user()
	c.label.Store(&label)
}

// permits tells whether the client may run the command that was parsed, and else over which topic
// it may not; nil where it is about none.
func (x *exchange) permits(c *command) (may bool, topic []byte) {
	who := &x.client.who
	switch {
	case !who.HasRules(), c.refused, c.needs == noRight:
		return true, nil
	case c.whole:
		return who.Everything(c.needs), nil
	case c.keys.first == 0:
		return who.Has(c.needs), nil
	case who.Everything(c.needs):
		return true, nil
	}
	last := c.keys.last
	if last < 0 {
		last = x.parser.Len() - 1
	}
	for i := c.keys.first; i <= last; i++ {
		if topic := x.parser.Arg(i); !who.May(c.needs, topic) {
			return false, topic
		}
	}
	return true, nil
}

// deny refuses the command that was parsed, since the client has no right to it.
func (x *exchange) deny(c *command, topic []byte) {
	x.spoil()
	x.noteDenied(c, topic)
	x.fail(x.denial(c, topic))
}

// denial is the error, in Redis' words.
func (x *exchange) denial(c *command, topic []byte) string {
	switch code := x.client.who.Refusal(); {
	case code == codec.CodeNotAuthenticated:
		return code.RedisError()
	case topic != nil:
		return "NOPERM No permissions to access a key"
	}
	return "NOPERM User " + x.client.who.Name() + " has no permissions to run the '" + c.name + "' command"
}

func (x *exchange) noteDenied(c *command, topic []byte) {
	who, g := &x.client.who, x.door.gate
	g.Refused(x.client.who.Refusal(), x.client.peer, topic)
	g.Denied(who, x.client.peer, gate.DoorRESP, c.name, topic)
}

// errWrongPass is what Redis says, too, for a name and a password that do not belong together.
const errWrongPass = "WRONGPASS invalid username-password pair or user is disabled."

func (x *exchange) auth() {
	switch n := x.parser.Len(); {
	case n > 3:
		x.fail(errSyntax)
	case !x.client.who.HasRules():
		x.fail(errNoAuth)
	case n == 2 && x.authenticate("", x.parser.Arg(1)):
		x.status("OK")
	case n == 3 && x.authenticate(string(x.parser.Arg(1)), x.parser.Arg(2)):
		x.status("OK")
	}
}

// authenticate has the client be whose token it is. If it is nobody's it has answered that, and the
// client is who it was.
func (x *exchange) authenticate(name string, token []byte) bool {
	c := x.client
	if x.door.gate.Authenticate(&c.who, name, token) {
		c.known()
		return true
	}
	c.failures++
	text := errWrongPass
	if !x.door.gate.Failed(c.peer, gate.DoorRESP, name) {
		text = codec.CodeTooManyFailures.RedisError()
		x.closing = true
	}
	x.fail(text)
	x.closing = x.closing || c.failures >= mostFailures
	return false
}
