package redis

import (
	"bytes"
	"iter"
	"slices"
	"strings"

	"gcd/resp"
)

// COMMAND: what clients are told of the commands, to complete and to explain them.

// described finds a command that clients are told of by its name, or a subcommand by its whole
// name; nil if there is none.
func (d *Door) described(name []byte) *command {
	name, sub, isSub := bytes.Cut(name, []byte("|"))
	c := d.command(name)
	if c != nil && isSub {
		c = c.sub(sub)
	}
	if c == nil || c.refused {
		return nil
	}
	return c
}

// named goes through the commands that are the arguments from the given one on, nil for one that is
// not there; or all, by their names, if there are no such arguments. It also returns how many those
// are.
func (x *exchange) named(from int) (n int, all iter.Seq[*command]) {
	d := x.door
	if x.parser.Len() > from {
		return x.parser.Len() - from, func(yield func(*command) bool) {
			for i := from; i < x.parser.Len() && yield(d.described(x.parser.Arg(i))); i++ {
			}
		}
	}
	return len(d.listed), slices.Values(d.listed)
}

// commandList answers with the names of commands, all or some, and of their subcommands.
func (x *exchange) commandList() {
	wanted := func(*command) bool { return true }
	if args := x.parser.Len(); args > 2 {
		if args != 5 || !is(x.parser.Arg(2), "filterby") {
			x.fail(errSyntax)
			return
		}
		switch by := x.parser.Arg(3); {
		case is(by, "pattern") && len(x.parser.Arg(4)) > maxPattern:
			x.fail(errPattern)
			return
		case is(by, "pattern"):
			pattern := lowered(x.parser.Arg(4))
			wanted = func(c *command) bool { return matches(pattern, []byte(c.name)) }
		case is(by, "module"), is(by, "aclcat"): // there are neither, so no command is of one
			wanted = func(*command) bool { return false }
		default:
			x.fail(errSyntax)
			return
		}
	}
	var names []string
	for _, c := range x.door.listed {
		for _, c := range append([]*command{c}, c.listedSubs()...) {
			if wanted(c) {
				names = append(names, c.name)
			}
		}
	}
	b := resp.AppendArray(x.begin(), len(names))
	for _, name := range names {
		b = resp.AppendBulk(b, name)
	}
	x.end(b)
}

// describe answers with what programs want to know of commands.
func (x *exchange) describe(n int, all iter.Seq[*command]) {
	version := x.client.version
	b := resp.AppendArray(x.begin(), n)
	for c := range all {
		if !x.mayGrow(b) {
			x.tooLong()
			return
		}
		if c == nil {
			b = version.AppendNull(b)
			continue
		}
		b = c.appendInfo(b, version)
	}
	x.end(b)
}

func (c *command) appendInfo(b []byte, version resp.Version) []byte {
	b = resp.AppendArray(b, 10)
	b = resp.AppendBulk(b, c.name)
	b = resp.AppendInt(b, int64(c.shownArity()))
	b = appendWords(b, version, c.flags)
	b = resp.AppendInt(resp.AppendInt(resp.AppendInt(b, int64(c.keys.first)), int64(c.keys.last)), int64(c.keys.step))
	b = version.AppendSet(b, 0) // categories of access rights
	b = version.AppendSet(b, 0) // tips for clients of a cluster
	b = c.keys.appendSpecs(b, version)
	subs := c.listedSubs()
	if len(c.subs) == 0 {
		return version.AppendSet(b, 0)
	}
	b = resp.AppendArray(b, len(subs))
	for _, sub := range subs {
		b = sub.appendInfo(b, version)
	}
	return b
}

// appendWords appends words as a set of statuses.
func appendWords(b []byte, version resp.Version, words string) []byte {
	all := strings.Fields(words)
	b = version.AppendSet(b, len(all))
	for _, word := range all {
		b = resp.AppendSimple(b, word)
	}
	return b
}

// appendSpecs appends the specification of where in a command the topics are.
func (k keys) appendSpecs(b []byte, version resp.Version) []byte {
	if k.first == 0 {
		return version.AppendSet(b, 0)
	}
	last := k.last
	if last > 0 { // from the first on
		last -= k.first
	}
	b = version.AppendMap(version.AppendSet(b, 1), 3)
	b = appendWords(resp.AppendBulk(b, "flags"), version, k.access)

	b = version.AppendMap(resp.AppendBulk(b, "begin_search"), 2)
	b = resp.AppendBulk(resp.AppendBulk(b, "type"), "index")
	b = version.AppendMap(resp.AppendBulk(b, "spec"), 1)
	b = resp.AppendInt(resp.AppendBulk(b, "index"), int64(k.first))

	b = version.AppendMap(resp.AppendBulk(b, "find_keys"), 2)
	b = resp.AppendBulk(resp.AppendBulk(b, "type"), "range")
	b = version.AppendMap(resp.AppendBulk(b, "spec"), 3)
	b = resp.AppendInt(resp.AppendBulk(b, "lastkey"), int64(last))
	b = resp.AppendInt(resp.AppendBulk(b, "keystep"), int64(k.step))
	return resp.AppendInt(resp.AppendBulk(b, "limit"), 0)
}

// commandKeys answers with the topics of the command that is its arguments, and if asked for with
// what that does to them.
func (x *exchange) commandKeys(withAccess bool) {
	const head = 2 // COMMAND GETKEYS
	c, args := x.whichCommand(head), x.parser.Len()-head
	switch {
	case c == nil || c.refused:
		x.fail("ERR Invalid command specified")
		return
	case c.keys.first == 0:
		x.fail("ERR The command has no key arguments")
		return
	case c.arity > 0 && args != c.arity, args < -c.arity:
		x.fail("ERR Invalid number of arguments specified for command")
		return
	}
	last := c.keys.last
	if last < 0 {
		last += args
	}
	version := x.client.version
	b := resp.AppendArray(x.begin(), last-c.keys.first+1)
	for i := c.keys.first; i <= last; i++ {
		if i%fewOps == 0 && !x.mayGrow(b) {
			x.tooLong()
			return
		}
		if withAccess {
			b = resp.AppendArray(b, 2)
		}
		b = resp.AppendBulk(b, x.parser.Arg(head+i))
		if withAccess {
			b = appendWords(b, version, c.keys.access)
		}
	}
	x.end(b)
}

// shownArity is the arity, where it is not checked that of a command with any arguments.
func (c *command) shownArity() int {
	if c.arity == 0 {
		return -1
	}
	return c.arity
}

// commandDocs answers with what people want to know of commands; those that are not there are left
// out.
func (x *exchange) commandDocs() {
	_, all := x.named(2)
	version, n := x.client.version, 0
	for c := range all {
		n += flag(c != nil)
	}
	b := version.AppendMap(x.begin(), n)
	for c := range all {
		if c == nil {
			continue
		}
		if !x.mayGrow(b) {
			x.tooLong()
			return
		}
		b = c.appendDocs(b, version)
	}
	x.end(b)
}

func (c *command) appendDocs(b []byte, version resp.Version) []byte {
	subs := c.listedSubs()
	b = version.AppendMap(resp.AppendBulk(b, c.name), 2+flag(len(c.args) > 0)+flag(len(subs) > 0))
	b = resp.AppendBulk(resp.AppendBulk(b, "summary"), c.summary)
	b = resp.AppendBulk(resp.AppendBulk(b, "group"), c.group)
	if len(c.args) > 0 {
		b = appendArguments(resp.AppendBulk(b, "arguments"), version, c.args)
	}
	if len(subs) > 0 {
		b = version.AppendMap(resp.AppendBulk(b, "subcommands"), len(subs))
		for _, sub := range subs {
			b = sub.appendDocs(b, version)
		}
	}
	return b
}

// argument is one argument of a command, as clients show it.
type argument struct {
	name     string
	kind     string // one of Redis' types of arguments
	token    string // the word in front of it; of a pure-token, the word that it is
	optional bool
	multiple bool
}

// The arguments that many commands have.
var (
	topicArg  = argument{name: "topic", kind: "key"}
	topicsArg = argument{name: "topic", kind: "key", multiple: true}
	zeroArg   = argument{name: "zero", kind: "pure-token", token: "0"}
)

func appendArguments(b []byte, version resp.Version, args []argument) []byte {
	b = resp.AppendArray(b, len(args))
	for _, a := range args {
		flags := ""
		if a.optional {
			flags = "optional"
		}
		if a.multiple {
			flags += " multiple"
		}
		isKey := a.kind == "key"
		b = version.AppendMap(b, 3+flag(isKey)+flag(a.token != "")+flag(flags != ""))
		b = resp.AppendBulk(resp.AppendBulk(b, "name"), a.name)
		b = resp.AppendBulk(resp.AppendBulk(b, "type"), a.kind)
		b = resp.AppendBulk(resp.AppendBulk(b, "display_text"), a.name)
		if isKey {
			b = resp.AppendInt(resp.AppendBulk(b, "key_spec_index"), 0)
		}
		if a.token != "" {
			b = resp.AppendBulk(resp.AppendBulk(b, "token"), a.token)
		}
		if flags != "" {
			b = appendWords(resp.AppendBulk(b, "flags"), version, flags)
		}
	}
	return b
}
