package redis

import (
	"strings"

	"gcd/internal/access"
	"gcd/resp"
)

// Commands with subcommands. Each has HELP, which tells what the table below knows of the others.

// subcommands finishes those of a command: they get their whole names, their group, and HELP.
func subcommands(of, group string, subs ...*command) []*command {
	help := &command{name: "help", needs: noRight, arity: 2, flags: flagsTell, summary: "Prints this."}
	help.run = func(x *exchange) { x.help(of) }
	subs = append(subs, help)
	for _, c := range subs {
		c.name, c.group = of+"|"+c.name, group
	}
	return subs
}

// sub finds a subcommand, whose name the client may have written in any case; nil if there is none.
func (c *command) sub(name []byte) *command {
	for _, sub := range c.subs {
		if is(name, sub.name[len(c.name)+1:]) {
			return sub
		}
	}
	return nil
}

// listedSubs are the subcommands that clients are told of.
func (c *command) listedSubs() []*command {
	var all []*command
	for _, sub := range c.subs {
		if !sub.refused {
			all = append(all, sub)
		}
	}
	return all
}

func clientSubcommands() []*command {
	return subcommands("client", groupConnection,
		&command{name: "id", needs: noRight, arity: 2, flags: flagsConn,
			run:     func(x *exchange) { x.integer(int64(x.client.id)) },
			summary: "Returns the number of the connection."},
		&command{name: "info", needs: noRight, arity: 2, flags: flagsConn, run: (*exchange).clientInfo,
			summary: "Returns what is known of the connection."},
		&command{name: "list", needs: access.Admin, arity: -2, flags: flagsAdmin, run: (*exchange).clientList,
			args: []argument{{name: "type", kind: "string", token: "TYPE", optional: true}, {name: "id",
				kind: "integer", token: "ID", optional: true, multiple: true}},
			summary: "Returns what is known of connections: of all, of those of a type, or of some."},
		&command{name: "getname", needs: noRight, arity: 2, flags: flagsConn, run: (*exchange).clientGetName,
			summary: "Returns what the client calls itself."},
		&command{name: "setname", needs: noRight, arity: 3, flags: flagsConn, run: (*exchange).clientSetName,
			args:    []argument{{name: "name", kind: "string"}},
			summary: "Sets what the client calls itself."},
		&command{name: "setinfo", needs: noRight, arity: 4, flags: flagsConn, run: (*exchange).clientSetInfo,
			args:    []argument{{name: "attribute", kind: "string"}, {name: "value", kind: "string"}},
			summary: "Sets LIB-NAME or LIB-VER, what the client's library calls itself."},
		&command{name: "trackinginfo", needs: noRight, arity: 2, flags: flagsConn, run: (*exchange).trackingInfo,
			summary: "Returns that nothing is tracked."},
		&command{name: "getredir", needs: noRight, arity: 2, flags: flagsConn, run: func(x *exchange) { x.integer(-1) },
			// nobody is told of changes
			summary: "Returns -1: nothing is tracked."},
		&command{name: "no-evict", needs: noRight, arity: 3, flags: flagsAdmin,
			run: (*exchange).onOrOff, args: onOrOffArgs,
			summary: "Does nothing: no client is ever evicted."},
		&command{name: "no-touch", needs: noRight, arity: 3, flags: flagsConn,
			run: (*exchange).onOrOff, args: onOrOffArgs,
			summary: "Does nothing: no read is noted."},
	)
}

var onOrOffArgs = []argument{{name: "on-or-off", kind: "string"}}

// onOrOff is for what makes no difference.
func (x *exchange) onOrOff() {
	if !is(x.parser.Arg(2), "on") && !is(x.parser.Arg(2), "off") {
		x.fail(errSyntax)
		return
	}
	x.status("OK")
}

func commandSubcommands() []*command {
	some := []argument{{name: "command-name", kind: "string", optional: true, multiple: true}}
	whole := []argument{{name: "command", kind: "string"}, {name: "arg", kind: "string", optional: true,
		multiple: true}}
	return subcommands("command", groupServer,
		&command{name: "count", needs: noRight, arity: 2, flags: flagsTell,
			run:     func(x *exchange) { x.integer(int64(len(x.door.listed))) },
			summary: "Returns how many commands there are."},
		&command{name: "docs", needs: noRight, arity: -2, flags: flagsTell, args: some, run: (*exchange).commandDocs,
			summary: "Returns what people want to know of commands, of all if none is named."},
		&command{name: "getkeys", needs: noRight, arity: -3, flags: flagsTell, args: whole,
			run:     func(x *exchange) { x.commandKeys(false) },
			summary: "Returns which arguments of a command are topics."},
		&command{name: "getkeysandflags", needs: noRight, arity: -3, flags: flagsTell, args: whole,
			run:     func(x *exchange) { x.commandKeys(true) },
			summary: "Returns that, and what the command does to them."},
		&command{name: "info", needs: noRight, arity: -2, flags: flagsTell, args: some,
			run:     func(x *exchange) { x.describe(x.named(2)) },
			summary: "Returns what programs want to know of commands, of all if none is named."},
		&command{name: "list", needs: noRight, arity: -2, flags: flagsTell, run: (*exchange).commandList,
			args: []argument{{name: "filterby", kind: "string", token: "FILTERBY", optional: true},
				{name: "filter", kind: "string", optional: true}},
			summary: "Returns the names of commands; FILTERBY takes MODULE, ACLCAT or PATTERN."},
	)
}

func configSubcommands() []*command {
	all := subcommands("config", groupServer,
		&command{name: "get", needs: access.Admin, arity: -3, flags: flagsAdmin, run: (*exchange).configGet,
			args:    []argument{{name: "pattern", kind: "pattern", multiple: true}},
			summary: "Returns the settings whose names match."},
	)
	for _, name := range []string{"set", "rewrite", "resetstat"} {
		text := "ERR CONFIG " + strings.ToUpper(name) +
			" is not supported: settings are flags of the server, and CONFIG GET shows them"
		if name == "resetstat" {
			text = "ERR CONFIG RESETSTAT is not supported: figures begin with the server's start"
		}
		all = append(all, &command{name: "config|" + name, refused: true, run: func(x *exchange) { x.fail(text) }})
	}
	return all
}

func moduleSubcommands() []*command {
	return subcommands("module", groupServer,
		&command{name: "list", needs: noRight, arity: 2, flags: "admin noscript", run: (*exchange).nothing,
			summary: "Returns nothing: there are no modules."},
	)
}

// SLOWLOG and LATENCY: nothing of that is kept, so there is nothing, and nothing to be afraid of.

func slowlogSubcommands() []*command {
	const flags = "admin loading stale"
	return subcommands("slowlog", groupServer,
		&command{name: "get", needs: noRight, arity: -2, flags: flags, run: (*exchange).slowlogGet,
			args:    []argument{{name: "count", kind: "integer", optional: true}},
			summary: "Returns nothing: no slow commands are kept."},
		&command{name: "len", needs: noRight, arity: 2, flags: flags, run: func(x *exchange) { x.integer(0) },
			summary: "Returns 0, likewise."},
		&command{name: "reset", needs: noRight, arity: 2, flags: flags, run: func(x *exchange) { x.status("OK") },
			summary: "Does nothing, likewise."},
	)
}

func latencySubcommands() []*command {
	event := []argument{{name: "event", kind: "string"}}
	events := []argument{{name: "event", kind: "string", optional: true, multiple: true}}
	return subcommands("latency", groupServer,
		&command{name: "doctor", needs: noRight, arity: 2, flags: flagsAdmin, run: (*exchange).latencyDoctor,
			summary: "Says that no latencies are kept."},
		&command{name: "graph", needs: noRight, arity: 3, flags: flagsAdmin, args: event,
			run: func(x *exchange) {
				x.fail("ERR No samples available for event '" + shown(x.parser.Arg(2)) +
					"'")
			},
			summary: "Fails: there are no samples of any event."},
		&command{name: "histogram", needs: noRight, arity: -2, flags: flagsAdmin,
			run:     func(x *exchange) { x.end(x.client.version.AppendMap(x.begin(), 0)) },
			args:    []argument{{name: "command", kind: "string", optional: true, multiple: true}},
			summary: "Returns nothing: there are no histograms."},
		&command{name: "history", needs: noRight, arity: 3, flags: flagsAdmin, args: event, run: (*exchange).nothing,
			summary: "Returns nothing: there are no samples."},
		&command{name: "latest", needs: noRight, arity: 2, flags: flagsAdmin, run: (*exchange).nothing,
			summary: "Returns nothing: there are no samples."},
		&command{name: "reset", needs: noRight, arity: -2, flags: flagsAdmin, args: events,
			run:     func(x *exchange) { x.integer(0) },
			summary: "Returns 0: there was nothing to forget."},
	)
}

// nothing is the answer of commands that list what there is none of.
func (x *exchange) nothing() { x.end(resp.AppendArray(x.begin(), 0)) }

func (x *exchange) slowlogGet() {
	if x.parser.Len() > 3 {
		x.fail("ERR unknown subcommand or wrong number of arguments for '" + shown(x.parser.Arg(1)) +
			"'. Try SLOWLOG HELP.")
		return
	}
	if x.parser.Len() == 3 {
		if n, ok := parseInteger(x.parser.Arg(2)); !ok || n < -1 {
			x.fail("ERR count should be greater than or equal to -1")
			return
		}
	}
	x.nothing()
}

func (x *exchange) latencyDoctor() {
	x.end(x.client.version.AppendText(x.begin(),
		[]byte("No latencies are kept: INFO commandstats tells how long commands took on average.\n")))
}

// help tells what a command's subcommands are.
func (x *exchange) help(of string) {
	lines := []string{strings.ToUpper(of) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}
	for _, c := range x.door.commands[of].listedSubs() {
		lines = append(lines, c.usage(len(of)+1), "    "+c.summary)
	}
	b := resp.AppendArray(x.begin(), len(lines))
	for _, line := range lines {
		b = resp.AppendSimple(b, line)
	}
	x.end(b)
}

// usage is how a subcommand is written; its name begins at from.
func (c *command) usage(from int) string {
	words := []string{strings.ToUpper(c.name[from:])}
	for _, a := range c.args {
		word := "<" + a.name + ">"
		if a.token != "" {
			word = a.token + " " + word
		}
		if a.multiple {
			word += " ..."
		}
		if a.optional {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
