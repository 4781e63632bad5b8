package redis

import (
	"fmt"
	"time"

	"gcd/resp"
	"gcd/server/internal/gate"
)

// CLIENT: what is known of connections.

func (x *exchange) clientInfo() {
	x.end(x.client.version.AppendText(x.begin(), x.client.appendLine(nil, time.Now())))
}

func (x *exchange) clientGetName() {
	label := x.client.label.Load()
	if label.name == "" {
		x.end(x.client.version.AppendNull(x.begin()))
		return
	}
	x.end(resp.AppendBulk(x.begin(), label.name))
}

func (x *exchange) clientSetName() {
	if why := noLabel("Client names", x.parser.Arg(2)); why != "" {
		x.fail(why)
		return
	}
	label := *x.client.label.Load()
	label.name = string(x.parser.Arg(2))
	x.relabel(&label)
}

func (x *exchange) relabel(label *label) {
	x.client.label.Store(label)
	x.status("OK")
}

// clientSetInfo is what client libraries say of themselves.
func (x *exchange) clientSetInfo() {
	label, attribute, value := *x.client.label.Load(), x.parser.Arg(2), x.parser.Arg(3)
	of := &label.library
	switch {
	case is(attribute, "lib-name"):
	case is(attribute, "lib-ver"):
		of = &label.libraryVersion
	default:
		x.fail("ERR Unrecognized option '" + shown(attribute) + "'")
		return
	}
	if why := noLabel(string(attribute), value); why != "" {
		x.fail(why)
		return
	}
	*of = string(value)
	x.relabel(&label)
}

func (x *exchange) clientList() {
	clients, ok := x.wantedClients()
	if !ok {
		return
	}
	var text []byte
	now := time.Now()
	for _, c := range clients {
		if text = c.appendLine(text, now); !x.affords(cap(text) + len(text)) { // the reply has a copy
			x.tooLong()
			return
		}
	}
	x.end(x.client.version.AppendText(x.begin(), text))
}

// wantedClients reads which clients CLIENT LIST asks for. It returns false if it has answered
// already, with what is wrong. It looks at no more clients than it returns: a turn may have tens of
// thousands of commands whose answers are empty.
func (x *exchange) wantedClients() (wanted []*Session, ok bool) {
	args, door := x.parser.Len(), x.door
	switch {
	case args == 2:
		return door.list(), true
	case args == 4 && is(x.parser.Arg(2), "type"):
		switch kind := x.parser.Arg(3); {
		case is(kind, "normal"):
			return door.list(), true
		case is(kind, "master"), is(kind, "replica"), is(kind, "slave"), is(kind, "pubsub"):
			return nil, true
		default:
			x.fail("ERR Unknown client type '" + shown(kind) + "'")
			return nil, false
		}
	case args > 3 && is(x.parser.Arg(2), "id"):
		if !x.affords(args * replyRoom) {
			x.tooLong()
			return nil, false
		}
		for i := 3; i < args; i++ {
			id, ok := parseInteger(x.parser.Arg(i))
			if !ok {
				x.fail("ERR Invalid client ID")
				return nil, false
			}
			if c := door.client(id); c != nil {
				wanted = append(wanted, c)
			}
		}
		return wanted, true
	}
	x.fail(errSyntax)
	return nil, false
}

// trackingInfo is what Redis says where nothing is tracked.
func (x *exchange) trackingInfo() {
	version := x.client.version
	b := version.AppendMap(x.begin(), 3)
	b = resp.AppendBulk(version.AppendSet(resp.AppendBulk(b, "flags"), 1), "off")
	b = resp.AppendInt(resp.AppendBulk(b, "redirect"), -1)
	x.end(resp.AppendArray(resp.AppendBulk(b, "prefixes"), 0))
}

// appendLine appends what CLIENT LIST says of a client. It may be another connection's. There are
// fields that programs insist on and that say nothing here: they are what they are in Redis for a
// client without subscriptions and waiting output.
func (c *Session) appendLine(dst []byte, now time.Time) []byte {
	label, flags, multi := c.label.Load(), "N", c.queue.commands.Load()-1
	if multi >= 0 {
		flags = "x"
	}
	user := label.user
	if user == "" { // as in Redis where nobody is asked
		user = "default"
	}
	addr, local := c.peer.String(), gate.Peer{Addr: c.local}.String()
	if c.peer.Unix {
		addr = c.door.opts.Unix + ":0"
		local = addr
	}
	return fmt.Appendf(dst,
		"id=%d addr=%s laddr=%s name=%s age=%d idle=0 flags=%s db=0 sub=0 psub=0 ssub=0 multi=%d qbuf=0 "+
			"qbuf-free=0 argv-mem=0 multi-mem=%d "+
			"rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=%d user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
		c.id, addr, local, label.name, int(now.Sub(c.since).Seconds()), flags, multi,
		c.queue.bytes.Load(), int64(c.held.Bytes())+c.queue.bytes.Load(), user, label.version, label.library,
		label.libraryVersion)
}
