package main

import (
	"os"
	"strings"
	"testing"

	"gcd/server"
)

// TestTLSFlags: what the flags make of certificates, and what they refuse.
func TestTLSFlags(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned()
	certFile, keyFile := writeFile(t, "tls.crt", cert, 0o644), writeFile(t, "tls.key", key, 0o640)
	other, _ := selfSigned()
	stranger := writeFile(t, "other.crt", other, 0o644)
	pair := []string{"--tls-cert", certFile, "--tls-key", keyFile}
	auth := authFile(t, "anonymous - count:")
	with := func(args ...string) []string { return append(append([]string(nil), pair...), args...) }
	for _, row := range []struct {
		name                  string
		args                  []string
		tls, require, clients bool
	}{
		{"nothing", nil, false, false, false},
		{"a certificate", pair, true, true, false},
		{"TLS not required", with("--tls-require=false"), true, false, false},
		{"certificates of clients", with("--tls-client-ca", certFile), true, true, true},
		{"with rights", with("--tls-client-ca", certFile, "--auth", auth), true, true, false},
	} {
		got := readArgs(t, row.args...)
		if on := got.server.TLS != nil; on != row.tls || got.server.RequireTLS != row.require ||
			got.files.RequireClient != row.clients {
			t.Errorf("%s: TLS %t, required %t, of clients %t", row.name, on, got.server.RequireTLS,
				got.files.RequireClient)
		}
		if _, err := server.New(nil, got.server); err != nil {
			t.Errorf("%s: no server: %v", row.name, err)
		}
	}
	// Certificates of clients are a way to ask who comes, over TCP alone.
	world := with("--tls-client-ca", certFile, "--tcp", "0.0.0.0:0")
	readArgs(t, append(world, "--udp", "")...)
	for _, row := range []struct {
		args []string
		want string
	}{
		{append(world, "--udp", "0.0.0.0:0"), "--udp 0.0.0.0:0 would let everybody"},
		{append(world, "--udp", "", "--tls-require=false"), "--tcp 0.0.0.0:0 would let everybody"},
		{with("--tcp", "0.0.0.0:0"), "--tcp 0.0.0.0:0 would let everybody"},
		{pair[:2], "--tls-cert needs its key: --tls-key FILE"},
		{pair[2:], "there is no TLS without --tls-cert"},
		{with("--tcp", ""), "TCP is off"},
		{[]string{"--tls-cert", stranger, "--tls-key", keyFile}, "is not that of the first certificate"},
		{[]string{"--unix-mode", "0660"}, "there is no --unix"},
		{[]string{"--unix", "@gcd"}, "abstract"},
		{[]string{"--unix", "/tmp/" + strings.Repeat("x", 200)}, "may have"},
		{[]string{"--unix", "s", "--unix-mode", "rw"}, "octal digits"},
		{[]string{"--unix", "s", "--unix-mode", "4600"}, "octal digits"},
		{[]string{"--unix", "s", "--unix-mode", "0400"}, "octal digits"},
	} {
		if said := refusedArgs(t, row.args...); !strings.Contains(said, row.want) {
			t.Errorf("%q: it says %q, want %q", row.args, said, row.want)
		}
	}
	got := readArgs(t, "--tcp", "", "--udp", "", "--unix", "s", "--unix-mode", "660")
	if got.server.Unix != "s" || got.server.UnixMode != os.FileMode(0o660) {
		t.Errorf("a unix socket at %q with mode %v", got.server.Unix, got.server.UnixMode)
	}
}
