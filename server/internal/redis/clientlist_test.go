package redis

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"gcd/server/internal/gate"
)

// TestClientListLooksAtNoMoreThanItTells: a transaction may have tens of thousands of these, and
// they are run in one turn. What a list of all 10,000 clients takes is some 80 KB, and its sorting.
func TestClientListLooksAtNoMoreThanItTells(t *testing.T) { // beside no other test, since it counts bytes
	x := newTestExchange(t)
	self := x.client
	for range 10_000 {
		self.worker.NewSession(self.peer, self.local)
	}
	const rounds = 100
	for in, want := range map[string]string{
		"CLIENT LIST ID 0\r\n":                        "$0\r\n\r\n",
		"CLIENT LIST ID 10002 -1\r\n":                 "$0\r\n\r\n",
		"CLIENT LIST TYPE pubsub\r\n":                 "$0\r\n\r\n",
		"CLIENT LIST TYPE nosuch\r\n":                 "-ERR Unknown client type 'nosuch'\r\n",
		"CLIENT LIST ID x\r\n":                        "-ERR Invalid client ID\r\n",
		"CLIENT LIST x y z\r\n":                       "-ERR syntax error\r\n",
		fmt.Sprintf("CLIENT LIST ID %d\r\n", self.id): "",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			if got := string(feed(x, []byte(in))); got != want && want != "" {
				t.Fatalf("%q: %q, want %q", in, got, want)
			}
		}
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / rounds; bytes > 20_000 {
			t.Errorf("%q: %d bytes a call", in, bytes)
		}
	}
}

// Over a socket for both families an IPv4 client and the server's end are shown as such.
func TestClientLineShowsAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(nil)
	for addr, want := range map[string]string{"::ffff:10.0.0.7": "10.0.0.7", "10.0.0.7": "10.0.0.7",
		"2001:db8::1": "[2001:db8::1]"} {
		one := netip.AddrPortFrom(netip.MustParseAddr(addr), 4711)
		c := l.door.NewWorker(&l.world(false).Worker, false).NewSession(gate.Peer{Addr: one}, one)
		line := string(c.appendLine(nil, c.since))
		if !strings.Contains(line, " addr="+want+":4711 laddr="+want+":4711 ") {
			t.Errorf("the line of a client at %s is %s", addr, line)
		}
	}
}
