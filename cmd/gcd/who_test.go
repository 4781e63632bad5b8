package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/access"
	"gcd/internal/audit"
	"gcd/internal/cmdline"
	"gcd/internal/reload"
	"gcd/server"
)

// refusedArgs are arguments of serve that are wrong; it returns what is said about them.
func refusedArgs(t *testing.T, args ...string) string {
	t.Helper()
	err := tryArgs(t, new(settings), args...)
	var said strings.Builder
	if code := report(&said, err); code != cmdline.ExitUsage {
		t.Errorf("%q: exit code %d, want %d: %s", args, code, cmdline.ExitUsage, said.String())
	}
	return said.String()
}

// authFile makes a file of rules.
func authFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth")
	writeAuth(t, path, lines...)
	return path
}

func writeAuth(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestProtectedMode: a door that other machines reach is asked for with --auth or --open, over TCP
// and over UDP.
func TestProtectedMode(t *testing.T) {
	t.Parallel()
	auth := authFile(t, "anonymous - count:")
	for _, test := range []struct {
		addr   string
		beyond bool
	}{
		{"127.0.0.1:5555", false},
		{"127.255.255.254:0", false},
		{"[::1]:5555", false},
		{"[::ffff:127.0.0.1]:5555", false},
		{"localhost:5555", false},
		{"", false},
		{":5555", true},
		{"0.0.0.0:5555", true},
		{"[::]:5555", true},
		{"[::ffff:0.0.0.0]:5555", true},
		{"[::ffff:10.0.0.7]:5555", true},
		{"10.0.0.7:5555", true},
		{"192.168.1.1:0", true},
		{"[2001:db8::1]:5555", true},
		{"[fe80::1%eth0]:5555", true},
	} {
		for flag, other := range map[string]string{"--tcp": "--udp", "--udp": "--tcp"} {
			args := []string{flag, test.addr, other, "127.0.0.1:0"}
			if !test.beyond {
				readArgs(t, args...)
				if said := refusedArgs(t, append(args, "--open")...); !strings.Contains(said,
					"--open has no effect: the server listens on loopback alone") {
					t.Errorf("%q with --open: it says %q", args, said)
				}
				continue
			}
			want := fmt.Sprintf("gcd: %s %s would let everybody who reaches it count and reset\n"+
				"hint: --auth FILE, or --open to allow it\n", flag, test.addr)
			if said := refusedArgs(t, args...); said != want {
				t.Errorf("%q: it says %q, want %q", args, said, want)
			}
			readArgs(t, append(args, "--open")...)
			readArgs(t, append(args, "--auth", auth)...)
			if said := refusedArgs(t, append(args, "--auth", auth, "--open")...); !strings.Contains(said,
				"--open has no effect: with --auth nobody may do more than the file says") {
				t.Errorf("%q with --auth and --open: it says %q", args, said)
			}
		}
	}
}

// TestBeyondLoopbackByName: a name is beyond loopback if one of its addresses is.
func TestBeyondLoopbackByName(t *testing.T) {
	t.Parallel()
	for addrs, want := range map[string]bool{
		"127.0.0.1": false, "127.0.0.1 ::1": false, "::ffff:127.0.0.2": false, "10.0.0.7": true,
		"127.0.0.1 10.0.0.7": true, "::1 2001:db8::1": true, "0.0.0.0": true, "": false,
	} {
		got := beyondLoopback(t.Context(), "counters.example:5555",
			func(_ context.Context, network, host string) (ips []netip.Addr, err error) {
				if network != "ip" || host != "counters.example" {
					t.Errorf("it looks for %q in %q", host, network)
				}
				for _, ip := range strings.Fields(addrs) {
					ips = append(ips, netip.MustParseAddr(ip))
				}
				if ips == nil {
					err = &net.DNSError{IsNotFound: true}
				}
				return ips, err
			})
		if got != want {
			t.Errorf("a name of %q is beyond loopback: %t, want %t", addrs, got, want)
		}
	}
}

// TestCheckExposed looks at what is listened on in the end, and says what it means.
func TestCheckExposed(t *testing.T) {
	t.Parallel()
	tcp := func(ip net.IP) net.Addr { return &net.TCPAddr{IP: ip, Port: 5555} }
	udp := func(ip net.IP) net.Addr { return &net.UDPAddr{IP: ip, Port: 5555} }
	const open, clear, refused = "nobody is asked", "tokens go over the network in clear", "refused"
	for _, test := range []struct {
		addr        net.Addr
		plain       string // neither --auth nor --open
		open, rules string
	}{
		{nil, "", "", ""},
		{tcp(net.IPv4(127, 0, 0, 1)), "", "", ""},
		{tcp(net.IPv6loopback), "", "", ""},
		{udp(net.IPv4(127, 1, 2, 3)), "", "", ""},
		{tcp(net.IPv4zero), refused, open, clear},
		{tcp(net.IPv6zero), refused, open, clear},
		{tcp(nil), refused, open, clear}, // every address
		{tcp(net.IPv4(10, 0, 0, 7)), refused, open, clear},
		{udp(net.IPv4(10, 0, 0, 7)), refused, open, ""}, // no token goes over UDP
		{udp(nil), refused, open, ""},
	} {
		for as, want := range map[who]string{
			{}: test.plain, {open: true}: test.open, {authFile: "auth"}: test.rules,
		} {
			var log bytes.Buffer
			s := settings{who: as, log: hclog.New(&hclog.LoggerOptions{Output: &log})}
			err := s.checkExposed(test.addr)
			if got := report(io.Discard, err) == cmdline.ExitUsage; got != (want == refused) {
				t.Errorf("%v with %+v: refused with %v, want %t", test.addr, as, err, want == refused)
			}
			said := log.String()
			if want == refused {
				want = ""
			}
			if !strings.Contains(said, want) || want == "" && said != "" {
				t.Errorf("%v with %+v: the log has %q, want %q", test.addr, as, said, want)
			}
		}
	}
}

// TestExposedAfterAll: a name that leads beyond loopback only when it is listened on is refused
// then, and the directory is as it was.
func TestExposedAfterAll(t *testing.T) {
	t.Parallel()
	for _, doors := range []server.Options{{TCP: "0.0.0.0:0"}, {UDP: "0.0.0.0:0"}} {
		s := settings{dir: t.TempDir(), server: doors, log: hclog.NewNullLogger()}
		srv, err := newServer(s)
		if err != nil {
			t.Fatal(err)
		}
		_, err = openAll(t.Context(), s, nil, srv)
		if code := report(t.Output(), err); code != cmdline.ExitUsage {
			t.Errorf("%s%s: exit code %d, want %d", doors.TCP, doors.UDP, code, cmdline.ExitUsage)
		}
		if left, err := filepath.Glob(filepath.Join(s.dir, "counters.db")); err != nil || len(left) > 0 {
			t.Errorf("it has made %v (%v)", left, err)
		}
	}
}

// TestAuthReplacesAllowBackup: beside rights a flag that gives backups to everybody is refused.
func TestAuthReplacesAllowBackup(t *testing.T) {
	t.Parallel()
	said := refusedArgs(t, "--auth", authFile(t, "anonymous - count:"), "--allow-backup")
	want := "--allow-backup has no effect: with --auth it is the right backup that gives them"
	if !strings.Contains(said, want) {
		t.Errorf("it says %q, want %q", said, want)
	}
}

// TestShutDoors: a door that has no place for a token is said to be shut, where anonymous has no
// right that counts there.
func TestShutDoors(t *testing.T) {
	t.Parallel()
	token := "ops sha256:" + strings.Repeat("ab", 32) + " count:\n"
	for _, test := range []struct {
		rules    string
		udp, tcp bool // it is said of them; RESP is off over TCP
	}{
		{token, true, true},
		{token + "anonymous -\n", true, true},
		{token + "anonymous - read: admin\n", true, true},
		{token + "anonymous - count:a/\n", false, false},
		{token + "anonymous - reset:a/\n", false, false},
	} {
		rules, err := access.Parse("auth", []byte(test.rules))
		if err != nil {
			t.Fatal(err)
		}
		for _, doors := range []server.Options{
			{UDP: "127.0.0.1:0"}, {TCP: "127.0.0.1:0"}, {TCP: "127.0.0.1:0", NoRESP: true},
			{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", NoRESP: true},
		} {
			var log bytes.Buffer
			warnShut(hclog.New(&hclog.LoggerOptions{Output: &log}), rules, doors)
			for network, want := range map[string]bool{
				"UDP": test.udp && doors.UDP != "", "TCP": test.tcp && doors.TCP != "" && doors.NoRESP,
			} {
				if got := strings.Contains(log.String(), "nobody may do anything over "+network); got != want {
					t.Errorf("%q: that %s is shut is said: %t, want %t: %s", test.rules, network, got, want,
						log.String())
				}
			}
		}
	}
}

// TestRulesAtALook reads the rules of a real file anew, without a signal, and keeps those that it
// has where the new ones are wrong.
func TestRulesAtALook(t *testing.T) {
	t.Parallel()
	path := authFile(t, "anonymous - count:a/", "local unix count:")
	s := readArgs(t, "--memory", "--auth", path)
	var log bytes.Buffer
	var changes []string
	things := s.reloadables()
	looked := make(chan error)
	rules := &things[0]
	read := rules.Reload
	rules.Reload = func() (bool, error) {
		changed, err := read()
		if changed || err != nil {
			looked <- err
		}
		return changed, err
	}
	r := reload.Start(reload.Options{
		Things: things, Every: time.Millisecond, Log: hclog.New(&hclog.LoggerOptions{Output: &log}),
		Changed: func(what string) { changes = append(changes, what) },
	})
	may := func(topic string) bool { return s.server.Rules().Anonymous().May(access.Count, []byte(topic)) }
	if !may("a/1") || may("b/1") {
		t.Errorf("at the start anonymous may count a/1: %t, b/1: %t", may("a/1"), may("b/1"))
	}

	replace := func(lines ...string) {
		next := path + ".new"
		writeAuth(t, next, lines...)
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	replace("anonymous - count:b/", "ops sha256:"+strings.Repeat("ab", 32)+" admin")
	if err := receive(t, "a look at new rules", looked); err != nil {
		t.Errorf("right rules: %v", err)
	}
	if may("a/1") || !may("b/1") {
		t.Errorf("by the new rules anonymous may count a/1: %t, b/1: %t", may("a/1"), may("b/1"))
	}
	replace("anonymous - count:", "anonymous - count:")
	for range 3 { // the same error again and again
		if err := receive(t, "a look at wrong rules", looked); err == nil {
			t.Error("wrong rules were taken")
		}
	}
	if may("a/1") || !may("b/1") {
		t.Errorf("after wrong rules anonymous may count a/1: %t, b/1: %t", may("a/1"), may("b/1"))
	}
	replace("anonymous - count:c/")
	for receive(t, "a look at right rules", looked) != nil {
	}
	r.Stop(hang)
	for _, want := range []string{
		"reloaded: what=\"the rules of --auth\" principals=2 added=1 removed=1 changed=1",
		"cannot reload: what was read before stays: what=\"the rules of --auth\" error=\"" + path + ":2: anonymous",
		"reloaded: what=\"the rules of --auth\" principals=1 added=0 removed=1 changed=1",
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log has not once %q:\n%s", want, log.String())
		}
	}
	if want := "the rules of --auth, principals 2, added 1, removed 1, changed 1"; changes[0] != want {
		t.Errorf("it has told %q, want %q", changes, want)
	}
}

// TestCloseAudit: what is lost is said at the end.
func TestCloseAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit")
	var log bytes.Buffer
	s := readArgs(t, "--memory", "--audit-log", path)
	s.log = hclog.New(&hclog.LoggerOptions{Output: &log})
	s.closeAudit()
	if log.Len() > 0 {
		t.Errorf("where nothing is lost it says %s", log.String())
	}
	s = readArgs(t, "--memory", "--audit-log", path)
	s.log = hclog.New(&hclog.LoggerOptions{Output: &log})
	s.server.Audit.Close(hang)
	s.record(audit.Record{Event: audit.Stop})
	s.closeAudit()
	if want := "the audit log is not complete: lost_lines=1"; !strings.Contains(log.String(), want) {
		t.Errorf("it says %q, want %q", log.String(), want)
	}
	(&settings{}).closeAudit() // there is none
}
