package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/certs/certstest"
	"gcd/internal/cmdline"
	"gcd/internal/servertest"
	"gcd/tools"
)

// secured is a server that answers what the commands ask, to those who may.
type secured struct {
	t      *testing.T
	addr   string // as --addr takes it
	token  string // "": none is asked for
	backup string

	ca, cert, key string // files: of the authority, and of a client; "" without TLS
}

// selfSigned is a certificate for 127.0.0.1, in PEM, and its key.
func selfSigned() (cert, key []byte) {
	one := certstest.SelfSigned(certstest.Leaf{Names: []string{"counter.example"}})
	return one.Certificate, one.Key
}

func writeFile(t *testing.T, name string, content []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// startSecured starts a server. kind is "plain", "unix", "tls", or "mtls", which wants a
// certificate of the client.
func startSecured(t *testing.T, kind, token string) *secured {
	t.Helper()
	s := &secured{t: t, token: token, backup: dumpOf(t, tools.FormatNDJSON, 3)}
	network, addr := "tcp", "127.0.0.1:0"
	if kind == "unix" {
		network, addr = "unix", filepath.Join(t.TempDir(), "s")
	}
	listener, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	if kind == "unix" {
		s.addr = "unix:" + addr
	}
	if strings.HasSuffix(kind, "tls") {
		cert, key := selfSigned()
		own, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13}
		s.ca = writeFile(t, "ca.crt", cert, 0o644)
		if kind == "mtls" {
			client, secret := selfSigned()
			s.cert, s.key = writeFile(t, "c.crt", client, 0o644), writeFile(t, "c.key", secret, 0o640)
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			config.ClientCAs.AppendCertsFromPEM(client)
		}
		listener = tls.NewListener(listener, config)
	}
	servertest.Serve(t, listener, s.converse)
	return s
}

func (s *secured) converse(conn net.Conn) {
	from := bufio.NewReader(conn)
	first, err := from.Peek(1)
	switch {
	case err != nil:
		return
	case first[0] <= 1 && s.token != "":
		io.WriteString(conn, "\xff\x15")
		return
	case first[0] == 0:
		io.WriteString(conn, "\x80\x07")
		return
	case first[0] == 1:
		io.WriteString(conn, "\x81")
		return
	}
	for known := s.token == ""; ; {
		words, err := servertest.Command(from)
		if err != nil {
			return
		}
		answer := "-ERR unknown command\r\n"
		switch name := words[0]; {
		case name == "AUTH" && words[1] == s.token:
			known, answer = true, "+OK\r\n"
		case name == "AUTH":
			answer = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		case name == "PING":
			answer = "+PONG\r\n"
		case !known:
			answer = "-NOAUTH Authentication required.\r\n"
		case strings.HasSuffix(words[len(words)-1], "foreign"):
			answer = "-NOPERM no right to do this\r\n"
		case name == "GCD.COUNT":
			answer = "$1\r\n7\r\n"
		case name == "GCD.RESET":
			answer = "+OK\r\n"
		case name == "DBSIZE":
			answer = ":0\r\n"
		case name == "INCR":
			answer = ":7\r\n"
		case name == "GCD.BACKUP":
			answer = fmt.Sprintf("$?\r\n;%d\r\n%s\r\n;0\r\n", len(s.backup), s.backup)
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// flags are those by which a command reaches the server.
func (s *secured) flags() []string {
	flags := []string{"--addr", s.addr}
	if s.ca != "" {
		flags = append(flags, "--tls-ca", s.ca)
	}
	if s.cert != "" {
		flags = append(flags, "--tls-cert", s.cert, "--tls-key", s.key)
	}
	if s.token != "" {
		flags = append(flags, "--token-file", writeFile(s.t, "token", []byte(s.token+"\n"), 0o600))
	}
	return flags
}

// try runs a command.
func try(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"gcd"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// askingCommands are those that go to a server, and what they print; bench is short.
func askingCommands() map[string]string {
	return map[string]string{
		"count orders --timeout 1m":                "7\n",
		"count orders --timeout 1m --network resp": "7\n",
		"reset orders --timeout 1m":                "",
		"ping --timeout 1m":                        "PONG\n",
		"backup - --quiet --timeout 1m":            "the backup",
		"bench --network resp --quiet --clients 2 --threads 1 --requests 5 --warmup 0s --timeout 1m": "5 requests",
	}
}

// TestReach: every command reaches its server on each way, with a token and without.
func TestReach(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"plain", "unix", "tls", "mtls"} {
		for _, token := range []string{"", "gcd_secret"} {
			s := startSecured(t, kind, token)
			for command, want := range askingCommands() {
				code, stdout, stderr := try(t, append(strings.Fields(command), s.flags()...)...)
				switch {
				case want == "the backup":
					want = s.backup
				case strings.HasPrefix(command, "bench"):
					want = stdout // its figures are not looked at
				}
				if code != cmdline.ExitOK || stdout != want || stderr != "" {
					t.Errorf("%s, token %q, %s: code %d, %q, %q, want %q", kind, token, command, code, stdout,
						stderr, want)
				}
			}
		}
	}
}

// TestNotPermitted: who may not ends with 10, whatever the command and the reason.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	s := startSecured(t, "plain", "gcd_secret")
	wrong := writeFile(t, "token", []byte("gcd_wrong"), 0o600)
	right := writeFile(t, "token", []byte("gcd_secret"), 0o600)
	for _, way := range [][]string{{}, {"--token-file", wrong}} {
		for command := range askingCommands() {
			if command == "ping --timeout 1m" && len(way) == 0 {
				continue // that asks for no token
			}
			args := append(append(strings.Fields(command), "--addr", s.addr), way...)
			code, stdout, stderr := try(t, args...)
			if code != cmdline.ExitNotPermitted || stdout != "" || !strings.Contains(stderr, "not authenticated") &&
				!strings.Contains(stderr, "NOAUTH") {
				t.Errorf("%s %v: code %d, %q, %q, want 10", command, way, code, stdout, stderr)
			}
			if strings.Contains(stderr, "gcd_wrong") {
				t.Errorf("%s: the message tells the token: %q", command, stderr)
			}
		}
	}
	code, _, stderr := try(t, "count", "foreign", "--addr", s.addr, "--token-file", right)
	if code != cmdline.ExitNotPermitted || !strings.Contains(stderr, "not permitted (code 22)") ||
		!strings.Contains(stderr, "hint: nothing was counted or reset; who runs the server gives the right to it") {
		t.Errorf("code %d, %q, want 10", code, stderr)
	}
}

// TestReachOfWhatIsWrong: flags that cannot be used are told before anything is sent.
func TestReachOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned()
	crt, secret := writeFile(t, "c.crt", cert, 0o644), writeFile(t, "c.key", key, 0o640)
	open := writeFile(t, "open", []byte("gcd_secret"), 0o644)
	for args, says := range map[string]string{
		"--tls-cert " + crt + " --tls-key " + secret:                     "--tls-cert has no effect: there is no TLS",
		"--tls-server-name counter.example":                              "--tls-server-name has no effect",
		"--tls=false --tls-ca " + crt:                                    "--tls-ca has no effect",
		"--tls --tls-cert " + crt:                                        "one of the two is missing",
		"--tls-ca " + secret:                                             "no certificate of an authority",
		"--tls --addr unix:/run/gcd.sock":                                "a unix socket needs no TLS",
		"--addr unix:":                                                   "--addr is \"unix:\": it takes unix:PATH",
		"--token-file " + open:                                           "chmod 640 " + open,
		"--token-file " + open + ".none":                                 "no such file",
		"--token-file " + writeFile(t, "empty", []byte(" \n"), 0o600):    "empty is empty",
		"--token-file " + writeFile(t, "two", []byte("one\ntwo"), 0o600): "has more than a token",
		"--network tcp --token-file " + writeFile(t, "token", []byte("x"), 0o600): "--token-file has no effect: only " +
			"--network resp has a place for a token",
		"--network udp --addr unix:/run/gcd.sock": "--addr is a unix socket: --network udp takes HOST:PORT",
		"--network udp --tls":                     "there is no TLS over --network udp",
	} {
		for _, command := range []string{"count", "bench"} {
			code, _, stderr := try(t, append([]string{command}, strings.Fields(args)...)...)
			if code != cmdline.ExitUsage || !strings.Contains(stderr, says) {
				t.Errorf("%s %s: code %d, %q, want %q", command, args, code, stderr, says)
			}
		}
	}
}

// TestTLSOnOneSideOnly: each command says so, and ends.
func TestTLSOnOneSideOnly(t *testing.T) {
	t.Parallel()
	cert, _ := selfSigned()
	ca := writeFile(t, "ca.crt", cert, 0o644)
	clear := servertest.TCP(t, func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1<<12))
		io.WriteString(conn, "\xff\x02unknown opcode")
	})
	alerting := servertest.TCP(t, func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1<<12))
		io.WriteString(conn, "\x15\x03\x03\x00\x02\x02\x28")
	})
	for command := range askingCommands() {
		args := strings.Fields(command)
		code, _, stderr := try(t, append(args, "--addr", clear, "--tls-ca", ca)...)
		if code != cmdline.ExitNotSent || !strings.Contains(stderr, "the server does not speak TLS here") {
			t.Errorf("%s over TLS: code %d, %q", command, code, stderr)
		}
		code, _, stderr = try(t, append(args, "--addr", alerting)...)
		if code == cmdline.ExitOK || code == cmdline.ExitUnknown {
			t.Errorf("%s in clear text: code %d, %q", command, code, stderr)
		}
	}
}

// TestReachFromTheEnvironment: a token and TLS that only the environment asks for are left out
// where there is no place for them; a file wins over the variable.
func TestReachFromTheEnvironment(t *testing.T) { // not parallel: it changes the environment
	s := startSecured(t, "tls", "gcd_secret")
	t.Setenv("GCD_TOKEN", "gcd_secret")
	t.Setenv("GCD_TLS_CA", s.ca)
	t.Setenv("GCD_ADDR", s.addr)
	if code, stdout, stderr := try(t, "count", "orders"); code != cmdline.ExitOK || stdout != "7\n" {
		t.Errorf("code %d, %q, %q", code, stdout, stderr)
	}
	wrong := writeFile(t, "token", []byte("gcd_wrong"), 0o600)
	if code, _, stderr := try(t, "count", "orders", "--token-file", wrong); code != cmdline.ExitNotPermitted {
		t.Errorf("with another token in a file: code %d, %q", code, stderr)
	}
	if code, _, stderr := try(t, "count", "--network", "tcp"); code != cmdline.ExitNotPermitted {
		t.Errorf("without a place for it: code %d, %q", code, stderr)
	}
	plain := startSecured(t, "plain", "")
	t.Setenv("GCD_TOKEN", "")
	code, stdout, stderr := try(t, "count", "--tls=false", "--addr", plain.addr)
	if code != cmdline.ExitOK || stdout != "7\n" {
		t.Errorf("in clear text: code %d, %q, %q", code, stdout, stderr)
	}
	t.Setenv("GCD_TLS_CA", "")
	t.Setenv("GCD_TLS_CERT", filepath.Join(t.TempDir(), "of-the-server.crt"))
	if code, stdout, stderr := try(t, "ping", "--addr", plain.addr); code != cmdline.ExitOK || stdout != "PONG\n" {
		t.Errorf("with the certificate of a server: code %d, %q, %q", code, stdout, stderr)
	}
}
