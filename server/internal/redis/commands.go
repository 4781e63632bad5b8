package redis

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/server/internal/gate"
)

// command is one command of RESP, or a subcommand of one.
type command struct {
	name    string // lower case; of a subcommand with that of its command in front, as client|id
	summary string
	group   string // of Redis' documentation, which clients show
	arity   int    // arguments, the name included; at least as many if negative; unchecked if 0
	flags   string // for COMMAND
	keys    keys
	args    []argument // for COMMAND DOCS
	run     func(*exchange)
	subs    []*command // then run is for the name alone
	use     commandUse
	number  uint8 // in Door.numbered

	// needs is the right that the client has to have: over its topics if it has some (keys), else
	// at all, or over everything if it is whole. Each command that is not refused says it.
	needs access.Right
	whole bool

	refused     bool // it is there only to say why it is not, and nobody is told that there is one
	barrier     bool // what was asked for before it has to be done first
	asOperation bool // in a transaction it is an operation, though it has no topic
	inMulti     inMulti
}

// noRight is what a command needs that is for everybody who is connected. The zero right is none
// that there is: a command has to say what it needs.
const noRight access.Right = 1 << 7

// runsDespite tells whether the command is run although others are refused with a code.
func (c *command) runsDespite(code codec.Code) bool {
	return code == codec.CodeLoading && c.has("loading") // it needs no counters
}

func (c *command) has(flag string) bool { return slices.Contains(strings.Fields(c.flags), flag) }

// keys is which arguments are topics: the first, or all from it on, and what is done to them, in
// Redis' words.
type keys struct {
	first, last, step int // last is −1 for all that follow; 0 all of them: none
	access            string
}

func oneKey(access string) keys   { return keys{1, 1, 1, access} }
func manyKeys(access string) keys { return keys{1, -1, 1, access} }

// What commands do to a topic, as COMMAND tells it.
const (
	accessCount  = "RW access update"
	accessSet    = "OW update"
	accessGetDel = "RW access delete"
	accessDelete = "RM delete"
	accessValue  = "RO access"
	accessLook   = "RO" // at whether it is there
)

// The groups and flags of commands.
const (
	groupString     = "string"
	groupGeneric    = "generic"
	groupConnection = "connection"
	groupServer     = "server"
	groupOther      = "transactions"

	flagsCount   = "write denyoom fast"
	flagsSet     = "write denyoom"
	flagsDelete  = "write"
	flagsReset   = "write fast"
	flagsRead    = "readonly fast"
	flagsScan    = "readonly"
	flagsTell    = "loading stale"
	flagsTalk    = "loading stale fast"
	flagsConn    = "noscript loading stale"
	flagsAdmin   = "admin noscript loading stale"
	flagsRole    = "noscript loading stale fast"
	flagsSession = "noscript loading stale fast no_auth allow_busy"
	flagsMulti   = "noscript loading stale fast allow_busy"
	flagsPing    = "fast"
)

// allCommands lists the commands, those included that are there only to say why they are not.
func allCommands() []*command {
	return append([]*command{
		{name: "incr", needs: access.Count, arity: 2, keys: oneKey(accessCount), flags: flagsCount, group: groupString,
			run:     (*exchange).incr,
			args:    []argument{topicArg},
			summary: "Counts once and returns the topic's new sum."},
		{name: "incrby", needs: access.Count, arity: 3, keys: oneKey(accessCount), flags: flagsCount,
			group:   groupString,
			run:     (*exchange).incrBy,
			args:    []argument{topicArg, {name: "n", kind: "integer"}},
			summary: "Takes a range of n values, n above 0, and returns its last."},
		{name: "gcd.count", needs: access.Count, arity: -2, keys: oneKey(accessCount), flags: flagsCount,
			group: groupString,
			run:   (*exchange).gcdCount,
			args:  []argument{topicArg, {name: "n", kind: "integer", optional: true}},
			summary: "Counts n times, once if n is not given, and returns the last value as decimal digits, up to " +
				"2^64-1."},
		{name: "gcd.reset", needs: access.Reset, arity: 2, keys: oneKey(accessDelete), flags: flagsReset,
			group:   groupString,
			run:     (*exchange).gcdReset,
			args:    []argument{topicArg},
			summary: "Ends the topic's epoch: its sum is 0. The epoch always grows by one, also if the sum was 0."},
		{name: "gcd.info", needs: access.Read, arity: 2, keys: oneKey(accessValue), flags: flagsRead,
			group:   groupString,
			run:     func(x *exchange) { x.readTopics(formInfo) },
			args:    []argument{topicArg},
			summary: "Returns the topic's sum and epoch."},
		{name: "get", needs: access.Read, arity: 2, keys: oneKey(accessValue), flags: flagsRead, group: groupString,
			run:     func(x *exchange) { x.readTopics(formValue) },
			args:    []argument{topicArg},
			summary: "Returns the topic's sum as decimal digits, or nothing if it is 0."},
		{name: "mget", needs: access.Read, arity: -2, keys: manyKeys(accessValue), flags: flagsRead, group: groupString,
			run:     func(x *exchange) { x.readTopics(formValues) },
			args:    []argument{topicsArg},
			summary: "Returns the sums of topics."},
		{name: "strlen", needs: access.Read, arity: 2, keys: oneKey(accessLook), flags: flagsRead, group: groupString,
			run:     func(x *exchange) { x.readTopics(formLength) },
			args:    []argument{topicArg},
			summary: "Returns how many digits the topic's sum has, 0 if it is 0."},
		{name: "set", needs: access.Reset, arity: -3, keys: oneKey(accessSet), flags: flagsSet, group: groupString,
			run:     (*exchange).set,
			args:    []argument{topicArg, zeroArg},
			summary: "With the value 0, resets the topic. No other value can be set."},
		{name: "getset", needs: access.Reset, arity: 3, keys: oneKey(accessCount), flags: flagsCount,
			group:   groupString,
			run:     (*exchange).getSet,
			args:    []argument{topicArg, zeroArg},
			summary: "With the value 0, resets the topic and returns the sum it had. No other value can be set."},
		{name: "getdel", needs: access.Reset, arity: 2, keys: oneKey(accessGetDel), flags: flagsReset,
			group:   groupString,
			run:     (*exchange).getDel,
			args:    []argument{topicArg},
			summary: "Resets the topic and returns the sum it had."},

		{name: "del", needs: access.Reset, arity: -2, keys: manyKeys(accessDelete), flags: flagsDelete,
			group:   groupGeneric,
			run:     (*exchange).del,
			args:    []argument{topicsArg},
			summary: "Resets topics and returns how many had a sum."},
		{name: "unlink", needs: access.Reset, arity: -2, keys: manyKeys(accessDelete), flags: flagsReset,
			group:   groupGeneric,
			run:     (*exchange).del,
			args:    []argument{topicsArg},
			summary: "The same as DEL."},
		{name: "exists", needs: access.Read, arity: -2, keys: manyKeys(accessLook), flags: flagsRead,
			group:   groupGeneric,
			run:     func(x *exchange) { x.readTopics(formLive) },
			args:    []argument{topicsArg},
			summary: "Returns how many of the topics have a sum above 0."},
		{name: "touch", needs: access.Read, arity: -2, keys: manyKeys(accessLook), flags: flagsRead,
			group:   groupGeneric,
			run:     func(x *exchange) { x.readTopics(formLive) },
			args:    []argument{topicsArg},
			summary: "The same as EXISTS."},
		{name: "type", needs: access.Read, arity: 2, keys: oneKey(accessLook), flags: flagsRead, group: groupGeneric,
			run:     func(x *exchange) { x.readTopics(formType) },
			args:    []argument{topicArg},
			summary: "Returns string for a topic whose sum is above 0, else none."},
		{name: "ttl", needs: access.Read, arity: 2, keys: oneKey(accessValue), flags: flagsRead, group: groupGeneric,
			run:     func(x *exchange) { x.readTopics(formExpiry) },
			args:    []argument{topicArg},
			summary: "Returns -1, since topics do not expire, or -2 if the sum is 0."},
		{name: "pttl", needs: access.Read, arity: 2, keys: oneKey(accessValue), flags: flagsRead, group: groupGeneric,
			run:     func(x *exchange) { x.readTopics(formExpiry) },
			args:    []argument{topicArg},
			summary: "The same as TTL."},
		{name: "scan", needs: access.Read, arity: -2, flags: flagsScan,
			group: groupGeneric, barrier: true, inMulti: barred,
			run: (*exchange).scan,
			args: []argument{{name: "cursor", kind: "integer"},
				{name: "pattern", kind: "pattern", token: "MATCH", optional: true},
				{name: "count", kind: "integer", token: "COUNT", optional: true},
				{name: "type", kind: "string", token: "TYPE", optional: true}},
			summary: "Goes through the topics that have a sum above 0."},
		{name: "keys", needs: access.Read, arity: 2, flags: flagsScan,
			group: groupGeneric, barrier: true, inMulti: barred,
			run:     (*exchange).keys,
			args:    []argument{{name: "pattern", kind: "pattern"}},
			summary: "Returns the topics that match a pattern, if they are not too many."},

		{name: "gcd.backup", needs: access.Backup, arity: -1, flags: flagsScan,
			group: groupServer, barrier: true, inMulti: barred,
			run:     (*exchange).backupCommand,
			args:    []argument{{name: "format", kind: "string", token: "FORMAT", optional: true}},
			summary: "Sends all counters, as a streamed string with their dump in NDJSON or CSV."},
		{name: "dbsize", needs: access.Read, whole: true, arity: 1, flags: flagsRead,
			group: groupServer, barrier: true, asOperation: true,
			run:     (*exchange).dbSize,
			summary: "Returns how many topics have a sum above 0."},
		{name: "info", needs: access.Admin, arity: -1, flags: flagsTell, group: groupServer, barrier: true,
			run:     (*exchange).info,
			args:    []argument{{name: "section", kind: "string", optional: true, multiple: true}},
			summary: "Returns figures of the server."},
		{name: "command", needs: noRight, arity: -1, flags: flagsTell, group: groupServer, subs: commandSubcommands(),
			run:     func(x *exchange) { x.describe(x.named(1)) },
			summary: "Returns what is known of commands."},
		{name: "config", needs: noRight, arity: -2, group: groupServer, subs: configSubcommands(),
			summary: "Returns settings; they are changed by flags of the server only."},
		{name: "slowlog", needs: noRight, arity: -2, group: groupServer, subs: slowlogSubcommands(),
			summary: "Returns that no slow commands are kept."},
		{name: "latency", needs: noRight, arity: -2, group: groupServer, subs: latencySubcommands(),
			summary: "Returns that no latencies are kept."},
		{name: "role", needs: noRight, arity: 1, flags: flagsRole, group: groupServer, run: (*exchange).role,
			summary: "Returns master."},
		{name: "time", needs: noRight, arity: 1, flags: flagsTalk, group: groupServer, run: (*exchange).time,
			summary: "Returns the server's time in seconds and microseconds."},
		{name: "module", needs: noRight, arity: -2, group: groupServer, subs: moduleSubcommands(),
			summary: "Returns that there are no modules."},
		{name: "wait", needs: noRight, arity: 3, group: groupGeneric, run: (*exchange).wait,
			args:    []argument{{name: "replicas", kind: "integer"}, {name: "timeout", kind: "integer"}},
			summary: "Returns 0: there are no replicas, and what was answered is durable already."},

		{name: "ping", needs: noRight, arity: -1, flags: flagsPing, group: groupConnection, run: (*exchange).ping,
			args:    []argument{{name: "message", kind: "string", optional: true}},
			summary: "Returns PONG or the message, or why nothing can be counted just now."},
		{name: "echo", needs: noRight, arity: 2, flags: flagsTalk, group: groupConnection,
			run:     func(x *exchange) { x.bulk(x.parser.Arg(1)) },
			args:    []argument{{name: "message", kind: "string"}},
			summary: "Returns the message."},
		{name: "hello", needs: noRight, arity: -1, flags: flagsSession,
			group: groupConnection, barrier: true, inMulti: barred,
			run: (*exchange).hello,
			args: []argument{{name: "version", kind: "integer", optional: true},
				{name: "name", kind: "string", token: "SETNAME", optional: true}},
			summary: "Agrees on the protocol's version and returns what the server is."},
		{name: "client", needs: noRight, arity: -2, group: groupConnection, subs: clientSubcommands(),
			summary: "Sets and returns what is known of connections."},
		{name: "select", needs: noRight, arity: 2, flags: flagsTalk, group: groupConnection, run: (*exchange).selectDB,
			args:    []argument{{name: "index", kind: "integer"}},
			summary: "With 0, does nothing: there is one database."},
		{name: "auth", needs: noRight, arity: -2, flags: flagsSession, group: groupConnection,
			barrier: true, inMulti: barred,
			run:  (*exchange).auth,
			args: []argument{{name: "username", kind: "string", optional: true}, {name: "password", kind: "string"}},
			// Where nobody is asked who he is it is refused (NewDoor).
			summary: "Says by a token who the client is; what may be given before it is the name that the token has."},
		{name: "reset", needs: noRight, arity: 1, flags: flagsSession,
			group: groupConnection, barrier: true, inMulti: atOnce,
			run:     (*exchange).resetConnection,
			summary: "Puts the connection, not a topic, back to how it began."},
		{name: "quit", needs: noRight, arity: -1, flags: flagsSession, group: groupConnection, inMulti: atOnce,
			run:     (*exchange).quit,
			summary: "Closes the connection."},

		{name: "multi", needs: noRight, arity: 1, flags: flagsMulti, group: groupOther, inMulti: atOnce,
			run:     (*exchange).multi,
			summary: "Begins a transaction: the commands that follow are kept for EXEC."},
		{name: "exec", needs: noRight, arity: 1, flags: "noscript loading stale skip_slowlog",
			group: groupOther, barrier: true,
			inMulti: atOnce, run: (*exchange).exec,
			summary: "Runs the commands since MULTI at one moment, in one record, and returns their replies."},
		{name: "discard", needs: noRight, arity: 1, flags: flagsMulti, group: groupOther, inMulti: atOnce,
			run:     (*exchange).discard,
			summary: "Ends the transaction, of which nothing was run."},
		{name: "unwatch", needs: noRight, arity: 1, flags: flagsMulti, group: groupOther,
			run:     func(x *exchange) { x.status("OK") },
			summary: "Does nothing: no topic can be watched."},
	}, refusedCommands()...)
}

// refusedCommands are those that clients may take for granted and that are not there. Each says
// why.
func refusedCommands() []*command {
	var all []*command
	for _, r := range []struct{ why, names string }{
		{"the values of a topic are handed out one after the other and never again, so a sum only grows, by INCR " +
			"and INCRBY, until DEL begins anew",
			"decr decrby incrbyfloat append setrange setbit bitfield mset msetnx setnx setex psetex getex"},
		{"topics do not expire: DEL ends what was counted when you say so",
			"expire pexpire expireat pexpireat expiretime pexpiretime persist"},
		{"a topic keeps its name and its history; DEL resets the ones that you name",
			"flushall flushdb swapdb move rename renamenx copy restore migrate dump"},
		{"nothing that a transaction does can depend on what was read before it; what it reads and counts is done " +
			"at one moment", "watch"},
		{"there are no channels",
			"subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe publish spublish pubsub"},
		{"there are no scripts", "eval evalsha eval_ro evalsha_ro script function fcall fcall_ro"},
		{"there is no replication", "replicaof slaveof psync sync replconf failover"},
		{"the server writes its log and its snapshots by itself", "save bgsave bgrewriteaof lastsave"},
		{"the server is stopped by a signal, not by whoever reaches its port", "shutdown"},
		{"there is nothing to look at", "monitor debug memory object acl waitaof"},
	} {
		for _, name := range strings.Fields(r.names) {
			text := "ERR " + strings.ToUpper(name) + " is not supported: " + r.why
			all = append(all, &command{name: name, refused: true, run: func(x *exchange) { x.fail(text) }})
		}
	}
	for _, name := range []string{"cluster", "readonly", "readwrite", "asking"} {
		all = append(all, &command{name: name, refused: true,
			run: func(x *exchange) { x.fail("ERR This instance has cluster support disabled") }})
	}
	return all
}

// The errors of what is wrong with a command, in Redis' words.
const (
	errNotAnInteger = "ERR value is not an integer or out of range"
	errSyntax       = "ERR syntax error"
)

// arityError is what a command is told that has too few arguments or too many.
func (x *exchange) arityError(name string) string {
	if name == "exec" { // which ends the transaction, as in Redis, and says so outside one, too
		x.client.forgetTransaction()
		return "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
	}
	return "ERR wrong number of arguments for '" + name + "' command"
}

// maxShown is how much of a client's own words an error returns.
const maxShown = 128

// unknownCommand refuses a command that there is not, or a subcommand.
func (x *exchange) unknownCommand() {
	name := x.parser.Arg(0)
	if is(name, "post") || is(name, "host:") {
		// A browser was made to send this. What follows may look like commands and must not be run.
		x.door.gate.Happened(gate.Probe, x.client.peer, "it speaks HTTP")
		x.closing = true
		return
	}
	if c := x.door.command(name); c != nil {
		x.fail("ERR unknown subcommand '" + shown(x.parser.Arg(1)) + "'. Try " + strings.ToUpper(c.name) + " HELP.")
		return
	}
	text := []byte("ERR unknown command '" + shown(name) + "', with args beginning with: ")
	for i, room := 1, maxShown; i < x.parser.Len() && room > 0; i++ {
		arg := shown(x.parser.Arg(i))
		arg = arg[:min(len(arg), room)]
		room -= len(arg) + 3
		text = append(append(append(text, '\''), arg...), "' "...)
	}
	x.fail(string(text))
}

// shown is the beginning of a client's own words, for an error. It ends at a zero byte, as it does
// in Redis.
func shown(arg []byte) string {
	arg, _, _ = bytes.Cut(arg[:min(len(arg), maxShown)], []byte{0})
	return string(arg)
}

// is tells whether a word of a client's is the given one in any case; word is in lower case.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// parseInteger reads an integer as Redis does: no blanks, no plus, no superfluous zeros.
func parseInteger(b []byte) (int64, bool) {
	if !plainNumber(b) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// parseUnsigned does it up to 2^64−1.
func parseUnsigned(b []byte) (uint64, bool) {
	if !plainNumber(b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

func plainNumber(b []byte) bool {
	if len(b) == 0 || len(b) > 20 || b[0] == '+' {
		return false
	}
	if b[0] == '-' {
		b = b[1:]
		if len(b) > 0 && b[0] == '0' {
			return false
		}
	}
	return len(b) > 0 && (b[0] != '0' || len(b) == 1)
}
