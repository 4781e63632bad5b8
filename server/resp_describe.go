package server

import (
	"maps"
	"slices"
	"strings"

	"gcd/resp"
)

// COMMAND: what clients are told of the commands, to complete and to explain them.

// named returns the commands that are the arguments from the given one on, nil for one that is not there; or all, by their names, if there are no
// such arguments.
func (x *exchange) named(from int) []*command {
	d := x.client.s.resp
	var all []*command
	if x.parser.Len() > from {
		for i := from; i < x.parser.Len(); i++ {
			all = append(all, d.command(x.arg(i)))
		}
		return all
	}
	for _, name := range slices.Sorted(maps.Keys(d.commands)) {
		all = append(all, d.commands[name])
	}
	return all
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
		x.document(slices.DeleteFunc(x.named(2), func(c *command) bool { return c == nil }))
	case is(sub, "list") && args == 2:
		all := x.named(2)
		b := resp.AppendArray(x.begin(), len(all))
		for _, c := range all {
			b = resp.AppendBulk(b, c.name)
		}
		x.end(b)
	case is(sub, "list"):
		x.fail(errSyntax)
	default:
		x.unknownSubcommand()
	}
}

// describe answers with what programs want to know of commands.
func (x *exchange) describe(all []*command) {
	version := x.client.version
	b := resp.AppendArray(x.begin(), len(all))
	for _, c := range all {
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
		b = version.AppendSet(b, 0)                                          // categories of access rights
		b = resp.AppendArray(resp.AppendArray(resp.AppendArray(b, 0), 0), 0) // tips, key specifications, subcommands
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

// document answers with what people want to know of commands.
func (x *exchange) document(all []*command) {
	version := x.client.version
	b := version.AppendMap(x.begin(), len(all))
	for _, c := range all {
		b = resp.AppendBulk(b, c.name)
		b = version.AppendMap(b, 3)
		b = resp.AppendBulk(resp.AppendBulk(b, "summary"), c.summary)
		b = resp.AppendBulk(resp.AppendBulk(b, "since"), "1.0.0")
		b = resp.AppendBulk(resp.AppendBulk(b, "group"), c.group)
	}
	x.end(b)
}
