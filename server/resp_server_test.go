package server_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcd/server"
	"gcd/store"
)

// INFO has what clients look for, by sections, and our figures are true.
func TestRESPInfo(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		say(t, c, "INCRBY info 5\r\nINCR info2\r\nGCD.RESET info3\r\n", ":5\r\n:1\r\n+OK\r\n")
		ask := func(in string) string {
			send(t, c, []byte(in+"\r\nECHO end\r\n"))
			got := readUntil(t, c, "$3\r\nend\r\n")
			head, text, _ := strings.Cut(got, "\r\n")
			prefix := "$"
			if version == 3 {
				prefix = "="
			}
			if n, err := strconv.Atoi(strings.TrimPrefix(head, prefix)); err != nil || n != len(text)-2 {
				t.Errorf("%s: the answer's head is %q for %d bytes", in, head, len(text)-2)
			}
			return text
		}
		for _, in := range []string{"INFO", "INFO all", "INFO everything", "info DEFAULT"} {
			got := ask(in)
			for _, line := range []string{"# Server", "redis_version:7.2.0", "redis_mode:standalone",
				"arch_bits:" + strconv.Itoa(strconv.IntSize), "tcp_port:" + strings.TrimPrefix(s.addr("tcp"),
					"127.0.0.1:"),
				"# Clients", "connected_clients:1", "blocked_clients:0", "# Memory", "# Persistence", "loading:0",
				"aof_enabled:0", "# Stats", "total_connections_received:1",
				"# Replication", "role:master", "connected_slaves:0", "# Cluster", "cluster_enabled:0", "# Keyspace",
				"db0:keys=2,expires=0,avg_ttl=0",
				"# GCD", "topics:3", "live_topics:2", "counts:2", "resets:1", "sync:none", "in_flight:0",
				"refused:0", "unknown:0"} {
				if !strings.Contains(got, line+"\r\n") {
					t.Errorf("%s: no line %q in %q", in, line, got)
				}
			}
		}
		if got := ask("INFO keyspace"); !strings.HasSuffix(got,
			"# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n\r\n") || strings.Contains(got, "# Server") {
			t.Errorf("one section: %q", got)
		}
		if got := ask("INFO keyspace CLUSTER"); !strings.HasSuffix(got,
			"# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n\r\n") {
			t.Errorf("two sections: %q", got)
		}
		if got := ask("INFO nosuch"); !strings.HasSuffix(got, "\r\n") || strings.Contains(got, "#") {
			t.Errorf("no section: %q", got)
		}
		// Figures of what came before in the same pipeline are in it.
		send(t, c, []byte("DEL info info2\r\nINFO keyspace\r\nDBSIZE\r\nINCR info\r\nDBSIZE\r\nECHO end\r\n"))
		if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.HasPrefix(got, ":2\r\n") || strings.Contains(got, "db0") ||
			!strings.HasSuffix(got, ":0\r\n:1\r\n:1\r\n") {
			t.Errorf("after DEL: %q", got)
		}
	})
}

func TestRESPConfig(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		o.ReadTimeout = 10 * time.Second
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		pairs := func(n int) string {
			if version == 3 {
				return fmt.Sprintf("%%%d\r\n", n)
			}
			return fmt.Sprintf("*%d\r\n", 2*n)
		}
		say(t, c, "CONFIG GET save\r\n", pairs(1)+bulk("save")+bulk(""))
		say(t, c, "config get APPENDONLY\r\n", pairs(1)+bulk("APPENDONLY")+bulk("no"))
		say(t, c, "CONFIG GET maxm* timeout maxclients maxmemory\r\n",
			pairs(4)+bulk("maxclients")+bulk("10000")+bulk("maxmemory")+bulk("0")+
				bulk("maxmemory-policy")+bulk("noeviction")+bulk("timeout")+bulk("0"))
		say(t, c, "CONFIG GET appendonly appendfsync sync*\r\n",
			pairs(2)+bulk("appendonly")+bulk("no")+bulk("appendfsync")+bulk("no"))
		say(t, c, "CONFIG GET max-* tcp read-timeout allow-backup dispatch\r\n",
			pairs(10)+bulk("tcp")+bulk(s.addr("tcp"))+bulk("allow-backup")+bulk("no")+
				bulk("max-topics")+bulk("100000")+bulk("max-topic-length")+bulk("1000")+bulk("max-connections")+
				bulk("10000")+
				bulk("max-connections-per-address")+bulk("10000")+bulk("max-in-flight")+bulk("65536")+
				bulk("max-in-flight-bytes")+bulk("268435456")+
				bulk("read-timeout")+bulk("10s")+bulk("dispatch")+bulk(string(o.Dispatch)))
		say(t, c, "CONFIG GET nosuch\r\n", pairs(0))
		say(t, c, "CONFIG GET "+strings.Repeat("*", 300)+"\r\n", pairs(0))
		say(t, c, "CONFIG GET\r\n", "-ERR wrong number of arguments for 'config|get' command\r\n")
		say(t, c, "CONFIG SET save x\r\n",
			"-ERR CONFIG SET is not supported: settings are flags of the server, and CONFIG GET shows them\r\n")
		say(t, c, "CONFIG RESETSTAT\r\n",
			"-ERR CONFIG RESETSTAT is not supported: figures begin with the server's start\r\n")
		say(t, c, "CONFIG NOSUCH\r\n", "-ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.\r\n")
		// What agents ask before they ask for slow commands and latencies.
		say(t, c, "CONFIG GET slowlog-max-len latency-tracking\r\n",
			pairs(2)+bulk("slowlog-max-len")+bulk("0")+bulk("latency-tracking")+bulk("no"))
		say(t, c, "CONFIG GET slowlog-log* latency-mon*\r\n",
			pairs(2)+bulk("slowlog-log-slower-than")+bulk("-1")+bulk("latency-monitor-threshold")+bulk("0"))
	})
}

// What CONFIG GET and INFO tell of durability is no more than is so.
func TestRESPDurability(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		options   store.Options
		appendOp  string
		info      string
		intervals string
	}{
		{"always", store.Options{}, "always", "sync:always\r\n", "1s"},
		{"each second", store.Options{Sync: store.SyncInterval}, "everysec",
			"sync:interval\r\nsync_interval_ms:1000\r\n", "1s"},
		{"more often", store.Options{Sync: store.SyncInterval, SyncInterval: 20 * time.Millisecond}, "everysec",
			"sync:interval\r\nsync_interval_ms:20\r\n", "20ms"},
		{"less often", store.Options{Sync: store.SyncInterval, SyncInterval: time.Minute}, "no",
			"sync:interval\r\nsync_interval_ms:60000\r\n", "1m0s"},
		{"nothing taken", store.Options{SnapshotInterval: -1, SnapshotBytes: -1}, "always", "sync:always\r\n", "1s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.options.SegmentSize, row.options.Retain = 1<<20, store.Retain{Age: time.Hour, Bytes: 5}
			st, err := store.Open(t.TempDir(), row.options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			s := serve(t, st, server.Options{}, nil)
			c := dialRESP(t, s, 2)
			mode := map[bool]string{true: "interval", false: "always"}[row.options.Sync == store.SyncInterval]
			say(t, c, "CONFIG GET append* sync sync-interval segment-size retain\r\n",
				"*12\r\n"+bulk("appendonly")+bulk("yes")+bulk("appendfsync")+bulk(row.appendOp)+
					bulk("sync")+bulk(mode)+bulk("sync-interval")+bulk(row.intervals)+bulk("segment-size")+
					bulk("1048576")+bulk("retain")+bulk("1h0m0s,5"))
			snapshots := bulk("snapshot-interval") + bulk("5m0s") + bulk("snapshot-bytes") + bulk("134217728")
			if row.options.SnapshotBytes < 0 {
				snapshots = bulk("snapshot-interval") + bulk("0s") + bulk("snapshot-bytes") + bulk("0")
			}
			say(t, c, "CONFIG GET snapshot*\r\n", "*4\r\n"+snapshots)
			send(t, c, []byte("INFO persistence\r\nECHO end\r\n"))
			if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.Contains(got, "aof_enabled:1\r\n") ||
				!strings.Contains(got, "aof_last_write_status:ok\r\n"+row.info) {
				t.Errorf("INFO says %q", got)
			}
		})
	}
}

// COMMAND tells of every command what a client needs to know.
func TestRESPCommand(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		set, dict := "*", func(n int) string { return fmt.Sprintf("*%d\r\n", 2*n) }
		nothing := null2
		if version == 3 {
			set, dict, nothing = "~", func(n int) string { return fmt.Sprintf("%%%d\r\n", n) }, null3
		}
		argument := func(name, kind string) string {
			return bulk("name") + bulk(name) + bulk("type") + bulk(kind) + bulk("display_text") + bulk(name)
		}
		option := func(name, kind, token string) string {
			return dict(5) + argument(name,
				kind) + bulk("token") + bulk(token) + bulk("flags") + set + "1\r\n+optional\r\n"
		}
		statuses := func(words string) string {
			all := strings.Fields(words)
			b := fmt.Sprintf("%s%d\r\n", set, len(all))
			for _, word := range all {
				b += "+" + word + "\r\n"
			}
			return b
		}
		none := set + "0\r\n"
		place := func(access, last string) string {
			return set + "1\r\n" + dict(3) + bulk("flags") + statuses(access) +
				bulk("begin_search") + dict(2) + bulk("type") + bulk("index") + bulk("spec") + dict(1) + bulk("index") +
				":1\r\n" +
				bulk("find_keys") + dict(2) + bulk("type") + bulk("range") + bulk("spec") + dict(3) +
				bulk("lastkey") + ":" + last + "\r\n" + bulk("keystep") + ":1\r\n" + bulk("limit") + ":0\r\n"
		}
		incr := "*10\r\n" + bulk("incr") + ":2\r\n" + statuses("write denyoom fast") + ":1\r\n:1\r\n:1\r\n" + none +
			none + place("RW access update", "0") + none
		say(t, c, "COMMAND INFO INCR nosuch incr\r\n", "*3\r\n"+incr+nothing+incr)
		say(t, c, "COMMAND INFO del\r\n",
			"*1\r\n*10\r\n"+bulk("del")+":-2\r\n"+statuses("write")+":1\r\n:-1\r\n:1\r\n"+none+none+
				place("RM delete", "-1")+none)
		get := "*10\r\n" + bulk("config|get") + ":-3\r\n" + statuses("admin noscript loading stale") +
			":0\r\n:0\r\n:0\r\n" + none + none + none + none
		help := "*10\r\n" + bulk("config|help") + ":2\r\n" + statuses("loading stale") + ":0\r\n:0\r\n:0\r\n" + none +
			none + none + none
		say(t, c, "COMMAND INFO config config|get config|set config|nosuch incr|x set|\r\n",
			"*6\r\n*10\r\n"+bulk("config")+":-2\r\n"+none+":0\r\n:0\r\n:0\r\n"+none+none+none+"*2\r\n"+get+help+
				get+strings.Repeat(nothing, 4))
		say(t, c, "COMMAND DOCS incr nosuch\r\n",
			dict(1)+bulk("incr")+dict(3)+bulk("summary")+bulk("Counts once and returns the topic's new sum.")+
				bulk("group")+bulk("string")+bulk("arguments")+"*1\r\n"+dict(4)+argument("topic",
				"key")+bulk("key_spec_index")+":0\r\n")
		say(t, c, "COMMAND DOCS keys wait dbsize scan\r\n", dict(4)+
			bulk("keys")+dict(3)+bulk("summary")+bulk("Returns the topics that match a pattern, if they are not too "+
			"many.")+bulk("group")+bulk("generic")+
			bulk("arguments")+"*1\r\n"+dict(3)+argument("pattern", "pattern")+
			bulk("wait")+dict(3)+bulk("summary")+bulk("Returns 0: there are no replicas, and what was answered is "+
			"durable already.")+bulk("group")+bulk("generic")+
			bulk("arguments")+"*2\r\n"+dict(3)+argument("replicas", "integer")+dict(3)+argument("timeout", "integer")+
			bulk("dbsize")+dict(2)+bulk("summary")+bulk("Returns how many topics have a sum above 0.")+bulk("group")+
			bulk("server")+
			bulk("scan")+dict(3)+bulk("summary")+bulk("Goes through the topics that have a sum above 0.")+bulk("group")+
			bulk("generic")+
			bulk("arguments")+"*4\r\n"+dict(3)+argument("cursor", "integer")+option("pattern", "pattern", "MATCH")+
			option("count", "integer", "COUNT")+option("type", "string", "TYPE"))
		say(t, c, "COMMAND DOCS module\r\n",
			dict(1)+bulk("module")+dict(3)+bulk("summary")+bulk("Returns that there are no modules.")+bulk("group")+
				bulk("server")+
				bulk("subcommands")+dict(2)+bulk("module|list")+dict(2)+bulk("summary")+
				bulk("Returns nothing: there are no modules.")+bulk("group")+bulk("server")+
				bulk("module|help")+dict(2)+bulk("summary")+bulk("Prints this.")+bulk("group")+bulk("server"))
		for in, want := range map[string]string{
			"COMMAND NOSUCH":                "-ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.\r\n",
			"COMMAND COUNT x":               "-ERR wrong number of arguments for 'command|count' command\r\n",
			"COMMAND GETKEYS":               "-ERR wrong number of arguments for 'command|getkeys' command\r\n",
			"COMMAND GETKEYS INCR a":        "*1\r\n" + bulk("a"),
			"COMMAND getkeys mget a b":      "*2\r\n" + bulk("a") + bulk("b"),
			"COMMAND GETKEYS SET a b":       "*1\r\n" + bulk("a"),
			"COMMAND GETKEYS INCR":          "-ERR Invalid number of arguments specified for command\r\n",
			"COMMAND GETKEYS INCR a b":      "-ERR Invalid number of arguments specified for command\r\n",
			"COMMAND GETKEYS PING":          "-ERR The command has no key arguments\r\n",
			"COMMAND GETKEYS CLIENT ID":     "-ERR The command has no key arguments\r\n",
			"COMMAND GETKEYS CLIENT NOSUCH": "-ERR Invalid command specified\r\n",
			"COMMAND GETKEYS NOSUCH a":      "-ERR Invalid command specified\r\n",
			"COMMAND GETKEYS DECR a":        "-ERR Invalid command specified\r\n",
			"COMMAND GETKEYSANDFLAGS del a b": "*2\r\n*2\r\n" + bulk("a") + statuses("RM delete") + "*2\r\n" +
				bulk("b") + statuses("RM delete"),
			"COMMAND INFO decr multi|x auth cluster": "*4\r\n" + strings.Repeat(nothing, 4),
			"COMMAND LIST FILTERBY PATTERN inc*":     "*2\r\n" + bulk("incr") + bulk("incrby"),
			"COMMAND LIST FILTERBY PATTERN config*": "*3\r\n" + bulk("config") + bulk("config|get") +
				bulk("config|help"),
			"COMMAND LIST FILTERBY PATTERN latency|l*":  "*1\r\n" + bulk("latency|latest"),
			"COMMAND DOCS debug latency|graph|x decrby": dict(0),
		} {
			say(t, c, in+"\r\n", want)
		}
		say(t, c, "command list filterby pattern GCD.*O*\r\n", "*2\r\n"+bulk("gcd.count")+bulk("gcd.info"))
		say(t, c, "COMMAND LIST FILTERBY MODULE x\r\nCOMMAND LIST FILTERBY ACLCAT read\r\n", "*0\r\n*0\r\n")
		say(t, c, "COMMAND LIST FILTERBY PATTERN "+strings.Repeat("*", 300)+"\r\n",
			"-ERR pattern is too long: it has at most 256 bytes\r\n")
		for _, in := range []string{"x", "FILTERBY", "FILTERBY PATTERN", "FILTERBY WHAT x", "FILTERBY PATTERN x y"} {
			say(t, c, "COMMAND LIST "+in+"\r\n", "-ERR syntax error\r\n")
		}

		ask := func(in string) string {
			send(t, c, []byte(in+"\r\nECHO end\r\n"))
			return readUntil(t, c, "$3\r\nend\r\n")
		}
		n, err := strconv.Atoi(strings.Trim(ask("COMMAND COUNT"), ":\r\n"))
		if err != nil || n < 40 {
			t.Fatalf("%d commands (%v)", n, err)
		}
		names := strings.Split(strings.TrimSuffix(ask("COMMAND LIST"), "\r\n"), "\r\n")
		all := len(names) / 2 // with subcommands
		if names[0] != fmt.Sprintf("*%d", all) || all < n+20 || !slices.Contains(names, "gcd.count") ||
			!slices.Contains(names, "client|id") {
			t.Errorf("COMMAND LIST says %q", names)
		}
		for _, refused := range []string{"decr", "auth", "cluster", "monitor", "config|set"} {
			if slices.Contains(names, refused) {
				t.Errorf("COMMAND LIST has %s", refused)
			}
		}
		for _, in := range []string{"COMMAND", "COMMAND INFO"} {
			if got := ask(in); !strings.HasPrefix(got, fmt.Sprintf("*%d\r\n", n)) ||
				strings.Count(got, "*10\r\n") != all {
				t.Errorf("%s says %q", in, got)
			}
		}
		if got := ask("COMMAND DOCS"); !strings.HasPrefix(got, dict(n)) || strings.Count(got, "summary\r\n") != all {
			t.Errorf("COMMAND DOCS says %q", got)
		}
	})
}

// There are no slow commands and no latencies kept: that is the answer, and no error.
func TestRESPWhatIsNotKept(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, version)
		none := "*0\r\n"
		doctor := bulk("No latencies are kept: INFO commandstats tells how long commands took on average.\n")
		if version == 3 {
			none = "%0\r\n"
			doctor = "=86\r\ntxt:No latencies are kept: INFO commandstats tells how long commands took on " +
				"average.\n\r\n"
		}
		for in, want := range map[string]string{
			"SLOWLOG GET":     "*0\r\n",
			"SLOWLOG GET 128": "*0\r\n",
			"slowlog get -1":  "*0\r\n",
			"SLOWLOG GET -2":  "-ERR count should be greater than or equal to -1\r\n",
			"SLOWLOG GET x":   "-ERR count should be greater than or equal to -1\r\n",
			"SLOWLOG get 1 2": "-ERR unknown subcommand or wrong number of arguments for 'get'. Try " +
				"SLOWLOG HELP.\r\n",
			"SLOWLOG LEN":                ":0\r\n",
			"SLOWLOG LEN x":              "-ERR wrong number of arguments for 'slowlog|len' command\r\n",
			"SLOWLOG RESET":              "+OK\r\n",
			"SLOWLOG":                    "-ERR wrong number of arguments for 'slowlog' command\r\n",
			"SLOWLOG WHAT":               "-ERR unknown subcommand 'WHAT'. Try SLOWLOG HELP.\r\n",
			"LATENCY LATEST":             "*0\r\n",
			"LATENCY HISTORY command":    "*0\r\n",
			"LATENCY HISTORY":            "-ERR wrong number of arguments for 'latency|history' command\r\n",
			"LATENCY HISTOGRAM":          none,
			"LATENCY HISTOGRAM incr set": none,
			"LATENCY RESET":              ":0\r\n",
			"LATENCY RESET command fork": ":0\r\n",
			"LATENCY GRAPH command":      "-ERR No samples available for event 'command'\r\n",
			"LATENCY DOCTOR":             doctor,
			"LATENCY WHAT":               "-ERR unknown subcommand 'WHAT'. Try LATENCY HELP.\r\n",
			"SLOWLOG HELP": "*9\r\n+SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands " +
				"are:\r\n+GET [<count>]\r\n+    Returns nothing: no slow commands are kept.\r\n+LEN\r\n+    " +
				"Returns 0, likewise.\r\n+RESET\r\n+    Does nothing, likewise.\r\n+HELP\r\n+    Prints this.\r\n",
			"SLOWLOG HELP x": "-ERR wrong number of arguments for 'slowlog|help' command\r\n",
			"MODULE HELP": "*5\r\n+MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands " +
				"are:\r\n+LIST\r\n+    Returns nothing: there are no modules.\r\n+HELP\r\n+    Prints this.\r\n",
			"SLOWLOG LEN\r\nSLOWLOG RESET": ":0\r\n+OK\r\n",
		} {
			say(t, c, in+"\r\n", want)
		}
		for _, in := range []string{"CLIENT", "COMMAND", "CONFIG", "LATENCY"} {
			send(t, c, []byte(in+" HELP\r\nECHO end\r\n"))
			if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.Contains(got, "\r\n+"+in+" <subcommand> ") ||
				!strings.HasSuffix(got, "\r\n+HELP\r\n+    Prints this.\r\n") {
				t.Errorf("%s HELP says %q", in, got)
			}
		}
	})
}
