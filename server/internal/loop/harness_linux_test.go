package loop

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/server/internal/counter"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/redis"
	"gcd/server/internal/socket"
	"gcd/store"
	"gcd/store/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

// backend is one whose commits the test makes (pair.commit), unless owned: then every caller of
// Enqueue owns the commit. Of what RESP reads there is nothing.
type backend struct {
	owned  bool
	groups []*core.Group
	looked int // topics
}

func (b *backend) Submit(g *core.Group) { b.groups = append(b.groups, g) }

func (b *backend) Enqueue(gs ...*core.Group) bool {
	b.groups = append(b.groups, gs...)
	return b.owned
}

func (b *backend) Round() {}

func (b *backend) Fits([]core.Op) bool                    { return true }
func (b *backend) Refusing() error                        { return nil }
func (b *backend) WholeVersion() uint64                   { return 0 }
func (b *backend) GetBytes([]byte) (v core.Value, _ bool) { return v, false }
func (b *backend) Live() int                              { return 0 }
func (b *backend) Stats() (st store.Stats)                { return st }
func (b *backend) Options() (o store.Options)             { return o }

// Scan finds dead topics without an end.
func (b *backend) Scan(cursor uint64, limit int, _ func([]byte, core.Value)) uint64 {
	b.looked += limit
	return cursor + uint64(limit)
}

// newOptions are those of a pool over a backend, whose sessions have all that they may ask for.
func newOptions(b *backend) Options {
	log := hclog.NewNullLogger()
	g := gate.New(gate.Options{
		MaxConns: 10_000, MaxConnsPerSource: 10_000, MaxInFlight: 65_536, MaxInFlightBytes: 256 << 20,
		RefusalRate: 100, Logger: log,
	})
	d := redis.NewDoor(redis.Options{
		Gate: g, Backend: func() redis.Backend { return b }, Port: func() int { return 0 },
		Settings: func() []redis.Setting { return nil }, WriteTimeout: patience, Logger: log,
	})
	return Options{Workers: 1, Processors: 2, Options: dispatch.Options{
		Gate: g, Backend: func() dispatch.Backend { return b }, Redis: d, Logger: log,
		Counter: &counter.Protocol{Gate: g, Parse: codec.ParseRequest},
		Settle:  5 * time.Millisecond, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		FirstByte: 100 * time.Millisecond, Linger: time.Second,
	}}
}

// idleLoop is a loop that nothing runs but the test, over a socket for datagrams, or none: -1.
func idleLoop(t *testing.T, datagrams int) (*loop, *backend) {
	t.Helper()
	b := new(backend)
	l, err := newLoop(&Pool{o: newOptions(b), listener: -1, datagrams: datagrams})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l, b
}

// idlePool is an open pool of so many loops on real sockets, that nothing runs but the test. The
// first loop alone is a home of conversations.
func idlePool(t *testing.T, loops int) (p *Pool, b *backend, tcp, udp string) {
	t.Helper()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket.GrowReceiveBuffer(box.(*net.UDPConn), hclog.NewNullLogger())
	tcp, udp = door.Addr().String(), box.LocalAddr().String()
	b = new(backend)
	o := newOptions(b)
	o.Workers = loops
	if p, err = New(o, door.(*net.TCPListener), box.(*net.UDPConn)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range p.loops {
			closeAll(l)
		}
		p.close()
	})
	p.Open()
	return p, b, tcp, udp
}

// closeAll closes all connections of a loop.
func closeAll(l *loop) {
	for _, c := range l.conns {
		c.close(nil)
	}
}

// dial connects to a server.
func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is a connection of a loop that nothing runs but the test, and the client's end of it.
type pair struct {
	t      *testing.T
	l      *loop
	b      *backend
	c      *conn
	client int
}

// newPair lets a client in who has sent something already, or not.
func newPair(t *testing.T, l *loop, b *backend, sent string) *pair {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, l: l, b: b, client: fds[1]}
	p.send(sent)
	l.letIn(fds[0], gate.Peer{Addr: netip.AddrPortFrom(netip.IPv6Loopback(), 1)})
	for _, c := range l.conns {
		if c.state != closed && c.fd == fds[0] {
			p.c = c
		}
	}
	t.Cleanup(func() {
		if p.c != nil {
			p.c.close(nil)
		}
		unix.Close(fds[1])
	})
	return p
}

func (p *pair) send(s string) {
	p.t.Helper()
	if n, err := unix.Write(p.client, []byte(s)); n != len(s) || err != nil {
		p.t.Fatal(n, err)
	}
}

// read returns what the client was sent.
func (p *pair) read() string {
	b := make([]byte, 1<<20)
	n, _ := unix.Read(p.client, b)
	return string(b[:max(0, n)])
}

func (p *pair) want(s string) {
	p.t.Helper()
	if got := p.read(); got != s {
		p.t.Errorf("the client reads %q, want %q", got, s)
	}
}

// event is one edge of the connection, and nothing more of the loop's turn.
func (p *pair) event(more uint32) {
	p.l.handle(unix.EpollEvent{Events: unix.EPOLLIN | more, Fd: p.c.slot, Pad: p.c.generation})
}

// turn does what a turn of the loop does with one edge of the connection, before it commits.
func (p *pair) turn() {
	p.event(0)
	p.l.goOn()
}

// commit gives all groups that wait their outcomes, the values from first on, and has the loop
// finish them.
func (p *pair) commit(first uint64) { commitAll(p.l, p.b, first) }

func commitAll(l *loop, b *backend, first uint64) (ops int) {
	l.commit()
	groups := b.groups
	b.groups = nil
	for _, g := range groups {
		for i := range g.Ops {
			g.Ops[i].Sum, g.Ops[i].Err = first, nil
			first++
		}
		ops += len(g.Ops)
		g.Done(g)
	}
	l.commit()
	return ops
}
