package loop

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
)

// A client from elsewhere that has to come within TLS and does not is told so, in its language.
func TestClearIsRefused(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"\x00orders":      "\xff\x15TLS required: connect with TLS",
		"INCR orders\r\n": "-ERR TLS required\r\n",
	} {
		l, b := idleLoop(t, -1)
		l.p.o.TLS, l.p.o.RequireTLS = new(tls.Config), true
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := &pair{t: t, l: l, b: b, client: fds[1]}
		p.send(said)
		l.letIn(fds[0], gate.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:4711")})
		p.want(want)
		if len(l.groups) > 0 {
			t.Error("it is counted")
		}
		unix.Close(fds[1])
		closeAll(l)
	}
}

// A connection that begins a handshake leaves the loop with its place at the gate and with what it
// has said, also when the loop waited for it.
func TestTLSGoesElsewhere(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		l, b := idleLoop(t, -1)
		var taken []dispatch.Taken
		l.p.o.TLS, l.p.o.Secure = new(tls.Config), func(one dispatch.Taken) { taken = append(taken, one) }
		const said = "\x16\x03\x01"
		var p *pair
		if waits {
			p = newPair(t, l, b, "")
			p.send(said)
			p.event(0)
		} else {
			p = newPair(t, l, b, said)
		}
		p.c = nil
		if len(taken) != 1 || string(taken[0].Said) != said {
			t.Fatalf("%+v went elsewhere", taken)
		}
		if l.open != 0 || l.due != never && l.reading.first != nil {
			t.Errorf("%d connections are left", l.open)
		}
		if n := l.p.o.Gate.Stats().Connections; n != 1 {
			t.Errorf("it has %d places at the gate, want its own", n)
		}
		if watches(l, taken[0].FD) {
			t.Error("the loop watches its socket still")
		}
		unix.Close(taken[0].FD)
		l.p.o.Gate.Leave(taken[0].Peer)
	}
}
