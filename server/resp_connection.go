package server

import (
	"fmt"
	"time"

	"gcd/resp"
)

// The commands on the connection itself.

func (x *exchange) ping() {
	switch x.parser.Len() {
	case 1:
		x.status("PONG")
	case 2:
		x.bulk(x.arg(1))
	default:
		x.wrongArity("ping")
	}
}

func (x *exchange) quit() {
	x.status("OK")
	x.closing = true
}

// resetConnection puts everything back that the client has set.
func (x *exchange) resetConnection() {
	x.client.version, x.client.refusing = resp.V2, false
	x.client.label.Store(new(respLabel))
	x.status("RESET")
}

func (x *exchange) selectDB() {
	switch n, ok := parseInteger(x.arg(1)); {
	case !ok:
		x.fail(errNotAnInteger)
	case n != 0:
		x.fail("ERR DB index is out of range")
	default:
		x.status("OK")
	}
}

// errNoAuth is what Redis says, too, when it was given no password: a client that brings one must not believe that it is asked for.
const errNoAuth = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"

func (x *exchange) auth() {
	if x.parser.Len() > 3 {
		x.fail(errSyntax)
		return
	}
	x.fail(errNoAuth)
}

// hello is alone, because the version decides how the replies before it are written.
func (x *exchange) hello() {
	version, label := x.client.version, *x.client.label.Load()
	if x.parser.Len() > 1 {
		n, ok := parseInteger(x.arg(1))
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
	for i := 2; i < x.parser.Len(); {
		option, left := x.arg(i), x.parser.Len()-i-1
		switch {
		case is(option, "auth") && left >= 2:
			x.fail(errNoAuth)
			return
		case is(option, "setname") && left >= 1:
			if !isLabel(x.arg(i + 1)) {
				x.fail("ERR Client names " + errLabel)
				return
			}
			label.name = string(x.arg(i + 1))
			i += 2
		default:
			x.fail("ERR Syntax error in HELLO option '" + string(option[:min(len(option), maxShown)]) + "'")
			return
		}
	}
	x.client.version = version
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

// errLabel is why a client cannot call itself so.
const errLabel = "cannot contain spaces, newlines or special characters, and have at most 256 bytes."

// isLabel tells whether a client may call itself so: what is shown to others must not look like more than one word.
func isLabel(b []byte) bool {
	for _, c := range b {
		if c < '!' || c > '~' {
			return false
		}
	}
	return len(b) <= 256
}

func (x *exchange) clientCommand() {
	args := x.parser.Len()
	label := *x.client.label.Load()
	switch sub := x.arg(1); {
	case is(sub, "id") && args == 2:
		x.integer(int64(x.client.id))
	case is(sub, "getname") && args == 2:
		if label.name == "" {
			x.end(x.client.version.AppendNull(x.begin()))
			return
		}
		x.end(resp.AppendBulk(x.begin(), label.name))
	case is(sub, "setname") && args == 3:
		if !isLabel(x.arg(2)) {
			x.fail("ERR Client names " + errLabel)
			return
		}
		label.name = string(x.arg(2))
		x.relabel(&label)
	case is(sub, "setinfo") && args == 4:
		x.setInfo(&label)
	case is(sub, "info") && args == 2:
		x.end(x.client.version.AppendText(x.begin(), x.client.appendLine(nil, time.Now())))
	case is(sub, "list"):
		x.clientList()
	case is(sub, "no-evict") && args == 3, is(sub, "no-touch") && args == 3:
		if !is(x.arg(2), "on") && !is(x.arg(2), "off") {
			x.fail(errSyntax)
			return
		}
		x.status("OK") // nothing is ever evicted, and no read is noted
	case is(sub, "id"), is(sub, "getname"), is(sub, "setname"), is(sub, "setinfo"), is(sub, "info"), is(sub, "no-evict"), is(sub, "no-touch"):
		x.wrongArity("client|" + string(lowered(sub)))
	default:
		x.unknownSubcommand()
	}
}

func (x *exchange) relabel(label *respLabel) {
	x.client.label.Store(label)
	x.status("OK")
}

// setInfo is what client libraries say of themselves.
func (x *exchange) setInfo(label *respLabel) {
	attribute, value := x.arg(2), x.arg(3)
	switch {
	case is(attribute, "lib-name") && isLabel(value):
		label.library = string(value)
	case is(attribute, "lib-ver") && isLabel(value):
		label.libraryVersion = string(value)
	case is(attribute, "lib-name"), is(attribute, "lib-ver"):
		x.fail("ERR " + string(lowered(attribute)) + " " + errLabel)
		return
	default:
		x.fail("ERR Unrecognized option '" + string(attribute[:min(len(attribute), maxShown)]) + "'")
		return
	}
	x.relabel(label)
}

func (x *exchange) clientList() {
	if n := x.parser.Len(); n != 2 && !(n == 4 && is(x.arg(2), "type") && is(x.arg(3), "normal")) {
		x.fail(errSyntax)
		return
	}
	var text []byte
	now := time.Now()
	for _, c := range x.client.s.resp.list() {
		text = c.appendLine(text, now)
	}
	x.end(x.client.version.AppendText(x.begin(), text))
}

// appendLine appends what CLIENT LIST says of a client. It may be another connection's. There are fields that programs insist on and that say nothing
// here: they are what they are in Redis for a client without transactions, subscriptions and waiting output.
func (c *respClient) appendLine(dst []byte, now time.Time) []byte {
	label := c.label.Load()
	return fmt.Appendf(dst, "id=%d addr=%s name=%s age=%d idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 "+
		"obl=0 oll=0 omem=0 tot-mem=0 user=default redir=-1 lib-name=%s lib-ver=%s\n",
		c.id, peerText(c.peer), label.name, int(now.Sub(c.since).Seconds()), label.library, label.libraryVersion)
}

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

// Transactions: a pipeline that begins with MULTI was meant to be run as a whole or not at all, so until its end nothing of it is run.

func (x *exchange) multi() {
	x.client.refusing = true
	x.fail("ERR MULTI is not supported: there are no transactions; a pipeline takes effect in its order and costs one round trip")
}

func (x *exchange) exec() {
	if x.client.refusing {
		x.client.refusing = false
		x.fail("EXECABORT Transaction discarded because of previous errors.")
		return
	}
	x.fail("ERR EXEC without MULTI")
}

func (x *exchange) discard() {
	if x.client.refusing {
		x.client.refusing = false
		x.status("OK")
		return
	}
	x.fail("ERR DISCARD without MULTI")
}
