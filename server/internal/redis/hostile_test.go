package redis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/resp"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// What somebody may try who wants more than he may.

// begun is a client in the middle of a listing that needs many turns, over foreign topics and one
// that is his, with more commands after it.
func begun(t *testing.T, l *lab, token, line, more string) (*Session, session.Action) {
	t.Helper()
	c := l.connect()
	for i := range 3 * maxLook {
		l.backend.Set(fmt.Sprintf("foreign/%d", i), uint64(1-min(1, i%10)))
	}
	l.backend.Set("mine/1", 1)
	l.ask(t, c, "AUTH "+token)
	a := c.Advance(session.Event{Kind: session.Bytes, Bytes: []byte(line + "\r\n" + more), Drained: true})
	for range 2 {
		if a.Next != session.Look {
			t.Fatalf("%q says %d, want Look", line, a.Next)
		}
		a = c.Advance(session.Event{Kind: session.Turn})
	}
	if a.Next != session.Look || !strings.Contains(string(c.x.listing.found), "foreign/") {
		t.Fatalf("%q says %d, and has found %d bytes; want Look, and some", line, a.Next, c.x.listing.size())
	}
	return c, a
}

// A listing that goes on when the rules change shows nothing that was found by the old ones; and if
// it may not go on, what follows it is done once.
func TestRulesChangeDuringAListing(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"KEYS *", "SCAN 0 COUNT 4096 MATCH foreign/9*", "SCAN 0 COUNT 4096"} {
		for _, grants := range []string{"count:", "count: read:mine/"} {
			rules, tokens := rulesOf(t, "somebody token count: read:")
			l, now := guarded(rules, nil)
			narrower, err := access.Parse("rules", []byte(strings.Replace(rules.String(), "count: read:", grants, 1)))
			if err != nil {
				t.Fatal(err)
			}
			c, a := begun(t, l, tokens["somebody"], line, "INCRBY mine/2 5\r\nSCAN 0 COUNT 4096\r\nPING\r\n")
			now.Store(narrower)
			got := ""
			for range 100 {
				switch a.Next {
				case session.Commit:
					a.Group.Done = func(*core.Group) {}
					l.backend.Submit(a.Group)
					l.backend.Commit()
					l.door.gate.Done(a.Claim)
					a = c.Advance(session.Event{Kind: session.Outcome})
				case session.Write:
					got += string(a.Out)
					a = c.Advance(session.Event{Kind: session.Written})
				case session.Again, session.Look:
					a = c.Advance(session.Event{Kind: session.Turn})
				}
			}
			if a.Next != session.Read || !strings.HasSuffix(got, "+PONG\r\n") || strings.Count(got, ":5\r\n") != 1 {
				t.Errorf("%q, and then %q: says %d, answered %.300q", line, grants, a.Next, got)
			}
			if strings.Contains(got, "foreign") {
				t.Errorf("%q, and then %q: foreign topics are in the answer: %.100q", line, grants, got)
			}
		}
	}
}

// What was reset is written down with the name of who did it, though he says in the same breath
// that he is somebody else.
func TestAuditNamesWhoDidIt(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token count: reset:", "web token count:web/", "anonymous -")
	for _, after := range []string{"AUTH web " + tokens["web"], "HELLO 3 AUTH web " + tokens["web"], "RESET",
		"AUTH x"} {
		var lines bytes.Buffer
		l, _ := guarded(rules, audit.To(&lines))
		c := l.connect()
		l.ask(t, c, "AUTH "+tokens["ops"]+"\r\nINCR a\r\nDEL a\r\nINCR a\r\nMULTI\r\nDEL a\r\nEXEC\r\nINCR a\r\n"+
			"GCD.RESET a\r\n"+after)
		got := lines.String()
		for _, event := range []string{"delete", "reset"} {
			if !strings.Contains(got, fmt.Sprintf(`"event":%q,"principal":"ops"`, event)) {
				t.Errorf("with %.8q after it a %s is written down as:\n%s", after, event, got)
			}
		}
	}
}

// No log has a token, or the most of one, whatever a client does wrong with it.
func TestNoLogHasAToken(t *testing.T) {
	t.Parallel()
	token, _ := access.NewToken()
	rules, tokens := rulesOf(t, "ops token count: reset: admin")
	for _, token := range []string{token, tokens["ops"]} {
		for name, in := range map[string]string{
			"as the name":      "AUTH " + token + " x\r\n",
			"as both":          "HELLO 3 AUTH " + token + " " + token + "\r\n",
			"wrong length":     "*2\r\n$4\r\nAUTH\r\n$46\r\n" + token + "\r\n",
			"part of it":       "*2\r\n$4\r\nAUTH\r\n$47\r\n" + token[:45],
			"as the command":   token + "\r\n",
			"an inline one":    "AUTH \"" + token + "\r\n",
			"part of a line":   "AUTH " + token,
			"in a transaction": "MULTI\r\nAUTH " + token + "\r\n",
		} {
			var log, lines bytes.Buffer
			l := newLab(func(o *Options, g *gate.Options) {
				g.Rules, g.Audit = func() *access.Rules { return rules }, audit.To(&lines)
				g.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace})
			})
			c := l.connect()
			if _, a := hear(c, in); a.Next == session.Read && a.Clock != session.Unhurried {
				goOn(c, session.Event{Kind: session.Late})
			}
			for _, text := range []string{log.String(), lines.String()} {
				if strings.Contains(text, token[4:12]) || strings.Contains(text, token[20:30]) {
					t.Errorf("%s: a token is in\n%s", name, text)
				}
			}
		}
	}
}

// Who may nothing cannot have the audit log fill a disk, or push out who has done something.
func TestAuditOfWhatIsDeniedIsBounded(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token count: reset:")
	var lines bytes.Buffer
	l, _ := guarded(rules, audit.To(&lines))
	ops := l.connect()
	l.ask(t, ops, "AUTH "+tokens["ops"])
	const each = 5000
	for range 4 {
		hear(l.connect(), strings.Repeat("INCR x\r\n", each))
		l.ask(t, ops, "INCR a\r\nDEL a")
	}
	got := lines.String()
	if n := strings.Count(got, `"event":"denied"`); n < 10 || n > each {
		t.Errorf("of %d that were denied %d are written down", 4*each, n)
	}
	if n := strings.Count(got, `"event":"delete"`); n != 4 {
		t.Errorf("of 4 resets %d are written down", n)
	}
	if st := l.door.gate.Stats(); st.Refused[21] != 4*each {
		t.Errorf("counted %v", st.Refused)
	}
}

// What is held for those who may nothing takes no room from others: they can be many.
func TestNothingIsHeldForNobody(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 600<<10)
	for name, in := range map[string]string{
		"a long command":          "*2\r\n$4\r\nECHO\r\n$614400\r\n" + big,
		"a long token":            "*2\r\n$4\r\nAUTH\r\n$614400\r\n" + big,
		"an announcement":         "*2\r\n$4\r\nECHO\r\n$614400\r\n" + big[:20<<10],
		"a long line":             "AUTH " + big[:60<<10],
		"a transaction":           "MULTI\r\n" + strings.Repeat("ECHO "+big[:100]+"\r\n", 1000),
		"answers that are a lot":  strings.Repeat("COMMAND DOCS\r\n", 10),
		"answers to what is long": strings.Repeat("ECHO "+big[:1000]+"\r\n", 1000),
	} {
		rules, tokens := rulesOf(t, "ops token count:", "anonymous -")
		for who, limit := range map[string]int{"nobody": 0, tokens["ops"]: 4 << 20} {
			l, _ := guarded(rules, nil)
			c := l.connect()
			if who != "nobody" {
				l.ask(t, c, "AUTH "+who)
			}
			most := int64(0)
			for rest := in; rest != ""; {
				n := min(len(rest), 64<<10)
				a := c.Advance(session.Event{Kind: session.Bytes, Bytes: []byte(rest[:n]), Drained: true})
				rest = rest[n:]
				for a.Next == session.Write || a.Next == session.Again {
					if a.Next == session.Write && !c.Untaken() {
						a = session.Action{Next: session.Close}
						break
					}
					most = max(most, l.door.gate.Stats().Held)
					if a.Next == session.Write {
						a = c.Advance(session.Event{Kind: session.Written})
					} else {
						a = c.Advance(session.Event{Kind: session.Turn})
					}
				}
				most = max(most, l.door.gate.Stats().Held)
				if a.Next == session.Close || a.Next == session.Linger {
					break
				}
			}
			if most > int64(limit) {
				t.Errorf("%s: %d bytes are held for %.6s, want at most %d", name, most, who, limit)
			}
			if limit > 0 && most == 0 && name != "a long line" {
				t.Errorf("%s: nothing is held for who has a right", name)
			}
		}
	}
}

// Who has no right at all has to say in time who he is: he keeps a place that others need.
func TestNobodyMayNotBeSilent(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token count:", "nothing token")
	for in, stays := range map[string]bool{"PING\r\n": false, "MULTI\r\n": false,
		"AUTH " + tokens["nothing"] + "\r\n": false, "AUTH " + tokens["ops"] + "\r\n": true,
		"AUTH " + tokens["ops"] + "\r\nRESET\r\n": false} {
		l, _ := guarded(rules, nil)
		c := l.connect()
		_, a := hear(c, in)
		if silent := a.Clock == session.Unhurried; a.Next != session.Read || silent != stays {
			t.Errorf("after %.8q it says %d, by clock %d", in, a.Next, a.Clock)
		}
		if stays {
			continue
		}
		got, a := goOn(c, session.Event{Kind: session.Late})
		if !strings.HasPrefix(got, "-NO") || a.Next != session.Linger {
			t.Errorf("after %.8q and silence it was answered %q, and then %d comes", in, got, a.Next)
		}
	}
}

// Connections that do nothing keep no old rules.
func TestIdleConnectionsKeepNoOldRules(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token count:", "anonymous - read:")
	l, now := guarded(rules, nil)
	c := l.connect()
	l.ask(t, c, "AUTH "+tokens["ops"])
	never := l.connect()
	old := weak.Make(rules)
	again, err := access.Parse("rules", []byte(rules.String()))
	if err != nil {
		t.Fatal(err)
	}
	rules = nil
	now.Store(again)
	for range 3 {
		runtime.GC()
	}
	if old.Value() != nil {
		t.Error("the old rules are in memory still")
	}
	if got := l.ask(t, c, "INCR x"); got != ":1\r\n" {
		t.Errorf("by the new ones a count was answered %q", got)
	}
	if got := l.ask(t, never, "GET x"); got != "$1\r\n1\r\n" {
		t.Errorf("by the new ones who has shown nothing was answered %q", got)
	}
}

// backupConn takes what it is sent, and has something happen after the first part.
type backupConn struct {
	got  []byte
	then func()
}

func (c *backupConn) SetWriteDeadline(time.Time) error { return nil }

func (c *backupConn) Write(b []byte) (int, error) {
	c.got = append(c.got, b...)
	if c.then != nil {
		c.then()
		c.then = nil
	}
	return len(b), nil
}

// A backup that is under way ends when the right to it is taken away, and not as if it were whole.
func TestBackupEndsWithTheRightToIt(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token backup count:")
	for change, want := range map[string]bool{"backup count:": true, "backup": true, "count:": false} {
		l, now := guarded(rules, nil)
		l.door.opts.WriteTimeout = time.Hour
		var failed error
		l.door.opts.Backup = func(_ context.Context, w io.Writer, _ string) error {
			for range 10 {
				if _, failed = w.Write(make([]byte, backupChunk)); failed != nil {
					return failed
				}
			}
			return nil
		}
		c := l.connect()
		l.ask(t, c, "AUTH "+tokens["ops"])
		if _, a := hear(c, "GCD.BACKUP\r\n"); a.Next != session.Detach {
			t.Fatalf("it says %d, want Detach", a.Next)
		}
		conn := &backupConn{then: func() {
			others, err := access.Parse("rules", []byte(strings.Replace(rules.String(), "count: backup", change, 1)))
			if err != nil {
				t.Error(err)
			}
			now.Store(others)
		}}
		if goesOn := c.Detached(conn); goesOn != want {
			t.Errorf("with %q the connection goes on: %t", change, goesOn)
		}
		if whole := bytes.HasSuffix(conn.got, []byte(";0\r\n")); whole != want || (failed == nil) != want {
			t.Errorf("with %q the backup is whole: %t, its error %v", change, whole, failed)
		}
	}
}

// A command of many topics of which the last is foreign is refused once, and a pipeline of what is
// denied has turns as short as any other.
func TestDeniedCommandsAreBounded(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "web token count:web/ read:web/")
	var lines bytes.Buffer
	l, _ := guarded(rules, audit.To(&lines))
	c := l.connect()
	l.ask(t, c, "AUTH "+tokens["web"])
	const denial = "-NOPERM No permissions to access a key\r\n"
	for _, line := range []string{"MGET" + strings.Repeat(" web/x", 60_000) + " x",
		"EXISTS x" + strings.Repeat(" y", 60_000)} {
		words := strings.Fields(line)
		in := resp.AppendArray(nil, len(words))
		for _, word := range words {
			in = resp.AppendBulk(in, word)
		}
		if got := l.ask(t, c, string(in)); got != denial {
			t.Errorf("%.20q was answered %.200q", line, got)
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != 2 || l.door.gate.Stats().Refused[22] != 2 {
		t.Errorf("%d lines, %v", n, l.door.gate.Stats().Refused)
	}

	turns := func(line string) (n int) {
		in := []byte(strings.Repeat(line+"\r\n", 1000))
		a := c.Advance(session.Event{Kind: session.Bytes, Bytes: in, Drained: true})
		for ; a.Next != session.Read; n++ {
			if n > 1 && !a.Greedy {
				t.Errorf("after %d turns with %q it is not known to ask for much", n, line)
			}
			kind := session.Turn
			if a.Next == session.Write {
				kind = session.Written
			}
			a = c.Advance(session.Event{Kind: kind})
		}
		return n
	}
	l.door.gate.FullTime, l.door.gate.SharedTime = 0, 0 // a turn is over when the clock is looked at
	for _, line := range []string{"INCR x", "GET x", "INFO", "GCD.BACKUP", "MGET web/x x"} {
		if denied, others := turns(line), turns("ECHO x"); denied != others {
			t.Errorf("%q is denied in %d turns, others have %d", line, denied, others)
		}
	}
	c.worker.Flush(time.Second)
	calls, rejected := l.door.commands["get"].use.calls.Load(), l.door.Rejected("get")
	if calls != 0 || rejected != 1000 {
		t.Errorf("GET has %d calls, and %d that were refused before", calls, rejected)
	}
	if n := l.door.gate.Errors[gate.Word("NOPERM")].Load(); n != 5002 {
		t.Errorf("%d errors with NOPERM", n)
	}
}
