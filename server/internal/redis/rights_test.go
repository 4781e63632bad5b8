package redis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// rulesOf are the rules of lines, each a name, how it is known ("token", "-" or "unix") and rights;
// and the tokens of those names that have one.
func rulesOf(t testing.TB, lines ...string) (*access.Rules, map[string]string) {
	t.Helper()
	text, tokens := "", make(map[string]string)
	for _, line := range lines {
		words := strings.Fields(line)
		if words[1] == "token" {
			tokens[words[0]], words[1] = access.NewToken()
		}
		text += strings.Join(words, " ") + "\n"
	}
	rules, err := access.Parse("rules", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules, tokens
}

// guarded is a lab with rules, which may be changed.
func guarded(rules *access.Rules, log *audit.Log) (*lab, *atomic.Pointer[access.Rules]) {
	var now atomic.Pointer[access.Rules]
	now.Store(rules)
	return newLab(func(_ *Options, o *gate.Options) { o.Rules, o.Audit = now.Load, log }), &now
}

// connect is a client of the lab.
func (l *lab) connect() *Session {
	return l.door.NewWorker(&l.world(false).Worker, false).NewSession(l.peer, netip.AddrPort{})
}

// ask says a line and returns what it is answered, when its operations were done.
func (l *lab) ask(t *testing.T, c *Session, line string) string {
	t.Helper()
	out, a := hear(c, line+"\r\n")
	for a.Next == session.Commit {
		a.Group.Done = func(*core.Group) {}
		l.backend.Submit(a.Group)
		l.backend.Commit()
		l.door.gate.Done(a.Claim)
		more := ""
		more, a = goOn(c, session.Event{Kind: session.Outcome})
		out += more
	}
	return out
}

// everyCommand calls each with all commands that there are, and their subcommands.
func everyCommand(each func(c *command)) {
	for _, c := range allCommands() {
		each(c)
		for _, sub := range c.subs {
			each(sub)
		}
	}
}

// A command says what its client needs, or it is none.
func TestEveryCommandSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	everyCommand(func(c *command) {
		ofTopics := c.needs >= access.Count && c.needs <= access.Read
		switch {
		case c.refused && c.needs == 0, c.needs == noRight, ofTopics, c.needs == access.Backup, c.needs == access.Admin:
		default:
			t.Errorf("%s says %d, which is no right: say what its client needs (command.needs)", c.name, c.needs)
		}
		if c.keys.first > 0 && !ofTopics {
			t.Errorf("%s has topics, and needs no right over topics", c.name)
		}
	})
}

// written is a command as a client may send it, over topics that begin in the given ways.
func (c *command) written(topics ...string) string {
	words := strings.Split(strings.ToUpper(c.name), "|")
	most := c.arity
	if most < 0 {
		most = -most
	}
	for i := len(words); i < most; i++ {
		switch {
		case c.keys.first == i:
			words = append(words, topics[0]+"1")
		default:
			words = append(words, "1")
		}
	}
	if c.keys.last < 0 {
		for _, topic := range topics[1:] {
			words = append(words, topic+"2")
		}
	}
	return strings.Join(words, " ")
}

// Every command, with each right, over everything, over its topic and over another one: it is run
// with the right that it needs, and else it is refused whatever it is about.
func TestRightsOfEveryCommand(t *testing.T) {
	t.Parallel()
	for right := access.Count; right <= access.Admin; right++ {
		grants := map[string]string{"none": "", "all": right.String() + ":", "own": right.String() + ":own/",
			"other": right.String() + ":other/"}
		if right >= access.Backup {
			grants = map[string]string{"none": "", "all": right.String()}
		}
		for over, grant := range grants {
			rules, tokens := rulesOf(t, "somebody token "+grant)
			l, _ := guarded(rules, nil)
			for _, version := range []int{2, 3} {
				everyCommand(func(c *command) {
					if c.refused {
						return
					}
					want := c.needs == noRight || c.needs == right &&
						(over == "all" || over == "own" && !c.whole || over == "other" && c.keys.first == 0 && !c.whole)
					long := c.name == "command|docs" // too much for who may nothing
					want = want && !(long && over == "none")
					line := c.written("own/", "own/")
					check := func(line string, want bool) {
						client := l.connect()
						l.ask(t, client, fmt.Sprintf("HELLO %d AUTH somebody %s", version, tokens["somebody"]))
						got := l.ask(t, client, line)
						if denied := strings.HasPrefix(got, "-NOPERM "); denied == want {
							t.Errorf("RESP%d, %s over %s: %q was answered %.80q", version, right, over, line, got)
						}
						nobody := l.connect()
						got = l.ask(t, nobody, line)
						if asked := strings.HasPrefix(got, "-NOAUTH "); asked == (c.needs == noRight && !long) {
							t.Errorf("RESP%d: %q of nobody was answered %.80q", version, line, got)
						}
					}
					check(line, want)
					if c.keys.last < 0 { // over the right to one of its topics it is refused, too
						check(c.written("own/", "other/"), want && over == "all")
						check(c.written("other/", "own/"), want && over == "all")
					}
				})
			}
		}
	}
}

// Who is nobody is asked to say who he is; a token is taken with its name or without; a wrong one
// changes nothing, and the third ends the connection.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token count: read:", "web token count:web/", "anonymous - read:public/")
	l, _ := guarded(rules, nil)
	c := l.connect()
	const wrong, noKey = "-" + errWrongPass + "\r\n", "-NOPERM No permissions to access a key\r\n"
	for _, step := range []struct{ line, want string }{
		{"INCR web/x", noKey}, // anonymous is somebody
		{"INFO", "-NOPERM User anonymous has no permissions to run the 'info' command\r\n"},
		{"GET public/x", "$-1\r\n"},
		{"PING", "+PONG\r\n"},
		{"AUTH " + tokens["web"], "+OK\r\n"},
		{"INCR web/x", ":1\r\n"},
		{"INCR x", noKey},
		{"GET public/x", noKey},
		{"INFO", "-NOPERM User web has no permissions to run the 'info' command\r\n"},
		{"AUTH web " + tokens["ops"], wrong},
		{"INCR web/x", ":2\r\n"},
		{"AUTH ops " + tokens["ops"], "+OK\r\n"},
		{"INCR x", ":1\r\n"},
		{"AUTH a b c", "-" + errSyntax + "\r\n"},
		{"RESET", "+RESET\r\n"},
		{"INCR x", noKey},
		{"HELLO 3 AUTH default " + tokens["web"] + "x", wrong},
	} {
		if got := l.ask(t, c, step.line); got != step.want {
			t.Errorf("%.20q was answered %q, want %q", step.line, got, step.want)
		}
	}
	if c.version != 2 {
		t.Error("a HELLO whose token is wrong has changed the version")
	}
	if out, a := hear(c, "AUTH x\r\nPING\r\n"); out != wrong || a.Next != session.Linger {
		t.Errorf("the third wrong token was answered %q, and then %d comes, want the end", out, a.Next)
	}
	c = l.connect()
	if got := l.ask(t, c, "HELLO 3 AUTH default "+tokens["web"]+" SETNAME n"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO was answered %q", got)
	}
	if got := l.ask(t, c, "INCR web/x"); got != ":1\r\n" {
		t.Errorf("after HELLO a count was answered %q", got)
	}
}

// A source that has shown too many wrong tokens is told so and cut off, and its right ones pass.
func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "ops token count:")
	l, _ := guarded(rules, nil)
	got := ""
	for range 6 {
		c := l.connect()
		for range 2 {
			got += l.ask(t, c, "AUTH x")
		}
	}
	if n := strings.Count(got, errWrongPass); n < 10 || n > 11 || !strings.HasSuffix(got, "too many failed "+
		"authentications from this address\r\n") {
		t.Errorf("12 wrong tokens were answered %q", got)
	}
	if got := l.ask(t, l.connect(), "AUTH "+tokens["ops"]); got != "+OK\r\n" {
		t.Errorf("the right one was answered %q", got)
	}
}

// When the rules change, a connection has the new ones with its next command; one whose token is
// nobody's any more is nobody.
func TestRulesChangeUnderAConnection(t *testing.T) {
	t.Parallel()
	secret := func(name string, rights string) (line, token string) {
		token, hash := access.NewToken()
		return name + " " + hash + " " + rights + "\n", token
	}
	parse := func(text string) *access.Rules {
		rules, err := access.Parse("rules", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return rules
	}
	line, token := secret("web", "count:")
	other, _ := secret("other", "count:")
	l, now := guarded(parse(line), nil)
	c, never := l.connect(), l.connect()
	l.ask(t, c, "AUTH "+token)
	steps := []struct{ rules, want, never string }{
		{line, ":1\r\n", "-NOAUTH Authentication required.\r\n"},
		{strings.Replace(line, "count:", "count:a/", 1), "-NOPERM No permissions to access a key\r\n",
			"-NOAUTH Authentication required.\r\n"},
		{strings.Replace(line, "web", "renamed", 1), ":2\r\n", "-NOAUTH Authentication required.\r\n"},
		{other + "anonymous - count:\n", "-NOAUTH Authentication required.\r\n", ":3\r\n"},
		{line, "-NOAUTH Authentication required.\r\n", "-NOAUTH Authentication required.\r\n"},
	}
	for i, step := range steps {
		now.Store(parse(step.rules))
		if got := l.ask(t, c, "INCR x"); got != step.want {
			t.Errorf("with rules %d a count was answered %q, want %q", i, got, step.want)
		}
		if got := l.ask(t, never, "INCR x"); got != step.never {
			t.Errorf("with rules %d who has shown nothing was answered %q, want %q", i, got, step.never)
		}
	}
	if got := l.ask(t, c, "AUTH "+token); got != "+OK\r\n" {
		t.Errorf("the token is there again, and was answered %q", got)
	}
}

// A transaction with a command that its client has no right to is discarded, be it so when it is
// queued or when the rules have changed since.
func TestTransactionsNeedRights(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "web token count:web/")
	l, now := guarded(rules, nil)
	begin := func() *Session {
		c := l.connect()
		l.ask(t, c, "AUTH "+tokens["web"])
		l.ask(t, c, "MULTI")
		return c
	}
	c := begin()
	for line, want := range map[string]string{"INCR x": "-NOPERM No permissions to access a key\r\n"} {
		if got := l.ask(t, c, line); got != want {
			t.Errorf("%q was answered %q, want %q", line, got, want)
		}
	}
	if got := l.ask(t, c, "EXEC"); got != "-"+errAborted+"\r\n" {
		t.Errorf("EXEC was answered %q", got)
	}
	c = begin()
	l.ask(t, c, "INCR web/x")
	less, _ := rulesOf(t, "anonymous - count:")
	now.Store(less)
	if got := l.ask(t, c, "EXEC"); !strings.HasPrefix(got, "-EXECABORT Transaction discarded because of: NOAUTH") {
		t.Errorf("after its rights were taken away EXEC was answered %q", got)
	}
	if sum := l.backend.Sum(); sum != 0 {
		t.Errorf("%d were counted", sum)
	}
}

// Whoever lists topics sees those alone that he may read.
func TestListingsShowNoForeignTopic(t *testing.T) {
	t.Parallel()
	rules, tokens := rulesOf(t, "some token read:mine/ read:pub", "all token read:", "none token count:")
	l, _ := guarded(rules, nil)
	for who, want := range map[string][]string{"some": {"mine/a", "mine/b", "public"},
		"all": {"mine/a", "mine/b", "other", "public", "min"}} {
		for _, line := range []string{"KEYS *", "SCAN 0 COUNT 1000", "SCAN 0 MATCH * COUNT 3"} {
			c := l.connect()
			for _, topic := range []string{"mine/a", "other", "mine/b", "public", "min"} {
				l.backend.Set(topic, 1)
			}
			l.ask(t, c, "AUTH "+tokens[who])
			got := l.ask(t, c, line)
			var shown []string
			for _, topic := range []string{"mine/a", "mine/b", "other", "public", "min"} {
				if strings.Contains(got, "\r\n"+topic+"\r\n") {
					shown = append(shown, topic)
				}
			}
			if line != "SCAN 0 MATCH * COUNT 3" && !slices.Equal(shown, want) { // which is a page
				t.Errorf("%s has %q show %q, want %q", who, line, shown, want)
			}
			if who == "some" && (strings.Contains(got, "other") || strings.Contains(got, "\r\nmin\r\n")) {
				t.Errorf("%q shows a foreign topic: %q", line, got)
			}
		}
	}
	c := l.connect()
	l.ask(t, c, "AUTH "+tokens["none"])
	for _, line := range []string{"KEYS *", "SCAN 0", "DBSIZE"} {
		if got := l.ask(t, c, line); !strings.HasPrefix(got, "-NOPERM") {
			t.Errorf("%q was answered %q", line, got)
		}
	}
	c = l.connect()
	l.ask(t, c, "AUTH "+tokens["some"])
	if got := l.ask(t, c, "DBSIZE"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("who may read some topics learns how many there are: %q", got)
	}
}

// The audit log says who has reset what, and who has tried what he may not.
func TestAudit(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	rules, tokens := rulesOf(t, "ops token count: reset: read:", "web token count:")
	l, _ := guarded(rules, audit.To(&lines))
	c := l.connect()
	for _, line := range []string{"AUTH ops " + tokens["ops"], "INCR a", "GCD.RESET a", "INCR b", "DEL a b c",
		"GET a", "MULTI", "INCR d", "SET d 0", "EXEC", "AUTH wrong", "AUTH " + tokens["web"], "DEL d"} {
		l.ask(t, c, line)
	}
	type record struct {
		Event, Principal, Source, Door, Reason string
		Topic                                  *string
		Epoch                                  uint64
	}
	var got []string
	for decoder := json.NewDecoder(&lines); decoder.More(); {
		var r record
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		topic := ""
		if r.Topic != nil {
			topic = *r.Topic
		}
		if r.Source != here.String() || r.Door != "resp" {
			t.Errorf("from %s by %s", r.Source, r.Door)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d %s", r.Event, r.Principal, topic, r.Epoch, r.Reason))
	}
	want := []string{"reset ops a 1 ", "delete ops b 1 ", "delete ops d 1 ",
		"unauthenticated   0 the token is nobody's", "denied web d 0 no right to del"}
	if !slices.Equal(got, want) {
		t.Errorf("written down:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
