package blocking

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
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
	}, nil)
}

// script is a connection whose client sends pieces, each for a read or more, and then the end.
type script struct {
	net.Conn
	pieces []string
	before func() // each read
	got    []byte // what it was sent
}

func (s *script) Read(b []byte) (int, error) {
	s.before()
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.got = append(s.got, b...)
	return len(b), nil
}

func (s *script) Close() error                       { return nil }
func (s *script) LocalAddr() net.Addr                { return nil }
func (s *script) SetReadDeadline(t time.Time) error  { return nil }
func (s *script) SetWriteDeadline(t time.Time) error { return nil }

// play serves a connection whose client sends pieces, and calls before each read. It returns what
// the client was sent, and nothing of the connection is left.
func play(t *testing.T, d *Dispatcher, before func(*conn), pieces ...string) string {
	t.Helper()
	peer := gate.Peer{Addr: netip.MustParseAddrPort("127.0.0.1:4711")}
	from, code, _ := d.o.Gate.Enter(peer)
	c := newConn(d)
	s := &script{pieces: pieces}
	s.before = func() { before(c) }
	c.begin(s, peer, from, code)
	c.run()
	if st := d.o.Gate.Stats(); st.Connections+st.InFlight+st.Held != 0 {
		t.Errorf("at the end: %+v", st)
	}
	return string(s.got)
}

// What a client takes to send the rest of a command is none of the time that the command took.
func TestSilenceIsNoTimeOfACommand(t *testing.T) {
	t.Parallel()
	reads, d := 0, newDispatcher(new(backend))
	play(t, d, func(c *conn) {
		reads++
		if c.redis != nil && c.redis.Talked {
			t.Errorf("before read %d the time of what was done runs still", reads)
		}
	}, "*2\r\n$4\r\nIN", "CR\r\n$1\r\nx\r\n", "PING\r\nPI", "NG\r\n")
	if st := d.o.Gate.Stats(); reads != 5 || st.Panics != 0 {
		t.Errorf("%d reads and %d panics, want 5 and none", reads, st.Panics)
	}
}

// nothing is done before a read.
func nothing(*conn) {}

// A panic in a session ends its connection, and nothing of its client is left: not on the list, and
// no charge for what it held.
func TestPanicOfASession(t *testing.T) {
	t.Parallel()
	d := newDispatcher(new(backend))
	d.o.Redis.SetCommand("fault", func() { panic("a bug in a command") })
	got := play(t, d, nothing, "MULTI\r\n"+strings.Repeat("INCR x\r\n", 1000), "FAULT\r\nEXEC\r\n", "PING\r\n")
	if st := d.o.Gate.Stats(); st.Panics != 1 || strings.Contains(got, "PONG") {
		t.Errorf("%d panics, want 1; it is answered %.99q", st.Panics, got)
	}
	if list := play(t, d, nothing, "CLIENT LIST\r\n"); strings.Count(list, " addr=") != 1 {
		t.Errorf("there are %q; want the one who asks", list)
	}
}

// A command counts in its connection's last turn, too, when nobody is told what became of it.
func TestLastTurnIsCounted(t *testing.T) {
	t.Parallel()
	b := new(backend)
	b.Outcome = func(*core.Op) error { return errors.New("it may be durable, or not") }
	d := newDispatcher(b)
	if got := play(t, d, nothing, "INCR x\r\n", "PING\r\n"); got != "" {
		t.Errorf("it is answered %q", got)
	}
	if info := play(t, d, nothing, "INFO commandstats\r\n"); !strings.Contains(info, "cmdstat_incr:calls=1,") {
		t.Errorf("there was one INCR: %q", info)
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
