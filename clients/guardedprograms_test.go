//go:build linux

package clients

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ran is how a program has ended.
type ran struct {
	out, stderr string
	err         error
}

func (r ran) String() string { return fmt.Sprintf("it printed %q and %q (%v)", r.out, r.stderr, r.err) }

// run runs a program that reads some input, with more in its environment.
func run(t *testing.T, env []string, input, name string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, stderr bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), strings.NewReader(input), &out, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %q has not ended after %v:\n%s%s", name, args, patience, out.String(), stderr.String())
	}
	return ran{out.String(), stderr.String(), err}
}

// redisCLI comes in each way in which redis-cli can be told who it is.
func redisCLI(t *testing.T, s *guarded) {
	cli := library{name: "redis-cli", from: "apt-get install redis-tools", probe: []string{"redis-cli", "--version"}}
	cli.missing(t)
	host, port, _ := net.SplitHostPort(s.addr)
	secure := []string{"-h", host, "-p", port, "--tls", "--cacert", s.file("ca.pem")}
	by := func(flags ...string) []string { return append(slices.Clip(secure), flags...) }
	local := []string{"-s", s.socket}
	billing := []string{"REDISCLI_AUTH=" + s.billing}
	const (
		warning = "Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe."
		noAuth  = "NOAUTH Authentication required.\n\n"
		noPerm  = "NOPERM No permissions to access a key\n\n"
	)
	for _, row := range []struct {
		what        string
		env, args   []string
		input       string
		out, stderr string
	}{
		{what: "a name and a token", args: by("--user", "billing", "--pass", s.billing, "INCR", "invoice/a"),
			out: "1\n", stderr: warning},
		{what: "a token alone", args: by("-a", s.billing, "INCR", "invoice/a"), out: "2\n", stderr: warning},
		{what: "a token in the environment", env: billing, args: by("INCR", "invoice/a"), out: "3\n"},
		{what: "with a name", env: billing, args: by("--user", "billing", "INCR", "invoice/a"), out: "4\n"},
		{what: "RESP 3", env: billing, args: by("-3", "--user", "billing", "INCR", "invoice/a"), out: "5\n"},
		{what: "an address", args: []string{"-u", "rediss://billing:" + s.billing + "@" + s.addr, "--cacert",
			s.file("ca.pem"), "INCR", "invoice/a"}, out: "6\n", stderr: warning},
		{what: "nobody", args: by("INCR", "invoice/a"), out: noAuth},
		{what: "a wrong token", env: []string{"REDISCLI_AUTH=" + s.billing + "x"}, args: by("INCR", "invoice/a"),
			out: noAuth, stderr: "AUTH failed: WRONGPASS"}, // as with Redis it goes on
		{what: "another's name", env: billing, args: by("--user", "ops", "INCR", "invoice/a"),
			out: noAuth, stderr: "AUTH failed: WRONGPASS"},
		{what: "without the right", env: billing, args: by("INCR", "payroll"),
			out: noPerm},
		{what: "a transaction", env: billing, args: secure,
			input: "MULTI\nINCR invoice/t\nINCR payroll\nEXEC\nGET invoice/t\n",
			out: "OK\nQUEUED\n" + noPerm +
				"EXECABORT Transaction discarded because of previous errors.\n\n\n"},
		{what: "a certificate", args: by("--cert", s.file("web.pem"), "--key", s.file("web.key"), "INCR", "web/a"),
			out: "1\n"},
		{what: "a certificate without the right", args: by("--cert", s.file("web.pem"), "--key", s.file("web.key"),
			"INCR", "invoice/a"), out: noPerm},
		{what: "a certificate of the past", args: by("--cert", s.file("past.pem"), "--key", s.file("past.key"), "INCR",
			"web/a"), stderr: "Error: Server closed the connection"},
		{what: "the unix socket", args: append(slices.Clip(local), "INCR", "local/a"), out: "1\n"},
		{what: "the unix socket without the right", args: append(slices.Clip(local), "INCR", "invoice/a"),
			out: noPerm},
	} {
		got := run(t, row.env, row.input, "redis-cli", row.args...)
		if got.out != row.out || !strings.Contains(got.stderr, row.stderr) ||
			(got.err != nil) != (row.out == "") {
			t.Errorf("%s: %v, want %q and %q", row.what, got, row.out, row.stderr)
		}
	}
}

// openssl is told that TLS 1.2 is not spoken, and counts over 1.3.
func openssl(t *testing.T, s *guarded) {
	l := library{name: "openssl", from: "apt-get install openssl", probe: []string{"openssl", "version"}}
	l.missing(t)
	args := []string{"s_client", "-connect", s.addr, "-CAfile", s.file("ca.pem"), "-verify_return_error", "-quiet"}
	input := "AUTH " + s.billing + "\r\nINCR invoice/a\r\nQUIT\r\n"
	if got := run(t, nil, input, "openssl", append(slices.Clip(args), "-tls1_3")...); got.err != nil ||
		got.out != "+OK\r\n:1\r\n+OK\r\n" {
		t.Errorf("over TLS 1.3: %v", got)
	}
	for _, old := range []string{"-tls1_2", "-tls1_1"} {
		if got := run(t, nil, input, "openssl", append(slices.Clip(args), old)...); got.err == nil || got.out != "" ||
			old == "-tls1_2" && !strings.Contains(got.stderr, "alert protocol version") {
			t.Errorf("with %s: %v", old, got)
		}
	}
}

// nativePython runs the client of docs/protocol.md: over gcd's own protocol everybody is anonymous,
// and does what that may.
func nativePython(t *testing.T, s *guarded) {
	python := library{name: "Python", from: "apt-get install python3", probe: []string{"/usr/bin/python3", "--version"}}
	python.missing(t)
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(page), "\n## A client\n")
	_, code, _ = strings.Cut(code, "\n```python\n")
	code, _, found := strings.Cut(code, "\nprint(")
	if !found {
		t.Fatal("docs/protocol.md has no client that ends with a print")
	}
	host, port, _ := net.SplitHostPort(s.addr)
	asks := func(opcode int, topic string) ran {
		return run(t, nil, "", "/usr/bin/python3", "-c",
			fmt.Sprintf("%s\nprint(ask(%d, %q, (%q, %s)))", code, opcode, topic, host, port))
	}
	wantRefused := func(got ran, with string) {
		t.Helper()
		if got.err == nil || !strings.Contains(got.stderr, with) {
			t.Errorf("%v, want %q", got, with)
		}
	}
	wantRefused(asks(0, "open/a"), "ValueError: refused with code 21: ")
	s.allow(t, "anonymous - count:open/", "INCR", "open/tried")
	for want := range 2 {
		if got := asks(0, "open/a"); got.err != nil || got.out != fmt.Sprintf("%d\n", want+1) {
			t.Errorf("a count: %v, want %d", got, want+1)
		}
	}
	wantRefused(asks(0, "invoice/a"), "ValueError: refused with code 22: ")
	wantRefused(asks(1, "open/a"), "ValueError: refused with code 22: ")
	if got := asks(0, "open/a"); got.err != nil || got.out != "3\n" {
		t.Errorf("a count after a refusal: %v, want 3", got)
	}
}
