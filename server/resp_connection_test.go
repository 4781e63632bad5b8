package server_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gcd/server"
)

// hello is the answer to HELLO.
func hello(version int) string {
	head := "*14\r\n"
	if version == 3 {
		head = "%7\r\n"
	}
	return head + `\$6\r\nserver\r\n\$5\r\nredis\r\n\$7\r\nversion\r\n\$5\r\n7\.2\.0\r\n\$5\r\nproto\r\n:` +
		fmt.Sprint(version) + `\r\n\$2\r\nid\r\n:\d+\r\n` +
		`\$4\r\nmode\r\n\$10\r\nstandalone\r\n\$4\r\nrole\r\n\$6\r\nmaster\r\n\$7\r\nmodules\r\n\*0\r\n`
}

// sayMatching sends a command and expects an answer that matches.
func sayMatching(t *testing.T, s *running, version int, in, want string) string {
	t.Helper()
	c := dialRESP(t, s, version)
	send(t, c, []byte(in+"\r\nECHO end\r\n"))
	got := readUntil(t, c, "$3\r\nend\r\n")
	if !regexp.MustCompile(`(?s)^` +
		strings.ReplaceAll(strings.ReplaceAll(want, "*14\r\n", `\*14\r\n`), "%7\r\n", `%7\r\n`) +
		`$`).MatchString(got) {
		t.Errorf("%q was answered %q, want %s", in, got, want)
	}
	return got
}

func TestRESPHello(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		sayMatching(t, s, version, "HELLO", hello(version))
		sayMatching(t, s, version, "HELLO 2", hello(2))
		sayMatching(t, s, version, "HELLO 3", hello(3))
		sayMatching(t, s, version, "hello 3 setname me\r\nCLIENT GETNAME", hello(3)+`\$2\r\nme\r\n`)
		// The version holds from its answer on, and not before.
		sayMatching(t, s, 2,
			"INCR hello\r\nGET nope\r\nHELLO 3\r\nGET nope\r\nHELLO 2\r\nGET nope\r\nDEL hello\r\nGET nope\r\nHELLO "+
				"3\r\nRESET\r\nGET nope",
			`:1\r\n\$-1\r\n`+hello(3)+`_\r\n`+hello(2)+`\$-1\r\n:1\r\n\$-1\r\n`+hello(3)+`\+RESET\r\n\$-1\r\n`)
		for in, want := range map[string]string{
			"HELLO 4":               `-NOPROTO unsupported protocol version\r\n`,
			"HELLO 1":               `-NOPROTO unsupported protocol version\r\n`,
			"HELLO x":               `-ERR Protocol version is not an integer or out of range\r\n`,
			"HELLO 3 AUTH u p":      `-ERR AUTH <password> called without any password configured.*`,
			"HELLO 3 AUTH u":        `-ERR Syntax error in HELLO option 'AUTH'\r\n`,
			"HELLO 3 SETNAME":       `-ERR Syntax error in HELLO option 'SETNAME'\r\n`,
			`HELLO 3 SETNAME "a b"`: `-ERR Client names cannot contain spaces, newlines or special characters\.\r\n`,
			"CLIENT SETNAME " + strings.Repeat("x", 257): `-ERR Client names cannot have more than 256 bytes\r\n`,
			`CLIENT SETINFO LIB-ver "a\nb"`: `-ERR LIB-ver cannot contain spaces, newlines or special ` +
				`characters\.\r\n`,
			"HELLO 3 WHAT":            `-ERR Syntax error in HELLO option 'WHAT'\r\n`,
			"HELLO 3 WHAT\r\nGET nah": `-ERR Syntax error in HELLO option 'WHAT'\r\n(_|\$-1)\r\n`,
		} {
			sayMatching(t, s, version, in, want)
		}
		// What was refused has set nothing.
		sayMatching(t, s, 2, "HELLO 3 SETNAME x WHAT\r\nGET nah\r\nCLIENT GETNAME",
			`-ERR Syntax error in HELLO option 'WHAT'\r\n\$-1\r\n\$-1\r\n`)
	})
}

func TestRESPConnection(t *testing.T) {
	t.Parallel()
	eachRESP(t, func(t *testing.T, o server.Options, version int) {
		s, _ := serveMemory(t, o)
		null := `\$-1\r\n`
		text, nothing := `\$\d+\r\n`, `\$0\r\n\r\n`
		tracking := `\*6\r\n\$5\r\nflags\r\n\*1\r\n\$3\r\noff\r\n\$8\r\nredirect\r\n:-1\r\n\$8\r\nprefixes\r\n\*0\r\n`
		if version == 3 {
			null, text, nothing = `_\r\n`, `=\d+\r\ntxt:`, `=4\r\ntxt:\r\n`
			tracking = `%3\r\n\$5\r\nflags\r\n~1\r\n\$3\r\noff\r\n\$8\r\nredirect\r\n:-1\r\n\$8\r\nprefixes\r\n\*0\r\n`
		}
		for in, want := range map[string]string{
			"PING":     `\+PONG\r\n`,
			"PING hi":  `\$2\r\nhi\r\n`,
			"PING a b": `-ERR wrong number of arguments for 'ping' command\r\n`,
			"ECHO hi":  `\$2\r\nhi\r\n`,
			"ECHO":     `-ERR wrong number of arguments for 'echo' command\r\n`,
			"SELECT 0": `\+OK\r\n`,
			"SELECT 1": `-ERR DB index is out of range\r\n`,
			"SELECT 2147483648": `-ERR value is out of range, value must between -2147483648 and ` +
				`2147483647\r\n`,
			"SELECT x": `-ERR value is not an integer or out of range\r\n`,
			"AUTH secret": `-ERR AUTH <password> called without any password configured for the ` +
				`default user.*`,
			"AUTH default secret": `-ERR AUTH <password> called without any password configured for the ` +
				`default user.*`,
			"AUTH a b c":                    `-ERR syntax error\r\n`,
			"CLIENT ID":                     `:\d+\r\n`,
			"CLIENT GETNAME":                null,
			"CLIENT SETNAME a-b":            `\+OK\r\n`,
			`CLIENT SETNAME "a b"`:          `-ERR Client names cannot contain spaces.*`,
			"CLIENT SETINFO lib-name go":    `\+OK\r\n`,
			"client setinfo LIB-VER 9.1":    `\+OK\r\n`,
			"CLIENT SETINFO other 1":        `-ERR Unrecognized option 'other'\r\n`,
			`CLIENT SETINFO lib-name "a b"`: `-ERR lib-name cannot contain spaces.*`,
			"CLIENT SETINFO lib-name":       `-ERR wrong number of arguments for 'client\|setinfo' command\r\n`,
			"CLIENT GETNAME x":              `-ERR wrong number of arguments for 'client\|getname' command\r\n`,
			"CLIENT NO-EVICT ON":            `\+OK\r\n`,
			"CLIENT NO-TOUCH off":           `\+OK\r\n`,
			"CLIENT NO-TOUCH maybe":         `-ERR syntax error\r\n`,
			"CLIENT MAINT_NOTIFICATIONS ON": `-ERR unknown subcommand 'MAINT_NOTIFICATIONS'\. Try CLIENT HELP\.\r\n`,
			"CLIENT TRACKING ON":            `-ERR unknown subcommand 'TRACKING'\. Try CLIENT HELP\.\r\n`,
			"CLIENT":                        `-ERR wrong number of arguments for 'client' command\r\n`,
			"CLIENT SETNAME me\r\nCLIENT SETINFO LIB-NAME lib\r\nCLIENT INFO": `\+OK\r\n\+OK\r\n` + text +
				`id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ name=me age=\d+ idle=0 flags=N db=0 sub=0 ` +
				`psub=0 .*multi=-1 qbuf=0 .* redir=-1 resp=` + fmt.Sprint(version) + ` lib-name=lib lib-ver=\n\r\n`,
			"CLIENT SETNAME me\r\nRESET\r\nCLIENT GETNAME": `\+OK\r\n\+RESET\r\n\$-1\r\n`,
			"CLIENT LIST": text +
				`(id=\d+ addr=\S+ laddr=\S+ name=\S* age=\d+ idle=0 flags=N db=0 sub=0 psub=0 .*multi=-1 qbuf=0 .* ` +
				`resp=[23] lib-name=\S* lib-ver=\S*\n)+\r\n`,
			"CLIENT LIST TYPE normal":            text + `(id=.*\n)+\r\n`,
			"CLIENT LIST TYPE pubsub":            nothing,
			"CLIENT LIST type MASTER":            nothing,
			"CLIENT LIST TYPE foo":               `-ERR Unknown client type 'foo'\r\n`,
			"CLIENT LIST TYPE":                   `-ERR syntax error\r\n`,
			"CLIENT LIST ID 999999 1000000":      nothing,
			"CLIENT LIST ID x":                   `-ERR Invalid client ID\r\n`,
			"CLIENT LIST ID 0":                   nothing,
			"CLIENT LIST ID -1 0":                nothing,
			"CLIENT LIST ID 9223372036854775808": `-ERR Invalid client ID\r\n`,
			"CLIENT LIST ID":                     `-ERR syntax error\r\n`,
			"CLIENT LIST FOO":                    `-ERR syntax error\r\n`,
			"CLIENT TRACKINGINFO":                tracking,
			"CLIENT TRACKINGINFO x": `-ERR wrong number of arguments for 'client\|trackinginfo' ` +
				`command\r\n`,
			"CLIENT GETREDIR": `:-1\r\n`,
			"ROLE":            `\*3\r\n\$6\r\nmaster\r\n:0\r\n\*0\r\n`,
			"TIME":            `\*2\r\n\$10\r\n\d{10}\r\n\$\d\r\n\d{1,6}\r\n`,
			"WAIT 0 100":      `:0\r\n`,
			"WAIT -1 0":       `:0\r\n`,
			"WAIT x 0":        `-ERR value is not an integer or out of range\r\n`,
			"WAIT 0 x":        `-ERR timeout is not an integer or out of range\r\n`,
			"WAIT 0 -1":       `-ERR timeout is negative\r\n`,
			"MODULE LIST":     `\*0\r\n`,
			"MODULE LIST x":   `-ERR wrong number of arguments for 'module\|list' command\r\n`,
			"MODULE LOAD x":   `-ERR unknown subcommand 'LOAD'\. Try MODULE HELP\.\r\n`,
			"EXEC":            `-ERR EXEC without MULTI\r\n`,
			"DISCARD":         `-ERR DISCARD without MULTI\r\n`,
		} {
			sayMatching(t, s, version, in, want)
		}
	})
}

// Connections see each other, in the order in which they came, and are forgotten when they end.
func TestRESPClientList(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		first := dialRESP(t, s, 2)
		say(t, first, "CLIENT SETNAME first\r\n", "+OK\r\n")
		second := dialRESP(t, s, 3)
		say(t, second, "CLIENT SETNAME second\r\n", "+OK\r\n")
		list := func() string {
			send(t, first, []byte("CLIENT LIST\r\nECHO end\r\n"))
			return readUntil(t, first, "$3\r\nend\r\n")
		}
		got := list()
		if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != 3 ||
			!strings.Contains(lines[1], "name=first ") || !strings.Contains(lines[2], "name=second ") ||
			!strings.Contains(lines[2], second.LocalAddr().String()) {
			t.Errorf("the list is %q", got)
		}
		send(t, second, []byte("CLIENT ID\r\nECHO end\r\n"))
		id := strings.Trim(readUntil(t, second, "$3\r\nend\r\n"), ":\r\n")
		send(t, first, []byte("CLIENT LIST ID 999 "+id+"\r\nECHO end\r\n"))
		got = readUntil(t, first, "$3\r\nend\r\n")
		if strings.Count(got, "id=") != 1 || !strings.Contains(got, " name=second ") ||
			!strings.Contains(got, " laddr="+s.addr("tcp")+" ") || !strings.Contains(got, " resp=3 ") {
			t.Errorf("the list of one is %q", got)
		}
		send(t, second, []byte("QUIT\r\n"))
		if got := string(answer(t, second)); got != "+OK\r\n" {
			t.Errorf("QUIT was answered %q", got)
		}
		second.Close()
		eventually(t, "it is forgotten", func() bool { return !strings.Contains(list(), "name=second ") })
	})
}

func TestRESPQuit(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, st := serveMemory(t, o)
		for _, in := range []string{"QUIT\r\n", "INCR quit\r\nQUIT\r\nINCR never\r\n", "*1\r\n$4\r\nquit\r\n"} {
			c := dialRESP(t, s, 2)
			send(t, c, []byte(in))
			if got := string(answer(t, c)); got != "+OK\r\n" && got != ":1\r\n+OK\r\n" {
				t.Errorf("%q was answered %q", in, got)
			}
		}
		if v, _ := st.Get("never"); v.Sum != 0 {
			t.Error("a command after QUIT was run")
		}
	})
}

// An empty line asks for nothing and is not answered, also where it is the first.
func TestRESPBeginsWithAnEmptyLine(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, _ := serveMemory(t, o)
		for _, in := range []string{"\r\n", "\n", "\r\n\r\n*0\r\n"} {
			c := dial(t, "tcp", s.addr("tcp"))
			say(t, c, in, "")
			say(t, c, "PING\r\n", "+PONG\r\n")
		}
		o.NoRESP = true
		s, _ = serveMemory(t, o)
		wantRefusal(t, "tcp", ask(t, "tcp", s.addr("tcp"), []byte("\r\n")), 2)
	})
}
