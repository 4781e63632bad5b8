package blocking

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/server/internal/counter"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/redis"
	"gcd/server/internal/session/sessiontest"
	"gcd/store/core"
)

// backend is one in memory, where each group is done when it is submitted.
type backend struct {
	sessiontest.Backend
	bug string // what Submit panics with
}

func (b *backend) Submit(g *core.Group) {
	if b.bug != "" {
		panic(b.bug)
	}
	b.Backend.Submit(g)
	b.Commit()
}

func (b *backend) Enqueue(...*core.Group) bool { return false }
func (b *backend) Round()                      {}

// newDispatcher is one without sockets, over a backend.
func newDispatcher(b *backend) *Dispatcher {
	log := hclog.NewNullLogger()
	g := gate.New(gate.Options{MaxConns: 10, MaxConnsPerSource: 10, MaxInFlight: 65_536, MaxInFlightBytes: 256 << 20,
		RefusalRate: 100, Logger: log})
	door := redis.NewDoor(redis.Options{
		Gate: g, Backend: func() redis.Backend { return b }, Port: func() int { return 0 },
		Settings: func() []redis.Setting { return nil }, WriteTimeout: time.Hour, Logger: log,
	})
	return New(dispatch.Options{
		Gate: g, Backend: func() dispatch.Backend { return b }, Redis: door, Logger: log,
		Counter: &counter.Protocol{Gate: g, Parse: codec.ParseRequest},
		Settle:  time.Hour, ReadTimeout: time.Hour, WriteTimeout: time.Hour, FirstByte: time.Hour, Linger: time.Hour,
	}, nil, nil)
}

// script is a connection whose client sends pieces, one for each read, and then the end.
type script struct {
	net.Conn
	pieces []string
	before func() // each read
}

func (s *script) Read(b []byte) (int, error) {
	s.before()
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	s.pieces = s.pieces[1:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)        { return len(b), nil }
func (s *script) Close() error                       { return nil }
func (s *script) LocalAddr() net.Addr                { return nil }
func (s *script) SetReadDeadline(t time.Time) error  { return nil }
func (s *script) SetWriteDeadline(t time.Time) error { return nil }

// play serves a connection whose client sends pieces, and calls before each read.
func play(t *testing.T, d *Dispatcher, before func(*conn), pieces ...string) {
	t.Helper()
	peer := gate.Peer{Addr: netip.MustParseAddrPort("127.0.0.1:4711")}
	from, code, _ := d.o.Gate.Enter(peer)
	c := newConn(d)
	s := &script{pieces: pieces}
	s.before = func() { before(c) }
	c.begin(s, peer, from, code)
	c.run()
	if st := d.o.Gate.Stats(); st.Panics+uint64(st.Connections)+uint64(st.InFlight)+uint64(st.Held) != 0 {
		t.Errorf("at the end: %+v", st)
	}
}

// What a client takes to send the rest of a command is none of the time that the command took.
func TestSilenceIsNoTimeOfACommand(t *testing.T) {
	t.Parallel()
	reads := 0
	play(t, newDispatcher(new(backend)), func(c *conn) {
		reads++
		if c.redis != nil && c.redis.Talked {
			t.Errorf("before read %d the time of what was done runs still", reads)
		}
	}, "*2\r\n$4\r\nIN", "CR\r\n$1\r\nx\r\n", "PING\r\nPI", "NG\r\n")
	if reads != 5 {
		t.Errorf("%d reads, want 5", reads)
	}
}

// A panic in the backend is nobody's but the process's: what it would leave half done is durable
// for all. One in the handling of a datagram costs that datagram alone.
func TestPanicOfADatagram(t *testing.T) {
	t.Parallel()
	for _, inside := range []bool{true, false} {
		b := new(backend)
		d := newDispatcher(b)
		if inside {
			b.bug = "a bug in the backend"
		} else {
			d.o.Counter.Parse = func([]byte) (codec.Request, error) { panic("a bug in the parser") }
		}
		one := newDatagram(d)
		one.msg, one.claim = []byte("\x00x"), gate.Claim{From: d.o.Gate.Source(one.peer), Requests: 1, Bytes: 2}
		if !d.o.Gate.Admit(one.claim) {
			t.Fatal("not admitted")
		}
		var with any
		func() {
			defer func() { with = recover() }()
			one.run()
		}()
		st := d.o.Gate.Stats()
		if inside && (with != b.bug || st.Panics != 0) {
			t.Errorf("in the backend: it ends with %v, and %d were caught", with, st.Panics)
		}
		if !inside && (with != nil || st.Panics != 1 || st.InFlight != 0) {
			t.Errorf("in the parser: it ends with %v, %d were caught, %d are in flight", with, st.Panics, st.InFlight)
		}
	}
}
