package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcd/server"
	"gcd/store"
	"gcd/store/core"
)

// infoOf asks for INFO, and returns its fields.
func infoOf(t testing.TB, c net.Conn, sections string) map[string]string {
	t.Helper()
	send(t, c, []byte(strings.TrimSpace("INFO "+sections)+"\r\nECHO end\r\n"))
	fields := make(map[string]string)
	for _, line := range strings.Split(readUntil(t, c, "$3\r\nend\r\n"), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			if _, twice := fields[name]; twice {
				t.Errorf("INFO has %s twice", name)
			}
			fields[name] = value
		}
	}
	return fields
}

func wantFields(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

func number(t testing.TB, fields map[string]string, name string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(fields[name], 64)
	if err != nil {
		t.Errorf("%s is %q", name, fields[name])
	}
	return n
}

// What INFO tells of commands, errors and bytes is what went on.
func TestRESPInfoOfWhatWentOn(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Version = "1.2.3"
		s, _ := serveMemory(t, o)
		c := dial(t, "tcp", s.addr("tcp"))
		say(t, c, long("INCR a\r\n", 100)+"GET a\r\nGET b\r\nincrby a 5\r\nDEL a\r\n",
			countsTo(100)+"$3\r\n100\r\n$-1\r\n:105\r\n:1\r\n")
		say(t, c, "CLIENT GETNAME\r\nNOSUCH\r\nGET\r\nDECR x\r\nCLIENT NOSUCH\r\nINCR \"\\xff\"\r\n",
			"$-1\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n-ERR wrong number of arguments "+
				"for 'get' command\r\n"+
				"-ERR DECR is not supported: the values of a topic are handed out one after the other and never "+
				"again, so a sum only grows, by INCR and INCRBY, until DEL begins anew\r\n"+
				"-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n-ERR topic is not UTF-8\r\n")
		say(t, c, "KEYS *\r\nSCAN 0 COUNT 1000\r\n", "*0\r\n*2\r\n$1\r\n0\r\n*0\r\n") // which have several turns
		say(t, c, "MULTI\r\nINCR b\r\nGET b\r\nPING\r\nEXEC\r\n",
			"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n$1\r\n1\r\n+PONG\r\n")
		say(t, c, "HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n")

		got := infoOf(t, c, "everything")
		wantFields(t, got, map[string]string{
			"gcd_version": "1.2.3", "errorstat_ERR": "count=5", "errorstat_NOPROTO": "count=1",
			"total_error_replies": "6", "refused_code_4": "1", "refused": "1",
			"refused_code_8": "0", "sync": "none", "rdb_last_bgsave_time_sec": "-1", "used_memory_lua": "0",
		})
		wantCommands(t, got, map[string][3]int{
			"incr": {102, 0, 1}, "get": {3, 1, 0}, "multi": {1}, "exec": {1}, "ping": {1}, "incrby": {1}, "del": {1},
			"client|getname": {1}, "decr": {0, 1, 0}, "keys": {1}, "scan": {1}, "hello": {1, 0, 1}, "echo": {5},
		})
		for name := range got {
			if strings.HasPrefix(name, "cmdstat_") && (strings.Contains(name, "nosuch")) {
				t.Errorf("INFO has %s", name)
			}
		}
		for _, absent := range []string{"store", "disk_free_bytes", "rdb_last_save_time", "last_backup_time"} {
			if value, ok := got[absent]; ok {
				t.Errorf("INFO has %s:%s", absent, value)
			}
		}
		if n := number(t, got, "total_commands_processed"); n != 123 {
			t.Errorf("%v commands", n)
		}
		number(t, got, "instantaneous_ops_per_sec")
		number(t, got, "instantaneous_input_kbps")

		if got := infoOf(t, c, ""); got["cmdstat_incr"] != "" || got["errorstat_ERR"] == "" || got["counting"] != "ok" {
			t.Errorf("INFO without arguments has %q", got)
		}
		if got := infoOf(t, c, "commandstats cpu"); got["cmdstat_incr"] == "" || len(got) > 30 ||
			got["redis_version"] != "" {
			t.Errorf("INFO commandstats cpu has %q", got)
		}
	})
}

// wantCommands looks at how often INFO says that commands were called, rejected before they were
// run, and failed, and that what calls took on average fits.
func wantCommands(t testing.TB, info map[string]string, want map[string][3]int) {
	t.Helper()
	for name, want := range want {
		var got [3]int
		var usec int64
		var each float64
		value := info["cmdstat_"+name]
		_, err := fmt.Sscanf(value, "calls=%d,usec=%d,usec_per_call=%f,rejected_calls=%d,failed_calls=%d",
			&got[0], &usec, &each, &got[1], &got[2])
		average := float64(usec) / float64(max(got[0], 1))
		if err != nil || got != want || each < average-0.01 || each > average+0.01 {
			t.Errorf("cmdstat_%s is %q (%v), want %d calls, %d rejected, %d failed", name, value, err, want[0],
				want[1], want[2])
		}
	}
	for name := range info {
		if of, ok := strings.CutPrefix(name, "cmdstat_"); ok && want[of] == [3]int{} {
			t.Errorf("INFO has %s:%s", name, info[name])
		}
	}
}

// tell sends lines, and reads their answers without looking at them.
func tell(t testing.TB, c net.Conn, lines ...string) {
	t.Helper()
	send(t, c, []byte(strings.Join(lines, "\r\n")+"\r\nECHO told\r\n"))
	readUntil(t, c, "$4\r\ntold\r\n")
}

// What a Redis 7.2.5 told after these lines: what became of commands, and errors by their kind.
func TestRESPCommandStatsAsRedis(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		c := dial(t, "tcp", s.addr("tcp"))
		tell(t, c, "INCR a", "INCR a", "INCR a", "INCR a", "INCR a", "INCRBY a x",
			"INCRBY a 9223372036854775807", "GET", "TYPE a", "CLIENT GETNAME x", "CLIENT ID", "CLIENT NOSUCH", "CLIENT",
			"NOSUCH", "PING a b", "MULTI", "INCR b", "GET", "INCR b", "EXEC",
			"MULTI", "INCR b", "INCRBY b x", "INCRBY b 9223372036854775807", "PING", "TYPE b", "EXEC", "ROLE",
			"EXEC", "EXEC x", "DISCARD", "DISCARD x", "MULTI", "INCR b", "EXEC x", "MULTI", "INCR b", "DISCARD",
			"HELLO 4", "SELECT 99", "MULTI", "NOSUCH", "EXEC")
		got := infoOf(t, c, "commandstats errorstats stats")
		wantCommands(t, got, map[string][3]int{
			"client": {0, 1, 0}, "client|getname": {0, 1, 0}, "client|id": {1}, "discard": {2, 1, 1},
			"exec": {4, 2, 3}, "get": {0, 2, 0}, "hello": {1, 0, 1}, "incr": {6}, "incrby": {4, 0, 4}, "multi": {5},
			"ping": {2, 0, 1}, "select": {1, 0, 1}, "type": {2}, "role": {1}, "echo": {1},
		})
		wantFields(t, got, map[string]string{"errorstat_ERR": "count=16", "errorstat_EXECABORT": "count=4",
			"errorstat_NOPROTO": "count=1", "total_error_replies": "21"})
	})
}

// What was refused as a whole was not called, and what it would have been told by itself was not
// told. What the disk or a limit refuses is rejected, also in a transaction.
func TestRESPCommandStatsOfTransactions(t *testing.T) {
	t.Parallel()
	const big = 60_000
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxInFlight = 12
		s, f := serveFake(t, o)
		c, first := dial(t, "tcp", s.addr("tcp")), dial(t, "tcp", s.addr("tcp"))
		tooLarge := []string{"MULTI", "INCRBY a x", "PING", "GET a"}
		for i := range 10 {
			tooLarge = append(tooLarge, "INCR "+long("x", big)+strconv.Itoa(i))
		}
		tell(t, c, append(tooLarge, "EXEC")...)
		f.block()
		send(t, first, []byte(long("INCR first\r\n", o.MaxInFlight)))
		eventually(t, "it is in flight", func() bool {
			return s.Stats().InFlight == int64(o.MaxInFlight) && f.isStuck()
		})
		tell(t, c, "MULTI", "INCR a", "INCRBY a x", "INCRBY a 2", "PING a b", "EXEC", "INCR a", "GETDEL a")
		f.unblock()
		readUntil(t, first, ":12\r\n")
		tell(t, c, "INCR a")
		f.full.Store(true)
		f.decide(func(op *core.Op) error {
			switch op.Kind {
			case core.Read:
				return nil
			case core.Reset:
				return core.ErrTooManyTopics
			}
			return core.ErrLogFull
		})
		tell(t, c, "INCR a", "INCRBY a 2", "INCR a", "DEL a b", "PING", "GCD.RESET x", "GET a", "INCR a", "PING",
			"MULTI", "INCR a", "PING", "GCD.COUNT a", "GET a", "WAIT 0 x", "EXEC")
		f.decide(func(*core.Op) error { return fmt.Errorf("%w: a disk error", core.ErrUnknown) })
		send(t, c, []byte("INCRBY a x\r\n"+inMulti("INCR a\r\n", "INCRBY a x\r\n")))
		answer(t, c)
		var got map[string]string
		eventually(t, "all is told", func() bool {
			got = infoOf(t, dial(t, "tcp", s.addr("tcp")), "commandstats errorstats stats")
			return strings.HasPrefix(got["cmdstat_exec"], "calls=3,") // the last that is told
		})
		delete(got, "cmdstat_info") // which may have been asked for several times
		delete(got, "cmdstat_echo")
		wantCommands(t, got, map[string][3]int{
			"incr": {o.MaxInFlight + 1, 5, 0}, "incrby": {1, 1, 1}, "getdel": {0, 1, 0}, "del": {0, 1, 0},
			"ping":      {0, 3, 0},
			"gcd.reset": {0, 1, 0}, "get": {2}, "gcd.count": {0, 1, 0}, "wait": {1, 0, 1}, "multi": {4},
			"exec": {3, 1, 1},
		})
		wantFields(t, got, map[string]string{"errorstat_ERR": "count=2", "errorstat_EXECABORT": "count=1",
			"errorstat_BUSY": "count=3", "errorstat_MISCONF": "count=10", "errorstat_OOM": "count=1",
			"total_error_replies": "17"})
	})
}

// What was done for a client that is gone is told as well, though it is no answer.
func TestRESPCommandStatsOfWhoIsGone(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		other, c := dial(t, "tcp", s.addr("tcp")), dial(t, "tcp", s.addr("tcp"))
		tell(t, other)
		f.block()
		send(t, c, []byte(inMulti("INCR a\r\n", "PING\r\n")+"INCR a\r\n"))
		eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == 1 && f.isStuck() })
		breakOff(c)
		c.Close()
		f.unblock()
		eventually(t, "it is gone", func() bool { return s.Stats().Connections == 1 })
		var got map[string]string
		eventually(t, "all is told", func() bool {
			got = infoOf(t, other, "commandstats gcd")
			return got["cmdstat_ping"] != "" // the last that is told
		})
		delete(got, "cmdstat_info") // which may have been asked for several times
		delete(got, "cmdstat_echo")
		wantCommands(t, got, map[string][3]int{"multi": {1}, "incr": {1}, "ping": {1}, "exec": {1}})
	})
}

// countsTo are the answers to counts of a new topic.
func countsTo(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ":%d\r\n", i+1)
	}
	return b.String()
}

// counted is a connection that knows how much went over it.
type counted struct {
	net.Conn
	sent, got int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got += n
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent += n
	return n, err
}

// Bytes of all doors are told, those of the turns that are over. A question may be told, too, or
// not, but not its answer.
func TestRESPInfoOfBytes(t *testing.T) {
	t.Parallel()
	eachNetwork(t, []string{"tcp", "udp", "resp"}, func(t *testing.T, network string, o server.Options) {
		s, _ := serveMemory(t, o)
		in, out := 0, 0
		for i := range 10 {
			if network != "resp" {
				wantAnswer(t, ask(t, network, s.addr(network), count("orders")), 128, byte(i+1))
				in, out = in+7, out+2
			}
		}
		c := &counted{Conn: dial(t, "tcp", s.addr("tcp"))}
		say(t, c, long("INCR bytes\r\n", 100), countsTo(100))
		eventually(t, "all bytes are told", func() bool {
			least, answers := in+c.sent, out+c.got
			got := infoOf(t, c, "stats")
			toldIn, toldOut := int(number(t, got, "total_net_input_bytes")), int(number(t, got,
				"total_net_output_bytes"))
			if toldIn > in+c.sent || toldOut > answers {
				t.Fatalf("%d bytes in and %d out are told, and there were %d and %d", toldIn, toldOut,
					in+c.sent, answers)
			}
			return toldIn >= least && toldOut == answers
		})
	})
}

// What INFO tells of the process, the disk, snapshots and backups.
func TestRESPInfoOfTheStore(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Backup = func(_ context.Context, w io.Writer, _ string) error {
			_, err := io.WriteString(w, "backup")
			return err
		}
		st, err := store.Open(t.TempDir(), store.Options{SegmentSize: 1 << 20, SnapshotInterval: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		s := serve(t, st, o, nil)
		c := dial(t, "tcp", s.addr("tcp"))
		say(t, c, "INCR a\r\n", ":1\r\n")
		say(t, c, "INCR a\r\n", ":2\r\n")
		got := infoOf(t, c, "")
		wantFields(t, got, map[string]string{
			"store": st.Recovery().Store.String(), "rdb_changes_since_last_save": "2",
			"rdb_bgsave_in_progress": "0", "rdb_saves": "0", "rdb_last_bgsave_time_sec": "-1",
		})
		if _, ok := got["rdb_last_save_time"]; ok {
			t.Errorf("a snapshot was made: %q", got)
		}
		if runtime.GOOS == "linux" {
			for _, name := range []string{"used_memory_rss", "total_system_memory", "mem_fragmentation_ratio",
				"used_cpu_user", "disk_free_bytes"} {
				if number(t, got, name) <= 0 {
					t.Errorf("%s is %s", name, got[name])
				}
			}
			if number(t, got, "used_memory_rss") > number(t, got, "total_system_memory") {
				t.Errorf("the process is larger than the memory: %q", got)
			}
		}
		if err := st.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		send(t, c, []byte("GCD.BACKUP\r\n"))
		readUntil(t, c, ";0\r\n")
		got = infoOf(t, c, "")
		wantFields(t, got, map[string]string{"rdb_changes_since_last_save": "0", "rdb_saves": "1", "backups": "1",
			"rdb_last_bgsave_time_sec": strconv.Itoa(int(st.Stats().SnapshotTook.Seconds()))})
		now := float64(st.Stats().SnapshotAt.Unix())
		if at := number(t, got, "rdb_last_save_time"); at != now {
			t.Errorf("the snapshot was made at %v, want %v", at, now)
		}
		if at := number(t, got, "last_backup_time"); at < now || at > float64(time.Now().Unix()) {
			t.Errorf("the backup was made at %v, the snapshot at %v", at, now)
		}
	})
}
