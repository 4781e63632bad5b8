package server

import (
	"fmt"
	"time"

	"gcd/resp"
)

// CLIENT: what is known of connections.

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
	case is(sub, "trackinginfo") && args == 2:
		x.trackingInfo()
	case is(sub, "getredir") && args == 2:
		x.integer(-1) // nobody is told of changes
	case is(sub, "no-evict") && args == 3, is(sub, "no-touch") && args == 3:
		if !is(x.arg(2), "on") && !is(x.arg(2), "off") {
			x.fail(errSyntax)
			return
		}
		x.status("OK") // nothing is ever evicted, and no read is noted
	case is(sub, "trackinginfo"), is(sub, "getredir"), is(sub, "id"), is(sub, "getname"), is(sub, "setname"), is(sub, "setinfo"), is(sub, "info"), is(sub, "no-evict"), is(sub, "no-touch"):
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
	wanted, ok := x.wantedClients()
	if !ok {
		return
	}
	var text []byte
	now := time.Now()
	for _, c := range x.client.s.resp.list() {
		if !wanted(c) {
			continue
		}
		if text = c.appendLine(text, now); !x.affords(cap(text) + len(text)) { // the reply has a copy
			x.tooLong()
			return
		}
	}
	x.end(x.client.version.AppendText(x.begin(), text))
}

// wantedClients reads which clients CLIENT LIST asks for. It returns false if it has answered already, with what is wrong.
func (x *exchange) wantedClients() (wanted func(*respClient) bool, ok bool) {
	args := x.parser.Len()
	switch {
	case args == 2:
		return func(*respClient) bool { return true }, true
	case args == 4 && is(x.arg(2), "type"):
		kind := x.arg(3)
		normal := is(kind, "normal")
		if !normal && !is(kind, "master") && !is(kind, "replica") && !is(kind, "slave") && !is(kind, "pubsub") {
			x.fail("ERR Unknown client type '" + string(kind[:min(len(kind), maxShown)]) + "'")
			return nil, false
		}
		return func(*respClient) bool { return normal }, true
	case args > 3 && is(x.arg(2), "id"):
		if !x.affords(args * replyRoom) {
			x.tooLong()
			return nil, false
		}
		ids := make(map[uint64]bool)
		for i := 3; i < args; i++ {
			id, ok := parseUnsigned(x.arg(i))
			if !ok || id == 0 {
				x.fail("ERR Invalid client ID")
				return nil, false
			}
			ids[id] = true
		}
		return func(c *respClient) bool { return ids[c.id] }, true
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

// appendLine appends what CLIENT LIST says of a client. It may be another connection's. There are fields that programs insist on and that say nothing
// here: they are what they are in Redis for a client without transactions, subscriptions and waiting output.
func (c *respClient) appendLine(dst []byte, now time.Time) []byte {
	label := c.label.Load()
	return fmt.Appendf(dst, "id=%d addr=%s laddr=%s name=%s age=%d idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 "+
		"obl=0 oll=0 omem=0 tot-mem=%d user=default redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
		c.id, peerText(c.peer), peerText(c.local), label.name, int(now.Sub(c.since).Seconds()), c.charged.Load(), label.version, label.library, label.libraryVersion)
}
