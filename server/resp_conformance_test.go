package server_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"gcd/server"
	"gcd/store"
)

// The conformance suite of RESP: literal bytes through raw sockets, for every dispatch and version.

// eachRESP runs f for every pair of dispatch and version of RESP.
func eachRESP(t *testing.T, f func(t *testing.T, o server.Options, version int)) {
	eachDispatch(t, func(t *testing.T, o server.Options) { eachVersion(t, o, f) })
}

// eachCarriedRESP is eachRESP over whatever carries a stream.
func eachCarriedRESP(t *testing.T, f func(t *testing.T, o server.Options, version int)) {
	eachCarrier(t, func(t *testing.T, o server.Options) { eachVersion(t, o, f) })
}

func eachVersion(t *testing.T, o server.Options, f func(t *testing.T, o server.Options, version int)) {
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", version), func(t *testing.T) {
			t.Parallel()
			f(t, o, version)
		})
	}
}

// serveMemory starts a server over a new store in memory.
func serveMemory(t *testing.T, o server.Options) (*running, *store.Store) {
	t.Helper()
	st, err := store.Open("", store.Options{MaxTopics: 100_000, MaxTopicLen: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return serve(t, st, o, nil), st
}

// dialRESP connects and agrees on a version.
func dialRESP(t testing.TB, s *running, version int) net.Conn {
	t.Helper()
	c := dial(t, "tcp", s.addr("tcp"))
	if version == 3 {
		send(t, c, []byte("HELLO 3\r\n"))
		readUntil(t, c, "modules\r\n*0\r\n")
	}
	return c
}

// readUntil reads up to an end, which must be the last that was asked for, and returns what came
// before it.
func readUntil(t testing.TB, c net.Conn, end string) string {
	t.Helper()
	var got []byte
	for b := make([]byte, 64<<10); !bytes.HasSuffix(got, []byte(end)); {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("%v after %.200q, waiting for %q", err, got, end)
		}
		got = append(got, b[:n]...)
	}
	return string(bytes.TrimSuffix(got, []byte(end)))
}

// say sends bytes and expects exactly the answer.
func say(t testing.TB, c net.Conn, in, want string) {
	t.Helper()
	send(t, c, []byte(in))
	expect(t, c, in, want)
}

// expect reads an answer and finds out by a further question that it was all.
func expect(t testing.TB, c net.Conn, in, want string) {
	t.Helper()
	send(t, c, []byte("ECHO end\r\n"))
	if got := readUntil(t, c, "$3\r\nend\r\n"); got != want {
		t.Errorf("%.200q was answered %.300q, want %.300q", in, got, want)
	}
}

// array writes a command as an array.
func array(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// bulk writes a string as a reply has it.
func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// script is a conversation about topics that no other script has. Where version 3 differs, in is
// answered with third.
type script []struct{ in, second, third string }

const null2, null3 = "$-1\r\n", "_\r\n"

var scripts = map[string]script{
	"INCR": {
		{"INCR incr", ":1\r\n", ""},
		{"incr incr", ":2\r\n", ""},
		{"iNcR incr", ":3\r\n", ""},
		{"GET incr", "$1\r\n3\r\n", ""},
		{`INCR "with blank"`, ":1\r\n", ""},
		{`INCR ""`, ":1\r\n", ""},
		{`GET ""`, "$1\r\n1\r\n", ""},
		{"INCR", "-ERR wrong number of arguments for 'incr' command\r\n", ""},
		{"INCR incr 1", "-ERR wrong number of arguments for 'incr' command\r\n", ""},
		{`INCR "\xff"`, "-ERR topic is not UTF-8\r\n", ""},
		{"INCR " + strings.Repeat("x", 1000), ":1\r\n", ""},
		{"INCR " + strings.Repeat("x", 1001), "-ERR topic is too long for this server\r\n", ""},
	},
	"INCRBY": {
		{"INCRBY incrby 10", ":10\r\n", ""},
		{"INCRBY incrby 17179869184", ":17179869194\r\n", ""},
		{"INCRBY incrby 0",
			"-ERR increment must be above 0: the values of a topic are handed out one after the other and never " +
				"again, so a sum only grows\r\n", ""},
		{"INCRBY incrby -1",
			"-ERR increment must be above 0: the values of a topic are handed out one after the other and never " +
				"again, so a sum only grows\r\n", ""},
		{"INCRBY incrby v", "-ERR value is not an integer or out of range\r\n", ""},
		{"INCRBY incrby 1.5", "-ERR value is not an integer or out of range\r\n", ""},
		{"INCRBY incrby +5", "-ERR value is not an integer or out of range\r\n", ""},
		{"INCRBY incrby 05", "-ERR value is not an integer or out of range\r\n", ""},
		{`INCRBY incrby "5 "`, "-ERR value is not an integer or out of range\r\n", ""},
		{`INCRBY incrby ""`, "-ERR value is not an integer or out of range\r\n", ""},
		{"INCRBY incrby 9223372036854775808", "-ERR value is not an integer or out of range\r\n", ""},
		{"INCRBY incrby 9223372036854775807", "-ERR increment or decrement would overflow\r\n", ""},
		{"GET incrby", "$11\r\n17179869194\r\n", ""},
		{"INCRBY incrby", "-ERR wrong number of arguments for 'incrby' command\r\n", ""},
		{"INCRBY edge 9223372036854775807", ":9223372036854775807\r\n", ""},
		{"INCR edge", "-ERR increment or decrement would overflow\r\n", ""},
		{"INCRBY edge 1", "-ERR increment or decrement would overflow\r\n", ""},
		{"GET edge", "$19\r\n9223372036854775807\r\n", ""},
	},
	"GCD.COUNT": {
		{"GCD.COUNT own", "$1\r\n1\r\n", ""},
		{"gcd.count own 9", "$2\r\n10\r\n", ""},
		{"GCD.COUNT own 18446744073709551605", "$20\r\n18446744073709551615\r\n", ""},
		{"GCD.COUNT own", "-ERR increment or decrement would overflow\r\n", ""},
		{"INCR own", "-ERR increment or decrement would overflow\r\n", ""},
		{"GET own", "$20\r\n18446744073709551615\r\n", ""},
		{"GCD.COUNT own 0", "-ERR value is not an integer from 1 to 18446744073709551615\r\n", ""},
		{"GCD.COUNT own -1", "-ERR value is not an integer from 1 to 18446744073709551615\r\n", ""},
		{"GCD.COUNT own 18446744073709551616", "-ERR value is not an integer from 1 to 18446744073709551615\r\n", ""},
		{"GCD.COUNT own x", "-ERR value is not an integer from 1 to 18446744073709551615\r\n", ""},
		{"GCD.COUNT", "-ERR wrong number of arguments for 'gcd.count' command\r\n", ""},
		{"GCD.COUNT own 1 2", "-ERR wrong number of arguments for 'gcd.count' command\r\n", ""},
		{"DEL own", ":1\r\n", ""},
		{"INCR own", ":1\r\n", ""},
	},
	"GCD.RESET and GCD.INFO": {
		{"GCD.INFO epochs", "*4\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:0\r\n",
			"%2\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:0\r\n"},
		{"INCRBY epochs 5", ":5\r\n", ""},
		{"GCD.RESET epochs", "+OK\r\n", ""},
		{"GCD.INFO epochs", "*4\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:1\r\n",
			"%2\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:1\r\n"},
		{"GCD.RESET epochs", "+OK\r\n", ""},
		{"DEL epochs", ":0\r\n", ""}, // which ends no epoch
		{"INCR epochs", ":1\r\n", ""},
		{"GCD.INFO epochs", "*4\r\n$3\r\nsum\r\n$1\r\n1\r\n$5\r\nepoch\r\n:2\r\n",
			"%2\r\n$3\r\nsum\r\n$1\r\n1\r\n$5\r\nepoch\r\n:2\r\n"},
		{"GCD.RESET", "-ERR wrong number of arguments for 'gcd.reset' command\r\n", ""},
		{"GCD.INFO epochs x", "-ERR wrong number of arguments for 'gcd.info' command\r\n", ""},
	},
	"DEL": {
		{"DEL del", ":0\r\n", ""},
		{"INCR del", ":1\r\n", ""},
		{"INCR del2", ":1\r\n", ""},
		{"DEL del del2 del del3", ":2\r\n", ""},
		{"GET del", null2, null3},
		{"INCR del", ":1\r\n", ""},
		{"UNLINK del", ":1\r\n", ""},
		{"EXISTS del", ":0\r\n", ""},
		{"INCR del", ":1\r\n", ""},
		{"DEL del " + strings.Repeat("x", 1001), ":1\r\n", ""},
		{"GETDEL " + strings.Repeat("x", 1001), null2, null3},
		{"GCD.RESET " + strings.Repeat("x", 1001), "-ERR topic is too long for this server\r\n", ""},
		{`DEL del "\xff"`, "-ERR topic is not UTF-8\r\n", ""},
		{"DEL", "-ERR wrong number of arguments for 'del' command\r\n", ""},
	},
	"SET": {
		{"INCR set", ":1\r\n", ""},
		{"SET set 0", "+OK\r\n", ""},
		{"GET set", null2, null3},
		{"SET set 0", "+OK\r\n", ""},
		{"INCR set", ":1\r\n", ""},
		{"SET set 1",
			"-ERR only 0 can be set, which resets the topic: a sum is what was counted, and setting it would hand " +
				"values out twice or never\r\n", ""},
		{"SET set 00",
			"-ERR only 0 can be set, which resets the topic: a sum is what was counted, and setting it would hand " +
				"values out twice or never\r\n", ""},
		{"SET set 0 NX",
			"-ERR SET takes no options here: SET topic 0 resets the topic, GETSET topic 0 returns its old sum, and " +
				"topics do not expire\r\n", ""},
		{"SET set", "-ERR wrong number of arguments for 'set' command\r\n", ""},
		{"GET set", "$1\r\n1\r\n", ""},
	},
	"GETDEL and GETSET": {
		{"GETDEL getdel", null2, null3},
		{"INCRBY getdel 12", ":12\r\n", ""},
		{"GETDEL getdel", "$2\r\n12\r\n", ""},
		{"GETDEL getdel", null2, null3},
		{"INCR getdel", ":1\r\n", ""},
		{"GETSET getdel 0", "$1\r\n1\r\n", ""},
		{"GETSET getdel 0", null2, null3},
		{"GETSET getdel 5",
			"-ERR only 0 can be set, which resets the topic: a sum is what was counted, and setting it would hand " +
				"values out twice or never\r\n", ""},
	},
	"reads": {
		{"GET read", null2, null3},
		{"EXISTS read", ":0\r\n", ""},
		{"TYPE read", "+none\r\n", ""},
		{"TTL read", ":-2\r\n", ""},
		{"PTTL read", ":-2\r\n", ""},
		{"STRLEN read", ":0\r\n", ""},
		{"INCRBY read 100", ":100\r\n", ""},
		{"GET read", "$3\r\n100\r\n", ""},
		{"MGET read none read", "*3\r\n$3\r\n100\r\n$-1\r\n$3\r\n100\r\n", "*3\r\n$3\r\n100\r\n_\r\n$3\r\n100\r\n"},
		{"EXISTS read none read", ":2\r\n", ""},
		{"TOUCH read none", ":1\r\n", ""},
		{"TYPE read", "+string\r\n", ""},
		{"TTL read", ":-1\r\n", ""},
		{"PTTL read", ":-1\r\n", ""},
		{"STRLEN read", ":3\r\n", ""},
		{"GET " + strings.Repeat("y", 1001), null2, null3},
		{"GET " + strings.Repeat("y", 65000), null2, null3},
		{array("GET", strings.Repeat("y", 65536)), "-ERR topic is too long: it has at most 65535 bytes\r\n", ""},
		{`GET "\xff"`, "-ERR topic is not UTF-8\r\n", ""},
		{`MGET read "\xff"`, "-ERR topic is not UTF-8\r\n", ""},
		{"GET", "-ERR wrong number of arguments for 'get' command\r\n", ""},
		{"MGET", "-ERR wrong number of arguments for 'mget' command\r\n", ""},
		{"EXISTS", "-ERR wrong number of arguments for 'exists' command\r\n", ""},
	},
	"reads after writes": {
		{"INCR after\r\nGET after\r\nINCR after", ":1\r\n$1\r\n1\r\n:2\r\n", ""},
		{"DEL after\r\nGET after\r\nEXISTS after\r\nINCR after\r\nTYPE after\r\nTTL after\r\nMGET after " +
			"nope\r\nSTRLEN after\r\nEXISTS after after",
			":1\r\n$-1\r\n:0\r\n:1\r\n+string\r\n:-1\r\n*2\r\n$1\r\n1\r\n$-1\r\n:1\r\n:2\r\n",
			":1\r\n_\r\n:0\r\n:1\r\n+string\r\n:-1\r\n*2\r\n$1\r\n1\r\n_\r\n:1\r\n:2\r\n"},
		{"GCD.RESET after\r\nGCD.INFO after", "+OK\r\n*4\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:2\r\n",
			"+OK\r\n%2\r\n$3\r\nsum\r\n$1\r\n0\r\n$5\r\nepoch\r\n:2\r\n"},
		{"INCR after\r\nGET " + strings.Repeat("y", 1001) +
			"\r\nPING\r\nINCR after\r\nPING x\r\nNOSUCH\r\nINCR after",
			":1\r\n$-1\r\n+PONG\r\n:2\r\n$1\r\nx\r\n-ERR unknown command 'NOSUCH', with args beginning with: " +
				"\r\n:3\r\n",
			":1\r\n_\r\n+PONG\r\n:2\r\n$1\r\nx\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n:3\r\n"},
		{"INCR after\r\nGETSET after 0\r\nGETDEL after\r\nINCR after\r\nSET after 0\r\nINCR after",
			":4\r\n$1\r\n4\r\n$-1\r\n:1\r\n+OK\r\n:1\r\n", ":4\r\n$1\r\n4\r\n_\r\n:1\r\n+OK\r\n:1\r\n"},
	},
	"unknown": {
		{"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n", ""},
		{`foo bar "baz q"`, "-ERR unknown command 'foo', with args beginning with: 'bar' 'baz q' \r\n", ""},
		{`"" x`, "-ERR unknown command '', with args beginning with: 'x' \r\n", ""},
		{`"a\r\nb"`, "-ERR unknown command 'a  b', with args beginning with: \r\n", ""},
		{strings.Repeat("x", 1000) + " y",
			"-ERR unknown command '" + strings.Repeat("x", 128) + "', with args beginning with: 'y' \r\n", ""},
		{"LPUSH list 1", "-ERR unknown command 'LPUSH', with args beginning with: 'list' '1' \r\n", ""},
		{"incr\x0ex y", "-ERR unknown command 'incr\x0ex', with args beginning with: 'y' \r\n", ""},
		{"PI\x00NG x\x00y", "-ERR unknown command 'PI', with args beginning with: 'x' \r\n", ""},
		{"ECHO a\x00b", "$3\r\na\x00b\r\n", ""},
	},
}

func TestRESPTopics(t *testing.T) {
	t.Parallel()
	runScripts(t, scripts)
}

// runScripts has each conversation over a connection of its own, in both versions and dispatches.
func runScripts(t *testing.T, scripts map[string]script) {
	t.Helper()
	eachCarriedRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				c := dialRESP(t, s, version)
				for _, line := range script {
					want := line.second
					if version == 3 && line.third != "" {
						want = line.third
					}
					say(t, c, strings.TrimSuffix(line.in, "\r\n")+"\r\n", want)
				}
			})
		}
	})
}

// Every refused command says why, and changes nothing.
func TestRESPRefusedCommands(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, "INCRBY kept 7\r\n", ":7\r\n")
		before := st.Stats()
		for _, command := range []string{"DECR kept", "DECRBY kept 1", "INCRBYFLOAT kept 1", "APPEND kept 1",
			"SETRANGE kept 0 9", "SETNX kept 0", "SETEX kept 1 0",
			"PSETEX kept 1 0", "MSET kept 0", "MSETNX kept 0", "GETEX kept", "EXPIRE kept 1", "PEXPIRE kept 1",
			"EXPIREAT kept 1", "PERSIST kept",
			"FLUSHALL", "FLUSHDB ASYNC", "RENAME kept other", "COPY kept other", "MOVE kept 1", "RESTORE kept 0 x",
			"SWAPDB 0 1",
			"WATCH kept", "SUBSCRIBE kept", "PUBLISH kept 1", "EVAL 'return 1' 0", "SCRIPT FLUSH", "REPLICAOF NO ONE",
			"SAVE", "BGSAVE", "SHUTDOWN NOSAVE",
			"MONITOR", "DEBUG SLEEP 1", "MEMORY USAGE kept", "OBJECT ENCODING kept"} {
			name, _, _ := strings.Cut(command, " ")
			send(t, c, []byte(command+"\r\n"))
			got := readUntil(t, c, "\r\n")
			if !strings.HasPrefix(got, "-ERR "+name+" is not supported: ") || len(got) < 45 {
				t.Errorf("%s was answered %q, want that it is not supported, and what to do", command, got)
			}
		}
		for _, command := range []string{"CLUSTER INFO", "CLUSTER SLOTS", "READONLY", "READWRITE", "ASKING"} {
			say(t, c, command+"\r\n", "-ERR This instance has cluster support disabled\r\n")
		}
		if after := st.Stats(); after != before {
			t.Errorf("the store did %+v, and before it had done %+v", after, before)
		}
		say(t, c, "GET kept\r\n", "$1\r\n7\r\n")
	})
}
