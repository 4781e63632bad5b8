//go:build linux

package clients

import (
	"bytes"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// guards are what servers that ask who somebody is share: the program, and who may what.
type guards struct {
	binary, dir  string
	authority    *authority
	server, web  *issued
	past         *issued // web's, which holds no more
	billing, ops string  // tokens
	rules        []byte  // of the file
}

func newGuards(t *testing.T) *guards {
	t.Helper()
	g := &guards{binary: buildServer(t), dir: t.TempDir(), authority: newAuthority()}
	g.server = g.authority.issue(2, pkix.Name{CommonName: "gcd"})
	web := pkix.Name{CommonName: "web", Organization: []string{"acme"}}
	g.web = g.authority.issue(3, web)
	g.past = g.authority.issueUntil(4, web, -time.Hour)
	write(t, g.dir, "ca.pem", g.authority.PEM)
	for name, certificate := range map[string]*issued{"server": g.server, "web": g.web, "past": g.past} {
		write(t, g.dir, name+".pem", certificate.certificate)
		write(t, g.dir, name+".key", certificate.key)
	}
	g.billing = g.token(t, "billing", "count:invoice/", "read:invoice/")
	g.ops = g.token(t, "ops", "count:", "reset:", "read:", "backup", "admin")
	g.rules = append(g.rules, "web cert:CN=web,O=acme count:web/ read:web/\nlocal unix count:local/ read:local/\n"...)
	return g
}

// token has gcd make a token, whose line the rules then have.
func (g *guards) token(t *testing.T, args ...string) string {
	t.Helper()
	var token, line bytes.Buffer
	cmd := exec.CommandContext(t.Context(), g.binary, append([]string{"token"}, args...)...)
	cmd.Stdout, cmd.Stderr = &token, &line
	if err := cmd.Run(); err != nil {
		t.Fatalf("gcd token: %v\n%s", err, line.String())
	}
	g.rules = append(g.rules, line.Bytes()...)
	return strings.TrimSpace(token.String())
}

// file is the name of one of the files with certificates.
func (g *guards) file(name string) string { return filepath.Join(g.dir, name) }

// guarded is a server that asks who somebody is, over TLS and a unix socket.
type guarded struct {
	*guards
	*process
	auth, socket string // files
}

func (g *guards) start(t *testing.T) *guarded {
	t.Helper()
	dir := t.TempDir()
	s := &guarded{guards: g, auth: write(t, dir, "auth", g.rules), socket: filepath.Join(dir, "gcd.sock")}
	s.process = startProcess(t, g.binary, "--auth", s.auth, "--unix", s.socket, "--tls-cert", g.file("server.pem"),
		"--tls-key", g.file("server.key"), "--tls-client-ca", g.file("ca.pem"))
	return s
}

// login is how a client comes, and what it shows.
type login struct {
	user, token string  // empty: none
	certificate *issued // nil: none
	local       bool    // it comes over the unix socket, and else over TLS
}

// asOps connects with every right.
func (s *guarded) asOps(t *testing.T) redis.Conn {
	t.Helper()
	c, err := guardedRedigo(t, s, login{user: "ops", token: s.ops})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// allow adds a line to the rules, and tries what it allows to somebody who shows nothing until the
// server has taken it.
func (s *guarded) allow(t *testing.T, line string, try ...string) {
	t.Helper()
	write(t, filepath.Dir(s.auth), "auth.new", append(slices.Clip(s.rules), line+"\n"...))
	if err := os.Rename(s.auth+".new", s.auth); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c, err := guardedRedigo(t, s, login{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for deadline := time.Now().Add(patience); ; {
		if _, err = c.Do(try[0], redis.Args{}.AddFlat(try[1:])...); err == nil {
			return
		}
		if c.Err() != nil || time.Now().After(deadline) {
			t.Fatalf("the server has not taken the line %q after %v: %v", line, patience, err)
		}
	}
}

// wrongTokens is how often the server was shown a token that is nobody's.
func (s *guarded) wrongTokens(t *testing.T) (n int) {
	t.Helper()
	text, err := redis.String(s.asOps(t).Do("INFO", "errorstats"))
	if err != nil {
		t.Fatal(err)
	}
	if _, count, found := strings.Cut(text, "errorstat_WRONGPASS:count="); found {
		if _, err := fmt.Sscan(count, &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// Client libraries come to a server that asks who they are, over TLS and by the unix socket.
func TestGuarded(t *testing.T) {
	t.Parallel()
	g := newGuards(t)
	for _, l := range guardedLibraries(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.missing(t)
			s := g.start(t)
			l.named(t, s)
			l.denied(t, s)
			l.nobody(t, s)
			l.wrong(t, s)
			l.certificate(t, s)
			l.past(t, s)
			l.local(t, s)
			l.anonymous(t, s)
		})
	}
	t.Run("redis-cli", func(t *testing.T) { t.Parallel(); redisCLI(t, g.start(t)) })
	t.Run("openssl", func(t *testing.T) { t.Parallel(); openssl(t, g.start(t)) })
	t.Run("native", func(t *testing.T) { t.Parallel(); nativePython(t, g.start(t)) })
	t.Run("rotated", func(t *testing.T) { t.Parallel(); rotated(t, g) })
}

// wantIncr counts n times, and checks the numbers.
func wantIncr(t *testing.T, c counter, topic string, want ...int64) {
	t.Helper()
	var got []int64
	if err := c.incr(topic, len(want), func(n int64) { got = append(got, n) }); err != nil || !slices.Equal(got, want) {
		t.Errorf("INCR %s: %v (%v), want %v", topic, got, err, want)
	}
}

// errorOf is the error of a call to incr, with its type.
func errorOf(c counter, topic string) string {
	return typed(c.incr(topic, 1, func(int64) {}))
}

// typed is the text of an error, and its type, which is what a Go library tells errors apart by.
func typed(err error) string { return fmt.Sprintf("%T: %v", err, err) }

// wantSays checks that an error has all of the words.
func wantSays(t *testing.T, what, got string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(got, word) {
			t.Errorf("%s: %q, want %q in it", what, got, words)
			return
		}
	}
}

// A name and a token, and a token alone.
func (l *guardedLibrary) named(t *testing.T, s *guarded) {
	t.Helper()
	c := l.client(t, s, login{user: "billing", token: s.billing})
	wantIncr(t, c, "invoice/a", 1, 2)
	if got, err := c.pipeline("invoice/a", 3); err != nil || !slices.Equal(got, []int64{3, 4, 5}) {
		t.Errorf("a pipeline: %v (%v), want 3 to 5", got, err)
	}
	if n, err := c.get("invoice/a"); err != nil || n != 5 {
		t.Errorf("GET: %d (%v), want 5", n, err)
	}
	if got, err := c.transaction("invoice/a", "invoice/b", 2); err != nil || !slices.Equal(got, []int64{6, 1, 7, 2}) {
		t.Errorf("a transaction: %v (%v), want 6 1 7 2", got, err)
	}
	wantIncr(t, l.client(t, s, login{token: s.billing}), "invoice/a", 8)
	wantIncr(t, l.client(t, s, login{user: "ops", token: s.ops}), "elsewhere", 1) // with the right admin
}

// What somebody has no right to is refused, a transaction as a whole, and the client goes on.
func (l *guardedLibrary) denied(t *testing.T, s *guarded) {
	t.Helper()
	c := l.client(t, s, login{user: "billing", token: s.billing})
	wantIncr(t, c, "invoice/denied", 1)
	wantSays(t, "without a right", errorOf(c, "payroll"), l.says.denied...)
	_, err := c.pipeline("payroll", 2)
	wantSays(t, "a pipeline", typed(err), l.says.denied...)
	_, err = c.transaction("invoice/denied", "payroll", 1)
	wantSays(t, "a transaction", typed(err), l.says.discarded...)
	wantIncr(t, c, "invoice/denied", 2)
	if n, err := redis.Int(s.asOps(t).Do("EXISTS", "payroll")); n != 0 || err != nil {
		t.Errorf("what was refused is counted: %d (%v)", n, err)
	}
}

func (l *guardedLibrary) nobody(t *testing.T, s *guarded) {
	t.Helper()
	c, err := l.connect(t, s, login{})
	if err == nil {
		wantSays(t, "nobody", errorOf(c, "invoice/a"), l.says.nobody...)
		wantSays(t, "nobody, again", errorOf(c, "invoice/a"), l.says.nobody...)
	} else {
		wantSays(t, "nobody", typed(err), l.says.nobody...)
	}
}

// A wrong token is told as such, and most libraries do not show it again.
func (l *guardedLibrary) wrong(t *testing.T, s *guarded) {
	t.Helper()
	for _, row := range []struct {
		what string
		as   login
	}{
		{"a password", login{user: "billing", token: "correct horse battery staple"}},
		{"another's token", login{user: "ops", token: s.billing}},
		{"no one's token", login{token: "gcd_" + strings.Repeat("A", 43)}},
	} {
		t.Run(row.what, func(t *testing.T) { // so that the client ends with it
			before := s.wrongTokens(t)
			c, err := l.connect(t, s, row.as)
			text := typed(err)
			if err == nil {
				text = errorOf(c, "invoice/a")
			}
			wantSays(t, row.what, text, l.says.wrong...)
			if n := s.wrongTokens(t) - before; l.shown != 0 && n != l.shown {
				t.Errorf("the token was shown %d times until there was an error, want %d", n, l.shown)
			}
		})
	}
}

func (l *guardedLibrary) certificate(t *testing.T, s *guarded) {
	t.Helper()
	c := l.client(t, s, login{certificate: s.web})
	wantIncr(t, c, "web/a", 1, 2)
	wantSays(t, "a certificate without the right", errorOf(c, "invoice/a"), l.says.denied...)
}

// A certificate that holds no more is refused, and its owner is not anonymous either.
func (l *guardedLibrary) past(t *testing.T, s *guarded) {
	t.Helper()
	if l.shown == 0 {
		return // it connects again and again, and calls wait for a minute
	}
	c, err := l.connect(t, s, login{certificate: s.past})
	if err == nil {
		err = c.incr("web/a", 1, func(int64) {})
	}
	wantSays(t, "a certificate of the past", typed(err), "expired")
}

func (l *guardedLibrary) local(t *testing.T, s *guarded) {
	t.Helper()
	c := l.client(t, s, login{local: true})
	wantIncr(t, c, "local/a", 1, 2)
	wantSays(t, "over the unix socket without the right", errorOf(c, "invoice/a"), l.says.denied...)
	wantIncr(t, l.client(t, s, login{local: true, user: "billing", token: s.billing}), "invoice/local", 1)
}

// Who shows nothing does what anonymous may, though it may not ask how the server is.
func (l *guardedLibrary) anonymous(t *testing.T, s *guarded) {
	t.Helper()
	s.allow(t, "anonymous - count:open/", "INCR", "open/tried")
	c := l.client(t, s, login{})
	wantIncr(t, c, "open/a", 1, 2)
	wantSays(t, "anonymous without the right", errorOf(c, "invoice/a"), l.says.denied...)
	wantIncr(t, c, "open/a", 3)
}
