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
			for _, line := range []string{"# Server", "redis_version:7.2.0", "redis_mode:standalone", "tcp_port:" + strings.TrimPrefix(s.addr("tcp"), "127.0.0.1:"),
				"# Clients", "connected_clients:1", "blocked_clients:0", "# Memory", "# Persistence", "loading:0", "aof_enabled:0", "# Stats", "total_connections_received:1",
				"# Replication", "role:master", "connected_slaves:0", "# Cluster", "cluster_enabled:0", "# Keyspace", "db0:keys=2,expires=0,avg_ttl=0",
				"# GCD", "topics:3", "live_topics:2", "counts:2", "resets:1", "sync:none", "in_flight:0", "refused:0", "unknown:0"} {
				if !strings.Contains(got, line+"\r\n") {
					t.Errorf("%s: no line %q in %q", in, line, got)
				}
			}
		}
		if got := ask("INFO keyspace"); !strings.HasSuffix(got, "# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n\r\n") || strings.Contains(got, "# Server") {
			t.Errorf("one section: %q", got)
		}
		if got := ask("INFO keyspace CLUSTER"); !strings.HasSuffix(got, "# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n\r\n") {
			t.Errorf("two sections: %q", got)
		}
		if got := ask("INFO nosuch"); !strings.HasSuffix(got, "\r\n") || strings.Contains(got, "#") {
			t.Errorf("no section: %q", got)
		}
		// Figures of what came before in the same pipeline are in it.
		send(t, c, []byte("DEL info info2\r\nINFO keyspace\r\nDBSIZE\r\nINCR info\r\nDBSIZE\r\nECHO end\r\n"))
		if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.HasPrefix(got, ":2\r\n") || strings.Contains(got, "db0") || !strings.HasSuffix(got, ":0\r\n:1\r\n:1\r\n") {
			t.Errorf("behind DEL: %q", got)
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
		say(t, c, "config get APPENDONLY\r\n", pairs(1)+bulk("appendonly")+bulk("no"))
		say(t, c, "CONFIG GET maxm* timeout maxclients maxmemory\r\n", pairs(4)+bulk("maxclients")+bulk("10000")+bulk("maxmemory")+bulk("0")+
			bulk("maxmemory-policy")+bulk("noeviction")+bulk("timeout")+bulk("0"))
		say(t, c, "CONFIG GET appendonly appendfsync sync*\r\n", pairs(2)+bulk("appendonly")+bulk("no")+bulk("appendfsync")+bulk("no"))
		say(t, c, "CONFIG GET max-* tcp read-timeout allow-backup dispatch\r\n", pairs(10)+bulk("tcp")+bulk(s.addr("tcp"))+bulk("allow-backup")+bulk("no")+
			bulk("max-topics")+bulk("100000")+bulk("max-topic-length")+bulk("1000")+bulk("max-connections")+bulk("10000")+
			bulk("max-connections-per-address")+bulk("10000")+bulk("max-in-flight")+bulk("65536")+bulk("max-in-flight-bytes")+bulk("268435456")+
			bulk("read-timeout")+bulk("10s")+bulk("dispatch")+bulk(string(o.Dispatch)))
		say(t, c, "CONFIG GET nosuch\r\n", pairs(0))
		say(t, c, "CONFIG GET "+strings.Repeat("*", 300)+"\r\n", pairs(0))
		say(t, c, "CONFIG GET\r\n", "-ERR wrong number of arguments for 'config|get' command\r\n")
		say(t, c, "CONFIG SET save x\r\n", "-ERR CONFIG SET is not supported: settings are flags of the server, and CONFIG GET shows them\r\n")
	})
}

// What CONFIG GET and INFO tell of durability is no more than is so.
func TestRESPDurability(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		options   store.Options
		appendOp  string
		info      string
		intervals string
	}{
		"always":        {store.Options{}, "always", "sync:always\r\n", "1s"},
		"each second":   {store.Options{Sync: store.SyncInterval}, "everysec", "sync:interval\r\nsync_interval_ms:1000\r\n", "1s"},
		"more often":    {store.Options{Sync: store.SyncInterval, SyncInterval: 20 * time.Millisecond}, "everysec", "sync:interval\r\nsync_interval_ms:20\r\n", "20ms"},
		"less often":    {store.Options{Sync: store.SyncInterval, SyncInterval: time.Minute}, "no", "sync:interval\r\nsync_interval_ms:60000\r\n", "1m0s"},
		"nothing taken": {store.Options{SnapshotInterval: -1, SnapshotBytes: -1}, "always", "sync:always\r\n", "1s"},
	} {
		t.Run(name, func(t *testing.T) {
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
			say(t, c, "CONFIG GET append* sync sync-interval segment-size retain\r\n", "*12\r\n"+bulk("appendonly")+bulk("yes")+bulk("appendfsync")+bulk(row.appendOp)+
				bulk("sync")+bulk(mode)+bulk("sync-interval")+bulk(row.intervals)+bulk("segment-size")+bulk("1048576")+bulk("retain")+bulk("1h0m0s,5"))
			snapshots := bulk("snapshot-interval") + bulk("5m0s") + bulk("snapshot-bytes") + bulk("134217728")
			if row.options.SnapshotBytes < 0 {
				snapshots = bulk("snapshot-interval") + bulk("0s") + bulk("snapshot-bytes") + bulk("0")
			}
			say(t, c, "CONFIG GET snapshot*\r\n", "*4\r\n"+snapshots)
			send(t, c, []byte("INFO persistence\r\nECHO end\r\n"))
			if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.Contains(got, "aof_enabled:1\r\n") || !strings.Contains(got, "aof_last_write_status:ok\r\n"+row.info) {
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
		nothing := "*-1\r\n"
		if version == 3 {
			set, dict, nothing = "~", func(n int) string { return fmt.Sprintf("%%%d\r\n", n) }, "_\r\n"
		}
		option := func(name, kind, token string) string {
			return dict(4) + bulk("name") + bulk(name) + bulk("type") + bulk(kind) + bulk("token") + bulk(token) + bulk("flags") + set + "1\r\n+optional\r\n"
		}
		incr := "*10\r\n$4\r\nincr\r\n:2\r\n" + set + "3\r\n+write\r\n+denyoom\r\n+fast\r\n:1\r\n:1\r\n:1\r\n" + strings.Repeat(set+"0\r\n", 4)
		say(t, c, "COMMAND INFO INCR nosuch incr\r\n", "*3\r\n"+incr+nothing+incr)
		say(t, c, "COMMAND DOCS incr nosuch\r\n", dict(1)+bulk("incr")+dict(3)+bulk("summary")+bulk("Counts once and returns the topic's new sum.")+
			bulk("group")+bulk("string")+bulk("arguments")+"*1\r\n"+dict(2)+bulk("name")+bulk("topic")+bulk("type")+bulk("key"))
		say(t, c, "COMMAND DOCS keys wait dbsize scan\r\n", dict(4)+
			bulk("keys")+dict(3)+bulk("summary")+bulk("Returns the topics that match a pattern, if they are not too many.")+bulk("group")+bulk("generic")+
			bulk("arguments")+"*1\r\n"+dict(2)+bulk("name")+bulk("pattern")+bulk("type")+bulk("pattern")+
			bulk("wait")+dict(3)+bulk("summary")+bulk("Returns 0: there are no replicas, and what was answered is durable already.")+bulk("group")+bulk("generic")+
			bulk("arguments")+"*2\r\n"+dict(2)+bulk("name")+bulk("replicas")+bulk("type")+bulk("integer")+dict(2)+bulk("name")+bulk("timeout")+bulk("type")+bulk("integer")+
			bulk("dbsize")+dict(2)+bulk("summary")+bulk("Returns how many topics have a sum above 0.")+bulk("group")+bulk("server")+
			bulk("scan")+dict(3)+bulk("summary")+bulk("Goes through the topics that have a sum above 0.")+bulk("group")+bulk("generic")+
			bulk("arguments")+"*4\r\n"+dict(2)+bulk("name")+bulk("cursor")+bulk("type")+bulk("integer")+option("pattern", "pattern", "MATCH")+
			option("count", "integer", "COUNT")+option("type", "string", "TYPE"))
		say(t, c, "COMMAND NOSUCH\r\n", "-ERR unknown subcommand 'NOSUCH'\r\n")
		say(t, c, "COMMAND COUNT x\r\n", "-ERR wrong number of arguments for 'command|count' command\r\n")
		say(t, c, "COMMAND LIST FILTERBY PATTERN inc*\r\n", "*3\r\n"+bulk("incr")+bulk("incrby")+bulk("incrbyfloat"))
		say(t, c, "command list filterby pattern GCD.*O*\r\n", "*2\r\n"+bulk("gcd.count")+bulk("gcd.info"))
		say(t, c, "COMMAND LIST FILTERBY MODULE x\r\nCOMMAND LIST FILTERBY ACLCAT read\r\n", "*0\r\n*0\r\n")
		say(t, c, "COMMAND LIST FILTERBY PATTERN "+strings.Repeat("*", 300)+"\r\n", "-ERR pattern is too long: it has at most 256 bytes\r\n")
		for _, in := range []string{"x", "FILTERBY", "FILTERBY PATTERN", "FILTERBY WHAT x", "FILTERBY PATTERN x y"} {
			say(t, c, "COMMAND LIST "+in+"\r\n", "-ERR syntax error\r\n")
		}

		ask := func(in string) string {
			send(t, c, []byte(in+"\r\nECHO end\r\n"))
			return readUntil(t, c, "$3\r\nend\r\n")
		}
		n, err := strconv.Atoi(strings.Trim(ask("COMMAND COUNT"), ":\r\n"))
		if err != nil || n < 50 {
			t.Fatalf("%d commands (%v)", n, err)
		}
		names := strings.Split(ask("COMMAND LIST"), "\r\n")
		if names[0] != fmt.Sprintf("*%d", n) || !slices.Contains(names, "gcd.count") {
			t.Errorf("COMMAND LIST says %q", names)
		}
		for _, in := range []string{"COMMAND", "COMMAND INFO"} {
			if got := ask(in); !strings.HasPrefix(got, fmt.Sprintf("*%d\r\n", n)) || strings.Count(got, "*10\r\n") != n {
				t.Errorf("%s says %q", in, got)
			}
		}
		if got := ask("COMMAND DOCS"); !strings.HasPrefix(got, dict(n)) || strings.Count(got, "summary\r\n") != n {
			t.Errorf("COMMAND DOCS says %q", got)
		}
	})
}
