package server

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"gcd/resp"
)

// COMMAND: what clients are told of the commands, to complete and to explain them.

// named goes through the commands that are the arguments from the given one on, nil for one that is
// not there; or all, by their names, if there are no such arguments. It also returns how many those
// are.
func (x *exchange) named(from int) (n int, all iter.Seq[*command]) {
	d := x.client.s.resp
	if x.parser.Len() > from {
		return x.parser.Len() - from, func(yield func(*command) bool) {
			for i := from; i < x.parser.Len() && yield(d.command(x.arg(i))); i++ {
			}
		}
	}
	return len(d.commands), func(yield func(*command) bool) {
		for _, name := range slices.Sorted(maps.Keys(d.commands)) {
			if !yield(d.commands[name]) {
				return
			}
		}
	}
}

func (x *exchange) command() {
	args := x.parser.Len()
	var sub []byte
	if args > 1 {
		sub = x.arg(1)
	}
	switch {
	case args == 1:
		x.describe(x.named(1))
	case is(sub, "info"):
		x.describe(x.named(2))
	case is(sub, "count") && args == 2:
		x.integer(int64(len(x.client.s.resp.commands)))
	case is(sub, "docs"):
		_, all := x.named(2)
		x.document(all)
	case is(sub, "count"):
		x.wrongArity("command|count")
	case is(sub, "list"):
		x.listCommands()
	default:
		x.unknownSubcommand()
	}
}

// listCommands answers with the names of commands, all or some.
func (x *exchange) listCommands() {
	wanted := func(*command) bool { return true }
	if args := x.parser.Len(); args > 2 {
		if args != 5 || !is(x.arg(2), "filterby") {
			x.fail(errSyntax)
			return
		}
		switch by := x.arg(3); {
		case is(by, "pattern") && len(x.arg(4)) > maxPattern:
			x.fail(errPattern)
			return
		case is(by, "pattern"):
			pattern := lowered(x.arg(4))
			wanted = func(c *command) bool { return matches(pattern, []byte(c.name)) }
		case is(by, "module"), is(by, "aclcat"): // there are neither, so no command is of one
			wanted = func(*command) bool { return false }
		default:
			x.fail(errSyntax)
			return
		}
	}
	d := x.client.s.resp
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(d.commands)), func(name string) bool { return !wanted(d.commands[name]) })
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
			b = version.AppendNullArray(b)
			continue
		}
		b = resp.AppendArray(b, 10)
		b = resp.AppendBulk(b, c.name)
		b = resp.AppendInt(b, int64(c.shownArity()))
		flags := strings.Fields(c.flags)
		b = version.AppendSet(b, len(flags))
		for _, f := range flags {
			b = resp.AppendSimple(b, f)
		}
		b = resp.AppendInt(resp.AppendInt(resp.AppendInt(b, int64(c.keys.first)), int64(c.keys.last)), int64(c.keys.step))
		for range 4 { // categories of access rights, tips, key specifications, subcommands
			b = version.AppendSet(b, 0)
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

// document answers with what people want to know of commands; those that are not there are left
// out.
func (x *exchange) document(all iter.Seq[*command]) {
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
		b = resp.AppendBulk(b, c.name)
		fields := 2
		if len(c.args) > 0 {
			fields++
		}
		b = version.AppendMap(b, fields)
		b = resp.AppendBulk(resp.AppendBulk(b, "summary"), c.summary)
		b = resp.AppendBulk(resp.AppendBulk(b, "group"), c.group)
		if len(c.args) > 0 {
			b = appendArguments(resp.AppendBulk(b, "arguments"), version, c.args)
		}
	}
	x.end(b)
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
		fields, flags := 2, []string(nil)
		if a.token != "" {
			fields++
		}
		if a.optional {
			flags = append(flags, "optional")
		}
		if a.multiple {
			flags = append(flags, "multiple")
		}
		if len(flags) > 0 {
			fields++
		}
		b = version.AppendMap(b, fields)
		b = resp.AppendBulk(resp.AppendBulk(b, "name"), a.name)
		b = resp.AppendBulk(resp.AppendBulk(b, "type"), a.kind)
		if a.token != "" {
			b = resp.AppendBulk(resp.AppendBulk(b, "token"), a.token)
		}
		if len(flags) > 0 {
			b = version.AppendSet(resp.AppendBulk(b, "flags"), len(flags))
			for _, f := range flags {
				b = resp.AppendSimple(b, f)
			}
		}
	}
	return b
}
