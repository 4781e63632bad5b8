package redis

import (
	"math"

	"gcd/resp"
	"gcd/server/internal/gate"
)

// The commands on the connection itself.

// ping answers as a count would be answered now: who asks wants to know whether it is worth sending
// any. After operations it is their outcome that tells, so the answer waits for it.
func (x *exchange) ping() {
	b, before := x.begin(), len(x.begin())
	switch n := x.parser.Len(); {
	case n == 1:
		b = resp.AppendSimple(b, "PONG")
	case n > 2:
		x.fail(x.arityError("ping"))
		return
	default:
		b = resp.AppendBulk(b, x.parser.Arg(1))
	}
	if len(x.steps) > 0 {
		x.steps = append(x.steps, step{formPing, x.current, uint32(len(b) - before)})
		x.ready = b
		return
	}
	if why := x.refusing(); why != "" {
		x.fail(why)
		return
	}
	x.end(b)
}

// refusing is what a count would be answered now if it is one of those that nothing but room or a
// new start helps; else empty.
func (x *exchange) refusing() string {
	err := x.door.backend().Refusing()
	if err == nil {
		return ""
	}
	code, _ := gate.CodeOf(err)
	return code.RedisError()
}

func (x *exchange) quit() {
	x.status("OK")
	x.closing = true
}

// resetConnection puts everything back that the client has set.
func (x *exchange) resetConnection() {
	x.client.forgetTransaction()
	x.client.begin()
	x.status("RESET")
}

func (x *exchange) selectDB() {
	switch n, ok := parseInteger(x.parser.Arg(1)); {
	case !ok:
		x.fail(errNotAnInteger)
	case n < math.MinInt32 || n > math.MaxInt32:
		x.fail("ERR value is out of range, value must between -2147483648 and 2147483647")
	case n != 0:
		x.fail("ERR DB index is out of range")
	default:
		x.status("OK")
	}
}

// errNoAuth is what Redis says, too, when it was given no password: a client that brings one must
// not believe that it is asked for.
const errNoAuth = "ERR AUTH <password> called without any password configured for the default user. Are you sure " +
	"your configuration is correct?"

// hello is a barrier, because the version decides how the replies before it are written.
func (x *exchange) hello() {
	version, label := x.client.version, *x.client.label.Load()
	if x.parser.Len() > 1 {
		n, ok := parseInteger(x.parser.Arg(1))
		if !ok {
			x.fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if n != int64(resp.V2) && n != int64(resp.V3) {
			x.fail("NOPROTO unsupported protocol version")
			return
		}
		version = resp.Version(n)
	}
	var name, token []byte
	for i := 2; i < x.parser.Len(); {
		option, left := x.parser.Arg(i), x.parser.Len()-i-1
		switch {
		case is(option, "auth") && left >= 2 && !x.client.who.HasRules():
			x.fail(errNoAuth)
			return
		case is(option, "auth") && left >= 2:
			name, token = x.parser.Arg(i+1), x.parser.Arg(i+2)
			i += 3
		case is(option, "setname") && left >= 1:
			if why := noLabel("Client names", x.parser.Arg(i+1)); why != "" {
				x.fail(why)
				return
			}
			label.name = string(x.parser.Arg(i + 1))
			i += 2
		default:
			x.fail("ERR Syntax error in HELLO option '" + shown(option) + "'")
			return
		}
	}
	if token != nil && !x.authenticate(string(name), token) {
		return
	}
	x.client.version, label.version, label.user = version, version, x.client.label.Load().user
	x.client.label.Store(&label)

	b := version.AppendMap(x.begin(), 7)
	b = resp.AppendBulk(resp.AppendBulk(b, "server"), "redis")
	b = resp.AppendBulk(resp.AppendBulk(b, "version"), respVersion)
	b = resp.AppendInt(resp.AppendBulk(b, "proto"), int64(version))
	b = resp.AppendInt(resp.AppendBulk(b, "id"), int64(x.client.id))
	b = resp.AppendBulk(resp.AppendBulk(b, "mode"), "standalone")
	b = resp.AppendBulk(resp.AppendBulk(b, "role"), "master")
	b = resp.AppendArray(resp.AppendBulk(b, "modules"), 0)
	x.end(b)
}

// noLabel is the error for what a client cannot call itself, empty if it can: what is shown to
// others must not look like more than one word. what says in the error what it is.
func noLabel(what string, b []byte) string {
	for _, c := range b {
		if c < '!' || c > '~' {
			return "ERR " + what + " cannot contain spaces, newlines or special characters."
		}
	}
	if len(b) > maxLabel {
		return "ERR " + what + " cannot have more than 256 bytes"
	}
	return ""
}

const maxLabel = 256 // bytes

// lowered is a copy of b in lower case.
func lowered(b []byte) []byte {
	l := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		l[i] = c
	}
	return l
}
