package server_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gcd/codec"
	"gcd/server"
	"gcd/store/core"
)

const (
	queuedReply = "+QUEUED\r\n"
	execAbort   = "-EXECABORT Transaction discarded because of previous errors.\r\n"
)

// transactions are conversations; each line's commands are sent at once, with MULTI before and EXEC
// after those that are marked so.
var transactions = map[string]script{
	"nothing": {
		{"MULTI\r\nEXEC", "+OK\r\n*0\r\n", ""},
		{"MULTI\r\nDISCARD", "+OK\r\n+OK\r\n", ""},
		{"EXEC", "-ERR EXEC without MULTI\r\n", ""},
		{"DISCARD", "-ERR DISCARD without MULTI\r\n", ""},
		{"UNWATCH", "+OK\r\n", ""},
		{"MULTI 1", "-ERR wrong number of arguments for 'multi' command\r\n", ""},
		{"EXEC 1", execWrong, ""},
		{"MULTI\r\nEXEC 1\r\nEXEC", "+OK\r\n" + execWrong + "-ERR EXEC without MULTI\r\n", ""},
		{"DISCARD 1", "-ERR wrong number of arguments for 'discard' command\r\n", ""},
		{"UNWATCH 1", "-ERR wrong number of arguments for 'unwatch' command\r\n", ""},
	},
	"every command on topics": {
		{"MULTI\r\nincr all\r\nINCRBY all 4\r\nGCD.COUNT all\r\nGCD.COUNT all 4\r\nGET all\r\nMGET all none all\r\n" +
			"STRLEN all\r\nEXISTS all none all\r\n" +
			"TOUCH all\r\nTYPE all\r\nTYPE none\r\nTTL all\r\nPTTL none\r\nGCD.INFO all\r\nEXEC",
			"+OK\r\n" + long(queuedReply,
				14) + "*14\r\n:1\r\n:5\r\n$1\r\n6\r\n$2\r\n10\r\n$2\r\n10\r\n*3\r\n$2\r\n10\r\n$-1\r\n$2\r\n10\r\n" +
				":2\r\n:2\r\n:1\r\n+string\r\n+none\r\n:-1\r\n:-2\r\n" +
				"*4\r\n$3\r\nsum\r\n$2\r\n10\r\n$5\r\nepoch\r\n:0\r\n",
			"+OK\r\n" + long(queuedReply,
				14) + "*14\r\n:1\r\n:5\r\n$1\r\n6\r\n$2\r\n10\r\n$2\r\n10\r\n*3\r\n$2\r\n10\r\n_\r\n$2\r\n10\r\n" +
				":2\r\n:2\r\n:1\r\n+string\r\n+none\r\n:-1\r\n:-2\r\n" +
				"%2\r\n$3\r\nsum\r\n$2\r\n10\r\n$5\r\nepoch\r\n:0\r\n"},
		{"MULTI\r\nGETDEL all\r\nINCR all\r\nGETSET all 0\r\nINCR all\r\nSET all 0\r\nINCR all\r\nDEL all none\r\n" +
			"INCR all\r\nUNLINK all\r\nGCD.RESET all\r\nGET all\r\nEXEC",
			"+OK\r\n" + long(queuedReply,
				11) + "*11\r\n$2\r\n10\r\n:1\r\n$1\r\n1\r\n:1\r\n+OK\r\n:1\r\n:1\r\n:1\r\n:1\r\n+OK\r\n$-1\r\n",
			"+OK\r\n" + long(queuedReply,
				11) + "*11\r\n$2\r\n10\r\n:1\r\n$1\r\n1\r\n:1\r\n+OK\r\n:1\r\n:1\r\n:1\r\n:1\r\n+OK\r\n_\r\n"},
	},
	"other commands": {
		{"MULTI\r\nPING\r\nPING hi\r\nECHO there\r\nSELECT 0\r\nSELECT 1\r\nWAIT 0 0\r\nUNWATCH\r\nROLE\r\nMODULE " +
			"LIST\r\nCLIENT SETNAME inside\r\nCLIENT GETNAME\r\nCONFIG GET save\r\nEXEC",
			"+OK\r\n" + long(queuedReply,
				12) + "*12\r\n+PONG\r\n$2\r\nhi\r\n$5\r\nthere\r\n+OK\r\n-ERR DB index is out of range\r\n:0\r\n" +
				"+OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n*0\r\n+OK\r\n$6\r\ninside\r\n*2\r\n$4\r\nsave\r\n$0\r\n\r\n",
			"+OK\r\n" + long(queuedReply,
				12) + "*12\r\n+PONG\r\n$2\r\nhi\r\n$5\r\nthere\r\n+OK\r\n-ERR DB index is out of range\r\n:0\r\n" +
				"+OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n*0\r\n+OK\r\n$6\r\ninside\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n"},
		{"MULTI\r\nCLIENT SETNAME never\r\nDISCARD\r\nCLIENT GETNAME", "+OK\r\n+QUEUED\r\n+OK\r\n$6\r\ninside\r\n", ""},
	},
	"an argument that is wrong leaves the others": {
		{"MULTI\r\nINCR own\r\nINCRBY own x\r\nINCRBY own 0\r\nSET own 5\r\nGCD.COUNT own 1 2\r\nPING a b\r\nINCR " +
			"\"\\xff\"\r\nINCRBY own 9223372036854775807\r\nINCR own\r\nEXEC",
			"+OK\r\n" + long(queuedReply,
				9) + "*9\r\n:1\r\n" + notAnInteger + onlyGrows + onlyZero + wrongArity("gcd.count") +
				wrongArity("ping") +
				"-ERR topic is not UTF-8\r\n" + overflows + ":2\r\n", ""},
	},
	"an error at once": {
		{"MULTI\r\nINCR once\r\nNOSUCH a b\r\nINCR once\r\nEXEC\r\nGET once",
			"+OK\r\n+QUEUED\r\n" + wrongCommand + "+QUEUED\r\n" + execAbort + null2,
			"+OK\r\n+QUEUED\r\n" + wrongCommand + "+QUEUED\r\n" + execAbort + null3},
		{"MULTI\r\nINCR\r\nEXEC\r\nEXEC",
			"+OK\r\n" + wrongArity("incr") + execAbort + "-ERR EXEC without MULTI\r\n", ""},
		{"MULTI\r\nCLIENT NOSUCH\r\nEXEC",
			"+OK\r\n-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n" + execAbort, ""},
		{"MULTI\r\nMULTI\r\nEXEC", "+OK\r\n-ERR MULTI calls can not be nested\r\n" + execAbort, ""},
		{"MULTI\r\nWATCH a\r\nEXEC", "+OK\r\n" + watches + execAbort, ""},
		{"MULTI\r\nFLUSHALL\r\nEXEC", "+OK\r\n" + flushes + execAbort, ""},
		{"MULTI\r\nSCAN 0\r\nEXEC", "+OK\r\n" + barred + execAbort, ""},
		{"MULTI\r\nKEYS *\r\nEXEC", "+OK\r\n" + barred + execAbort, ""},
		{"MULTI\r\nGCD.BACKUP\r\nEXEC", "+OK\r\n" + barred + execAbort, ""},
		{"MULTI\r\nHELLO 3\r\nEXEC", "+OK\r\n" + barred + execAbort, ""},
		{"MULTI\r\nHELLO 2\r\nDISCARD", "+OK\r\n" + barred + "+OK\r\n", ""},
		{"MULTI\r\nAUTH x\r\nEXEC",
			"+OK\r\n-ERR AUTH <password> called without any password configured for the default user. Are you sure " +
				"your configuration is correct?\r\n" + execAbort, ""},
		{"MULTI\r\nINCR once\r\nEXPIRE once 1\r\nDISCARD\r\nINCR once",
			"+OK\r\n+QUEUED\r\n-ERR EXPIRE is not supported: topics do not expire: DEL ends what was counted when " +
				"you say so\r\n+OK\r\n:1\r\n", ""},
	},
	"in a pipeline": {
		{"INCR pipe\r\nGET pipe\r\nMULTI\r\nGET pipe\r\nINCR pipe\r\nEXEC\r\nGET pipe\r\nINCR pipe\r\nMULTI\r\n" +
			"INCR pipe\r\nEXEC\r\nPING\r\nMULTI\r\nEXEC\r\nGET pipe",
			":1\r\n$1\r\n1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n:2\r\n$1\r\n2\r\n:3\r\n+OK\r\n" +
				"+QUEUED\r\n*1\r\n:4\r\n+PONG\r\n+OK\r\n*0\r\n$1\r\n4\r\n", ""},
		{"MULTI\r\nGET pipe\r\nEXISTS pipe\r\nEXEC", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n4\r\n:1\r\n", ""},
		{"MULTI\r\nINCR pipe\r\nRESET\r\nEXEC", "+OK\r\n+QUEUED\r\n+RESET\r\n-ERR EXEC without MULTI\r\n", ""},
	},
}

func TestRESPTransactions(t *testing.T) {
	t.Parallel()
	runScripts(t, transactions)
}

// DBSIZE tells what there is after what stands before it, and INFO how it is after all.
func TestRESPTransactionSize(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, "MULTI\r\nDBSIZE\r\nINCR a\r\nDBSIZE\r\nINCR b\r\nDBSIZE\r\nDEL a\r\nDBSIZE\r\nEXEC\r\nDBSIZE\r\n",
			"+OK\r\n"+long(queuedReply, 7)+"*7\r\n:0\r\n:1\r\n:1\r\n:1\r\n:2\r\n:1\r\n:1\r\n:1\r\n")
		send(t, c, []byte("MULTI\r\nINCR c\r\nINFO keyspace\r\nEXEC\r\nECHO end\r\n"))
		if got := readUntil(t, c, "$3\r\nend\r\n"); !strings.Contains(got, "keys=2,") {
			t.Errorf("INFO in a transaction: %q", got)
		}
	})
}

// What CLIENT LIST tells others of a transaction, and that what is queued is charged, and given
// back however the transaction ends.
func TestRESPTransactionIsSeenAndCharged(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		other := dialRESP(t, s, 2)
		list := func() string {
			send(t, other, []byte("CLIENT LIST\r\nECHO end\r\n"))
			return readUntil(t, other, "$3\r\nend\r\n")
		}
		for _, end := range []string{"EXEC", "DISCARD", "RESET", "NOSUCH"} {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("CLIENT SETNAME queues\r\nMULTI\r\n"))
			readUntil(t, c, "+OK\r\n+OK\r\n")
			if got := list(); !strings.Contains(got, "name=queues") || !strings.Contains(got, " flags=x ") ||
				!strings.Contains(got, " multi=0 ") {
				t.Errorf("after MULTI: %s", got)
			}
			send(t, c, []byte(array("ECHO", long("x", 200_000))))
			readUntil(t, c, queuedReply)
			if held := s.Stats().Held; held < 200_000 {
				t.Errorf("%d bytes are held", held)
			}
			if got := list(); !strings.Contains(got, " multi=1 ") || strings.Count(got, " multi-mem=0 ") != 1 {
				t.Errorf("after a command: %s", got)
			}
			send(t, c, []byte(end+"\r\n"))
			readUntil(t, c, "\r\n")
			send(t, c, []byte("PING\r\n"))
			readUntil(t, c, "\r\n")
			eventually(t, end+": it is given back", func() bool { return s.Stats().Held < 100_000 })
			c.Close()
			eventually(t, "it is gone", func() bool { return s.Stats().Connections == 1 })
		}
		c := dialRESP(t, s, 2)
		send(t, c, []byte("MULTI\r\n"+array("ECHO", long("x", 200_000))))
		readUntil(t, c, queuedReply)
		c.Close()
		eventually(t, "a connection's end: it is given back", func() bool {
			return s.Stats().Held < 100_000 &&
				s.Stats().Connections == 1
		})
	})
}

// inMulti makes a transaction of commands, as one string.
func inMulti(commands ...string) string {
	return "MULTI\r\n" + strings.Join(commands, "") + "EXEC\r\n"
}

// TestRESPTransactionLimits: the largest is done; a byte more, or a topic more, is EXECABORT, and
// nothing is done.
func TestRESPTransactionLimits(t *testing.T) {
	t.Parallel()
	const most, change, length = 512<<10 - 64, 33, 200
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		var commands []string
		left := most
		for left >= 2*(length+change) {
			commands = append(commands, array("INCR", fmt.Sprintf("%0*d", length, len(commands))))
			left -= length + change
		}
		last := long("x", left-change)
		const tooMuch = "-EXECABORT Transaction discarded because what it changes may not fit into one record of " +
			"the log: " +
			"count or reset fewer topics, or shorter ones, in one transaction\r\n"
		for what, more := range map[string][]string{
			"one byte more":  {array("INCR", last+"x")},
			"one topic more": {array("INCR", last), array("INCR", "")},
			"one reset more": {array("INCR", last), array("DEL", last)},
		} {
			all := append(commands[:len(commands):len(commands)], more...)
			say(t, c, inMulti(all...), "+OK\r\n"+long(queuedReply, len(all))+tooMuch)
			if n := st.Len(); n != 0 {
				t.Fatalf("%s left %d topics", what, n)
			}
		}
		all := append(commands[:len(commands):len(commands)], array("INCR", last), array("INCR", last),
			array("GET", last))
		say(t, c, inMulti(all...), "+OK\r\n"+long(queuedReply, len(all))+fmt.Sprintf("*%d\r\n",
			len(all))+long(":1\r\n", len(commands)+1)+":2\r\n$1\r\n2\r\n")
		if batches := st.Stats().Batches; batches != 1 {
			t.Errorf("it took %d records", batches)
		}

		// Its commands have at most 1 MiB, and what is beyond is refused at once.
		echo := array("ECHO", long("e", 1<<19))
		say(t, c, inMulti(echo, array("INCR", "never"), echo, array("INCR", "never")), "+OK\r\n"+long(queuedReply, 2)+
			"-ERR transaction is too long: its commands have at most 1048576 bytes\r\n"+queuedReply+execAbort)
		say(t, c, "GET never\r\n", null2)
		eventually(t, "nothing is held", func() bool { return s.Stats().InFlight == 0 && s.Stats().Held < 2<<20 })
	})
}

// A transaction may have all bytes that may be in flight: EXEC itself is none of them.
func TestRESPTransactionOfAllBytes(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.MaxInFlightBytes = 1000
		s, _ := serveFake(t, o)
		for _, exec := range []string{"*1\r\n$4\r\nEXEC\r\n", "EXEC" + strings.Repeat(" ", 2000) + "\r\n"} {
			c := dialRESP(t, s, 2)
			topic := strings.Repeat("x", o.MaxInFlightBytes-len("*2\r\n$4\r\nINCR\r\n$978\r\n\r\n"))
			say(t, c, "MULTI\r\nINCR "+topic+"\r\n"+exec+"GCD.RESET "+topic+"\r\n",
				"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n+OK\r\n")
		}
	})
}

// TestRESPTransactionFolds: thousands of counts of one topic are one transaction.
func TestRESPTransactionFolds(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		const n = 30_000
		var want strings.Builder
		for i := range n {
			fmt.Fprintf(&want, ":%d\r\n", i+1)
		}
		say(t, c, inMulti(long(array("INCR", "orders"), n)),
			"+OK\r\n"+long(queuedReply, n)+fmt.Sprintf("*%d\r\n", n)+want.String())
		if st := st.Stats(); st.Batches != 1 || st.Changes != 1 {
			t.Errorf("%d changes in %d records", st.Changes, st.Batches)
		}
	})
}

// TestRESPTransactionInFlight: more topics than can ever be in flight are refused at once, and what
// is too much just now is BUSY as the answer to EXEC. Nothing is done.
func TestRESPTransactionInFlight(t *testing.T) {
	t.Parallel()
	const busy = "-BUSY too many requests in flight: try again later\r\n"
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.MaxInFlight = 4
		s, f := serveFake(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, inMulti("INCR a\r\n", "MGET a b c d\r\n", "INCR a\r\n"), "+OK\r\n+QUEUED\r\n"+
			"-ERR more topics than --max-in-flight allows: a transaction has at most 4\r\n+QUEUED\r\n"+execAbort)
		say(t, c, inMulti("INCR a\r\n", "MGET a b c\r\n"),
			"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n*3\r\n$1\r\n1\r\n$-1\r\n$-1\r\n")

		first := dialRESP(t, s, 2)
		f.block()
		send(t, first, []byte("MULTI\r\nINCR b\r\nINCR b\r\nINCR b\r\nINCR b\r\nEXEC\r\n"))
		eventually(t, "the first is in flight", func() bool { return s.Stats().InFlight == 4 && f.isStuck() })
		send(t, c, []byte(inMulti("CLIENT SETNAME never\r\n", "INCR a\r\n",
			"GET a\r\n")+"EXEC\r\nCLIENT GETNAME\r\nECHO end\r\n"))
		if got, want := readUntil(t, c, "$3\r\nend\r\n"),
			"+OK\r\n"+long(queuedReply, 3)+busy+"-ERR EXEC without MULTI\r\n"+null2; got != want {
			t.Errorf("beside it: %q, want %q", got, want)
		}
		f.unblock()
		readUntil(t, first, "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n")
		if state := f.state(); state["a"] != 1 || state["b"] != 4 {
			t.Errorf("the sums are %v", state)
		}
		if n := s.Stats().Refused[codec.CodeTooManyRequests]; n != 2 {
			t.Errorf("%d refusals were counted, want 2", n)
		}
		eventually(t, "nothing is in flight", func() bool { return s.Stats().InFlight == 0 })
	})
}

// TestRESPQueuedBytesAreBounded: what all connections queue has a bound together, and who meets it
// loses his transaction and nothing else.
func TestRESPQueuedBytesAreBounded(t *testing.T) {
	t.Parallel()
	const size, commands = 3000, 100
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.MaxInFlightBytes = 2 << 20
		s, f := serveFake(t, o)
		var all []net.Conn
		refused := 0
		for range 12 {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("MULTI\r\nINCR never\r\n"+long(array("ECHO", long("x", size)), commands)))
			replies, got := bufio.NewReader(c), ""
			for range 2 + commands {
				line, err := replies.ReadString('\n')
				if err != nil {
					t.Fatalf("%v after %q", err, got)
				}
				got += line
			}
			if strings.Contains(got,
				"-BUSY too many bytes of answers and commands are held for clients: try again later\r\n") {
				refused++
				send(t, c, []byte("EXEC\r\n"))
				readUntil(t, c, execAbort)
			}
			if n := s.Stats().Held; n > 2<<20 {
				t.Fatalf("%d bytes are held", n)
			}
			all = append(all, c)
		}
		if refused < 2 || refused > 10 {
			t.Errorf("%d of 12 were refused", refused)
		}
		if sums := f.state(); sums["never"] != 0 {
			t.Errorf("it was counted: %v", sums)
		}
		for _, c := range all {
			c.Close()
		}
		eventually(t, "nothing is held", func() bool { return s.Stats().Held == 0 && s.Stats().Connections == 0 })
	})
}

// TestRESPSilentTransactions: a transaction may wait in silence while there is room for others, and
// for no longer than --read-timeout when half of it is taken.
func TestRESPSilentTransactions(t *testing.T) {
	t.Parallel()
	const (
		held      = "-BUSY too many bytes of unfinished commands: try again later\r\n"
		notInTime = "-ERR Protocol error: the command was not complete in time\r\n"
	)
	eachCarrier(t, func(t *testing.T, o server.Options) {
		o.MaxInFlightBytes, o.ReadTimeout = 2<<20, 500*time.Millisecond
		const half = 1 << 20
		s, _ := serveMemory(t, o)
		queues := func() net.Conn {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("MULTI\r\n"+long(array("ECHO", long("x", 4000)), 100)))
			readUntil(t, c, "+OK\r\n"+long(queuedReply, 100))
			return c
		}
		silent := []net.Conn{queues(), queues()}
		alone := dialRESP(t, s, 2)
		send(t, alone, []byte("MULTI\r\n"))
		readUntil(t, alone, "+OK\r\n")
		for range 2 { // one after the other, so that the time has passed for the others
			late := dialRESP(t, s, 2)
			send(t, late, []byte("PIN"))
			if got := string(answer(t, late)); got != notInTime {
				t.Fatalf("an unfinished command was answered %q", got)
			}
		}
		if n := s.Stats().Held; n < half/2 || n > half {
			t.Fatalf("%d bytes are held", n)
		}
		silent = append(silent, queues())
		eventually(t, "there is room again", func() bool { return s.Stats().Held <= half })
		cut := 0
		for _, c := range silent {
			c.Write([]byte("DISCARD\r\nQUIT\r\n")) // which one that was cut off may not take
			switch got := string(answer(t, c)); got {
			case "+OK\r\n+OK\r\n":
			case held:
				cut++
			default:
				t.Errorf("a transaction that was silent was answered %q", got)
			}
		}
		if cut == 0 || cut != int(s.Stats().Refused[codec.CodeTooManyRequests]) {
			t.Errorf("%d were cut off, %d refusals were counted", cut, s.Stats().Refused[codec.CodeTooManyRequests])
		}
		say(t, alone, "INCR a\r\nEXEC\r\n", queuedReply+"*1\r\n:1\r\n") // what was empty held nothing
	})
}

// TestRESPTransactionAnswersAreBounded: of commands that are run after the group no more are run
// than there is room for.
func TestRESPTransactionAnswersAreBounded(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		const n = 2000
		send(t, c, []byte(inMulti(array("INCR", "a"), long(array("COMMAND", "DOCS"), n), array("INCR",
			"a"))+"ECHO end\r\n"))
		got := readUntil(t, c, "$3\r\nend\r\n")
		if bytes := len(got); bytes > 8<<20 || !strings.HasSuffix(got,
			"-BUSY too many bytes of answers and commands are held for clients: try again later\r\n:2\r\n") {
			t.Errorf("%d bytes that end in %q", bytes, got[len(got)-100:])
		}
	})
}

// TestRESPTransactionOnAFullDisk: what changes something is refused, and PING says why.
func TestRESPTransactionOnAFullDisk(t *testing.T) {
	t.Parallel()
	const full = "-MISCONF no room for the log: the disk is full\r\n"
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		f.setSum("kept", 7)
		f.full.Store(true)
		f.decide(func(op *core.Op) error {
			if op.Kind != core.Read || string(op.Topic) != "kept" {
				return core.ErrLogFull
			}
			return nil
		})
		c := dialRESP(t, s, 2)
		say(t, c, inMulti("GET kept\r\n", "INCR a\r\n", "GET a\r\n", "PING\r\n", "ECHO on\r\n"),
			"+OK\r\n"+long(queuedReply, 5)+"*5\r\n$1\r\n7\r\n"+full+full+full+"$2\r\non\r\n")
	})
}

// TestRESPTransactionUnknownOutcome: no part of an answer is given, and the connection ends.
func TestRESPTransactionUnknownOutcome(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		f.decide(func(op *core.Op) error {
			if string(op.Topic) == "long" {
				return core.ErrTopicTooLong
			}
			return fmt.Errorf("%w: a disk error", core.ErrUnknown)
		})
		c := dialRESP(t, s, 2)
		send(t, c, []byte("ECHO on\r\n"+inMulti("INCR long\r\n", "PING\r\n", "INCR a\r\n", "INCR b\r\n")+"PING\r\n"))
		if got, want := string(answer(t, c)), "$2\r\non\r\n+OK\r\n"+long(queuedReply, 4); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		eventually(t, "nothing is left", func() bool {
			st := s.Stats()
			return st.Connections == 0 &&
				st.InFlight == 0 && st.Held == 0
		})
	})
}

// TestRESPTransactionWhenTheServerStops: what was queued is refused, and EXEC too.
func TestRESPTransactionWhenTheServerStops(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f, stop := serveLong(t, o)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("MULTI\r\nINCR never\r\n"))
		readUntil(t, c, queuedReply)
		stopped := stop()
		hears(t, c, "INCR never\r\n", shuttingDown)
		hears(t, c, "EXEC\r\nINCR never\r\n", shuttingDown+shuttingDown)
		s.EndParting()
		if b := answer(t, c); len(b) > 0 {
			t.Errorf("at the end there was %q", b)
		}
		c.Close()
		s.ended(t, stopped)
		if state := f.state(); len(state) != 0 {
			t.Errorf("the state is %v", state)
		}
	})
}

// TestRESPTransactionReadsAtItsMoment: a read with nothing before it sees what was submitted
// before, and nothing that came later.
func TestRESPTransactionReadsAtItsMoment(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		first, second := dialRESP(t, s, 2), dialRESP(t, s, 2)
		for _, c := range []net.Conn{first, second} { // so that each has its loop
			say(t, c, "PING\r\n", "+PONG\r\n")
		}
		f.block()
		send(t, first, []byte("INCR a\r\n"))
		eventually(t, "the first is in flight", func() bool { return s.Stats().InFlight == 1 && f.isStuck() })
		send(t, second, []byte(inMulti("GET a\r\n", "EXISTS a\r\n", "DBSIZE\r\n", "INCR a\r\n")))
		eventually(t, "so is the second", func() bool { return s.Stats().InFlight > 1 })
		f.unblock()
		want := "+OK\r\n" + long(queuedReply, 4) + "*4\r\n$1\r\n1\r\n:1\r\n:1\r\n:2\r\n"
		expect(t, second, "a transaction after a count", want)
	})
}

// TestRESPReadsSeeNoHalf: while a transaction of somebody else comes into effect reads wait for the
// next commit, and those of several topics do if one came into effect beside them.
func TestRESPReadsSeeNoHalf(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		c := dialRESP(t, s, 2)
		for _, row := range []struct {
			version, pace uint64
			in, want      string
			rounds        int
		}{
			{0, 0, "GET a\r\nMGET a b\r\nEXISTS a b\r\nDBSIZE\r\n",
				null2 + "*2\r\n" + null2 + null2 + ":0\r\n:0\r\n", 0},
			{1, 0, "GET a\r\n", null2, 1},
			{1, 0, "GCD.INFO a\r\n", "*4\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:0\r\n", 1},
			{1, 0, "MGET a b\r\n", "*2\r\n" + null2 + null2, 1},
			{1, 0, "DBSIZE\r\n", ":0\r\n", 1},
			{0, 2, "MGET a b\r\n", "*2\r\n" + null2 + null2, 1},
			{0, 2, "EXISTS a b\r\n", ":0\r\n", 1},
		} {
			f.version.Store(row.version)
			f.pace.Store(row.pace)
			before := f.committed()
			say(t, c, row.in, row.want)
			if n := f.committed() - before; n != row.rounds {
				t.Errorf("%q at version %d, growing by %d, took %d commits, want %d", row.in, row.version,
					row.pace, n, row.rounds)
			}
		}
	})
}

// pairModel is two topics: the input is what is added to each, the output what they are at then.
var pairModel = porcupine.Model{
	Init: func() any { return [2]int{} },
	Step: func(state, input, output any) (bool, any) {
		v, add := state.([2]int), input.([2]int)
		v[0] += add[0]
		v[1] += add[1]
		return output.([2]int) == v, v
	},
}

// TestRESPTransactionsLinearizable has connections count two topics together and read both, in
// transactions and by MGET alone, and has porcupine look for one order of all that explains the
// answers.
func TestRESPTransactionsLinearizable(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		history, seed := converseAtOnce(t, s, 6, 80, func(r *rand.Rand) exchanged {
			add := [][2]int{{1, 1}, {1, 1}, {2, 1}, {0, 0}, {0, 0}}[r.IntN(5)]
			if add[0] == 0 {
				return exchanged{"MGET one two\r\n", []any{add}}
			}
			return exchanged{inMulti(fmt.Sprintf("INCRBY one %d\r\n", add[0]), "MGET one two\r\n",
				fmt.Sprintf("INCRBY two %d\r\n", add[1])), []any{nil, nil, nil, nil, add}}
		}, func(answer string) any {
			words := strings.Fields(strings.ReplaceAll(answer, "nil", "0"))
			one, _ := strconv.Atoi(words[0])
			two, _ := strconv.Atoi(words[len(words)-1])
			return [2]int{one, two}
		})
		if got := porcupine.CheckOperationsTimeout(pairModel, history, patience); got != porcupine.Ok {
			t.Errorf("seed %d: an order of %d commands that explains their answers: %v", seed, len(history), got)
		}
	})
}
