//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/internal/access"
)

// TestWrongAuth: a file of rules that is wrong, or none, is said before anything is opened.
func TestWrongAuth(t *testing.T) {
	t.Parallel()
	everybody := authFile(t, "anonymous - count:")
	if err := os.Chmod(everybody, 0o604); err != nil {
		t.Fatal(err)
	}
	wrong := authFile(t, "# who", "billing hunter2 count:")
	for _, test := range []struct{ path, want string }{
		{"", "gcd: --auth is empty: it takes a file of rights"},
		{filepath.Join(t.TempDir(), "none"), "no such file"},
		{t.TempDir(), "not a regular file"},
		{authFile(t, "# nobody"), "has no principal, so nobody could do anything"},
		{wrong, "gcd: --auth cannot be used: " + wrong + ":2: this is no secret: put the line that"},
		{everybody, "chmod 640 " + everybody},
	} {
		said := refusedArgs(t, "--auth", test.path)
		if !strings.Contains(said, test.want) || strings.Contains(said, "hunter2") {
			t.Errorf("--auth %q: it says %q, want %q", test.path, said, test.want)
		}
	}
}

// TestWrongAuditLog: nothing but a file is written to.
func TestWrongAuditLog(t *testing.T) {
	t.Parallel()
	auth, pipe := authFile(t, "anonymous - count:"), filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "--audit-log is empty: it takes a file, or - for the server's log", t.TempDir(): "not a regular file",
		filepath.Join(t.TempDir(), "none", "audit"): "no such file", os.DevNull: "not a regular file",
		pipe: "not a regular file",
		auth: "is the file of --auth: name another one",
	} {
		if said := refusedArgs(t, "--auth", auth, "--audit-log", path); !strings.Contains(said, want) {
			t.Errorf("--audit-log %q: it says %q, want %q", path, said, want)
		}
	}
	if text, err := os.ReadFile(auth); err != nil || string(text) != "anonymous - count:\n" {
		t.Errorf("the file of rules has become %q (%v)", text, err)
	}
}

// TestRightsOfAProcess: a server that runs lets somebody do what its file says, by the rights that
// hold at the moment, and writes down what cannot be undone and what was tried.
func TestRightsOfAProcess(t *testing.T) {
	t.Parallel()
	token, secret := access.NewToken()
	path := authFile(t, "anonymous - count:public/ read:public/", "ops "+secret+" count: reset:")
	audited := filepath.Join(t.TempDir(), "audit")
	p := runVictim(t, exec.Command("gcd", "serve", "--memory", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0",
		"--log-format", "json", "--auth", path, "--audit-log", audited))
	p.waitServing(t)
	ops, nobody := newAsker(t, p.tcp), newAsker(t, p.tcp)
	reload := func(said string, lines ...string) {
		t.Helper()
		writeAuth(t, path, lines...)
		before := strings.Count(p.output(), said)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(hang); strings.Count(p.output(), said) == before; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("it does not say %q:\n%s", said, p.output())
			}
		}
	}
	nobody.asks("INCR public/a", ":1")
	nobody.asks("INCR orders", "-NOPERM")
	nobody.asks("AUTH "+token[:len(token)-1]+"x", "-WRONGPASS")
	ops.asks("AUTH ops "+token, "+OK")
	ops.asks("INCR orders", ":1")
	ops.asks("GET orders", "-NOPERM")
	ops.asks("DEL orders", ":1")

	// A wrong file changes nothing for who is there, and who comes.
	reload("cannot reload", "anonymous - count:", "ops hunter2 count:")
	nobody.asks("INCR orders", "-NOPERM")
	ops.asks("INCR orders", ":1")
	newAsker(t, p.tcp).asks("INCR orders", "-NOPERM")

	reload(`"principals":1,`, "ops "+secret+" read:")
	nobody.asks("INCR public/a", "-NOAUTH")
	ops.asks("INCR orders", "-NOPERM")
	ops.asks("GET orders", "$1")

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	receive(t, "the end of the server", p.exited)
	text, err := os.ReadFile(audited)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "gcd_") || strings.Contains(p.output(), token) {
		t.Errorf("a token is in a log:\n%s\n%s", text, p.output())
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var l struct{ Event, Principal, Door, Topic, Source string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if fromClient := l.Door != ""; fromClient != strings.HasPrefix(l.Source, "127.0.0.1:") {
			t.Errorf("the source is not as the door is: %s", line)
		}
		got = append(got, strings.Join([]string{l.Event, l.Principal, l.Door, l.Topic}, " "))
	}
	want := []string{
		"start   ", "denied anonymous resp orders", "unauthenticated  resp ", "denied ops resp orders",
		"delete ops resp orders", "reload   ", // the audit log alone
		"denied anonymous resp orders", "denied anonymous resp orders", "reload   ", "reload   ",
		"denied  resp public/a", "denied ops resp orders", "stop   ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the audit log has\n%q, want\n%q", got, want)
	}
}

// asker asks over a connection, command after command.
type asker struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

func newAsker(t *testing.T, addr string) *asker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(hang)); err != nil {
		t.Fatal(err)
	}
	return &asker{t, conn, bufio.NewReader(conn)}
}

// asks sends a command, and requires how its answer begins.
func (c *asker) asks(command, answer string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.from.ReadString('\n')
	if err == nil && strings.HasPrefix(line, "$") {
		_, err = c.from.ReadString('\n')
	}
	if err != nil {
		c.t.Fatalf("%s: no answer: %v", command, err)
	}
	if !strings.HasPrefix(line, answer) {
		c.t.Errorf("%s is answered with %q, want %q", command, line, answer)
	}
}
