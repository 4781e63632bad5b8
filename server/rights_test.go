package server_test

import (
	"bufio"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/server"
)

// rules are those of a text.
func rules(t *testing.T, text string) *access.Rules {
	t.Helper()
	r, err := access.Parse("rules", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRightsOfTheNativeProtocol: each opcode, with each right, over everything, over the topic and
// over another one, of who comes without a name, and of nobody: what is not allowed is refused and
// not done.
func TestRightsOfTheNativeProtocol(t *testing.T) {
	t.Parallel()
	eachNetwork(t, []string{"tcp", "udp"}, func(t *testing.T, network string, o server.Options) {
		var now atomic.Pointer[access.Rules]
		now.Store(rules(t, "anonymous -\n"))
		o.Rules = now.Load
		s, f := serveFake(t, o)
		want := uint64(0) // the sum of own/x
		for right := access.Count; right <= access.Admin; right++ {
			for _, prefix := range []string{"", "own/", "other/"} {
				grant := right.String()
				if right <= access.Read {
					grant += ":" + prefix
				} else if prefix != "" {
					continue
				}
				for _, principal := range []string{"anonymous - " + grant + "\n", "local unix " + grant + "\n"} {
					now.Store(rules(t, principal))
					refused := byte(21) // nobody
					if strings.HasPrefix(principal, "anonymous") {
						refused = 22
					}
					reached := prefix != "other/" && strings.HasPrefix(principal, "anonymous")
					got := ask(t, network, s.addr(network), count("own/x"))
					if reached && right == access.Count {
						want++
						wantAnswer(t, got, 128, byte(want))
					} else {
						wantRefusal(t, network, got, refused)
					}
					if got = ask(t, network, s.addr(network), reset("own/x")); reached && right == access.Reset {
						want = 0
						wantAnswer(t, got, 129)
					} else {
						wantRefusal(t, network, got, refused)
					}
					if sum := f.state()["own/x"]; sum != want {
						t.Fatalf("%q: the sum is %d, want %d", principal, sum, want)
					}
				}
			}
		}
		if st := s.Stats(); st.Refused[21] == 0 || st.InFlight != 0 {
			t.Errorf("%v refused, %d in flight", st.Refused, st.InFlight)
		}
	})
}

// TestRightsOverRESP: the cells that a server has over RESP, in one conversation; what each command
// needs is looked at in package redis.
func TestRightsOverRESP(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		token, secret := access.NewToken()
		var now atomic.Pointer[access.Rules]
		now.Store(rules(t, "web "+secret+" count:web/ read:web/\nanonymous - read:public/\n"))
		o.Rules = now.Load
		s, _ := serveFake(t, o)
		c := dialRESP(t, s, 2)
		send(t, c, []byte("GET public/x\r\nINCR web/x\r\nAUTH web x\r\nAUTH web "+token+"\r\nINCR web/x\r\nINCR x\r\n"+
			"MGET web/x x\r\nGCD.RESET web/x\r\nGCD.BACKUP\r\nINFO\r\nGET web/x\r\n"))
		const noKey = "-NOPERM No permissions to access a key\r\n"
		readUntil(t, c, "$-1\r\n"+noKey+
			"-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n:1\r\n"+noKey+noKey+noKey+
			"-NOPERM User web has no permissions to run the 'gcd.backup' command\r\n"+
			"-NOPERM User web has no permissions to run the 'info' command\r\n$1\r\n1\r\n")
		now.Store(rules(t, "web "+secret+" count:web/ admin\n"))
		send(t, c, []byte("GET web/x\r\n"))
		readUntil(t, c, noKey)
		send(t, c, []byte("CLIENT LIST\r\n"))
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "$") {
			t.Fatalf("CLIENT LIST was answered %q, %v", line, err)
		}
	})
}

// TestAuditOfTheNativeProtocol: who resets, and who tries what he may not, is written down, over
// connections and datagrams.
func TestAuditOfTheNativeProtocol(t *testing.T) {
	t.Parallel()
	eachNetwork(t, []string{"tcp", "udp"}, func(t *testing.T, network string, o server.Options) {
		var lines lockedBuffer
		anonymous := rules(t, "anonymous - count: reset:own/\n")
		o.Rules, o.Audit = func() *access.Rules { return anonymous }, audit.To(&lines)
		s, _ := serveFake(t, o)
		for _, msg := range [][]byte{count("own/x"), reset("own/x"), reset("x")} {
			ask(t, network, s.addr(network), msg)
		}
		s.stop(t)
		got := lines.String()
		for _, want := range []string{
			`"event":"reset","principal":"anonymous"`, `"topic":"own/x","epoch":1`,
			`"event":"denied","principal":"anonymous"`, `"topic":"x","reason":"no right to reset"`,
			fmt.Sprintf(`"door":%q`, network),
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the audit log has no %s:\n%s", want, got)
			}
		}
		if n := strings.Count(got, "\n"); n != 2 {
			t.Errorf("%d lines, want 2:\n%s", n, got)
		}
	})
}
