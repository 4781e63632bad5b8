package counter

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/internal/thin"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/server/internal/session/sessiontest"
	"gcd/store/core"
)

var somebody = gate.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:4711")}

// lab makes worlds of one client with one message.
type lab struct {
	gate    *gate.Gate
	p       Protocol
	backend sessiontest.Backend
	session Session // used for one connection after the other
}

func newLab(mostInFlight int) *lab {
	g := gate.New(gate.Options{MaxConns: 100, MaxConnsPerSource: 100, MaxInFlight: mostInFlight,
		MaxInFlightBytes: 1 << 20, RefusalRate: 100, Logger: hclog.NewNullLogger()})
	return &lab{gate: g, p: Protocol{Gate: g, Parse: codec.ParseRequest}}
}

func (l *lab) world(pieces ...string) *sessiontest.World {
	l.backend = sessiontest.Backend{Outcome: l.backend.Outcome}
	l.backend.Set("x", 254)
	l.gate.Refusing.Store(0)
	w := sessiontest.New(l.gate, &l.backend)
	l.session.Begin(&l.p, &w.Worker, somebody, l.gate.Source(somebody))
	w.Add(&l.session, pieces...)
	return w
}

// reply is what a message is answered that was refused with a code, or that the backend has given
// this outcome.
func reply(msg []byte, refused codec.Code, outcome error) (want []byte, last session.Next) {
	req, err := codec.ParseRequest(msg)
	var r *codec.RefusalError
	switch {
	case refused != 0:
		return codec.AppendRefusal(nil, refused, refused.Advice()), session.Linger
	case errors.As(err, &r):
		return codec.AppendRefusal(nil, r.Code, r.Text), session.Linger
	case errors.Is(outcome, core.ErrUnknown):
		return nil, session.Close
	case errors.Is(outcome, core.ErrLogFull):
		return codec.AppendRefusal(nil, codec.CodeNoRoom, codec.CodeNoRoom.Advice()), session.Linger
	case req.Op == codec.OpReset:
		return codec.AppendResetReply(nil), session.Close
	case string(req.Topic) == "x":
		return codec.AppendCountReply(nil, 255), session.Close
	}
	return codec.AppendCountReply(nil, 1), session.Close
}

// judge says what is wrong with the answer to a message.
func (l *lab) judge(w *sessiontest.World, msg string, outcome error) error {
	c := w.Clients[0]
	got := []byte(msg[:c.Read])
	for _, n := range c.Empty[:max(0, len(c.Empty)-1)] {
		if n > 0 && codec.Complete(got[:n]) {
			return fmt.Errorf("more is read behind %d bytes, though they are complete", n)
		}
	}
	if !c.Over {
		if c.Read > 0 || c.Ends || w.Parting() || c.Clock != session.Message {
			return fmt.Errorf("it waits behind %d bytes, by clock %d", c.Read, c.Clock)
		}
		return nil
	}
	if c.Broken {
		return nil
	}
	if c.Read < MaxRead && c.Left > 0 {
		return fmt.Errorf("%d bytes are taken for the message, though there are %d more", c.Read, c.Left)
	}
	whole := c.Read == len(msg) || c.Quiet > 0 || c.Late > 0 || w.Parting() || codec.Complete(got)
	if !whole {
		return fmt.Errorf("%d bytes are taken for the message", c.Read)
	}
	want, last := reply(got, 0, outcome)
	is := bytes.Equal(c.Got, want) && c.Last == last && c.Late == 0
	if c.Late > 0 {
		want, last = reply(got, codec.CodeNothingArrived, nil)
		is = bytes.Equal(c.Got, want) && c.Last == last
	}
	if w.Stopping() && len(l.backend.Groups()) == 0 && !is { // it was refused for that, or it said nothing
		if want, last = reply(got, codec.CodeShuttingDown, nil); c.Read == 0 {
			want, last = nil, session.Close
		}
		is = bytes.Equal(c.Got, want) && c.Last == last
	}
	if !is {
		return fmt.Errorf("%.40q is answered %.40q, and then %d; want %.40q, %d", got, c.Got, c.Last, want, last)
	}
	return nil
}

// messages are of each kind: whole by their bytes or not, of no kind, too long.
var messages = []string{
	"", "\x00", "\x00x", "\x01x", "\x00orders", "\x00caf\xc3\xa9", "\x00\xf0\x9f\xa7\xae", "\x00\xff\xc3", "\x63x",
	"\x80x", "\x00" + strings.Repeat("l", 600), "\x00" + strings.Repeat("\xc3\xa9", 300),
	"\x00" + strings.Repeat("m", codec.MaxMessage-1), "\x00" + strings.Repeat("m", codec.MaxMessage),
	"\x00" + strings.Repeat("m", codec.MaxMessage+70_000),
}

// However a message is cut into two or three pieces, and whatever comes first of them, quiet, its
// end, an outcome, a clock or the server's end, it has one answer, of what was read until then.
func TestEverySplitAndOrder(t *testing.T) {
	t.Parallel()
	outcomes := []error{nil, core.ErrUnknown, core.ErrLogFull}
	for i, msg := range messages {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			l, runs := newLab(100), 0
			try := func(cut []string, mode int) {
				outcome := outcomes[mode%len(outcomes)]
				l.backend.Outcome = func(*core.Op) error { return outcome }
				runs += sessiontest.Each(func(ch *sessiontest.Choices) bool {
					w := l.world(cut...)
					w.Loops, w.Clients[0].Ends, w.Clocks = mode&1 > 0, mode&2 > 0, mode&4>>2
					w.Slow, w.Stops, w.Breaks = mode>>3 == 1, mode>>3 == 2, mode>>3 == 3
					if len(msg) < 20 {
						w.Most = mode % 3 // 0: all
					}
					err := w.Run(ch)
					if err == nil {
						err = l.judge(w, msg, outcome)
					}
					if err != nil {
						t.Fatalf("in %d pieces, mode %d, choices %v: %v", len(cut), mode, ch, err)
					}
					return true
				})
			}
			for pieces := range 3 {
				n := 0
				sessiontest.Splits(msg, pieces+1, 1+len(msg)/6, func(cut []string) {
					n++
					for mode := range 32 {
						rare := pieces * 4 * thin.Step(4)
						if len(msg) > 1000 { // the bytes cost more than the session
							rare *= 8
						}
						if (n+mode)%max(1, rare) == 0 {
							try(cut, mode)
						}
					}
				})
			}
			t.Logf("%d runs", runs)
		})
	}
}

// Who finds no place among the requests in flight is refused, and so is who comes while the
// counters are loaded; both ask nothing of the backend.
func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	for _, code := range []codec.Code{codec.CodeTooManyRequests, codec.CodeLoading} {
		l := newLab(1)
		w := l.world("\x00x")
		others := gate.Claim{From: l.gate.Source(somebody), Requests: 1}
		if code == codec.CodeLoading {
			l.gate.Refusing.Store(uint32(code))
		} else if !l.gate.Admit(others) {
			t.Fatal("there is no place for others")
		}
		w.Run(new(sessiontest.Choices))
		if want, last := reply([]byte("\x00x"), code, nil); !bytes.Equal(w.Clients[0].Got, want) ||
			w.Clients[0].Last != last || len(l.backend.Groups()) != 0 || l.gate.Stats().Refused[code] != 1 {
			t.Errorf("code %d: answered %q, %+v", code, w.Clients[0].Got, l.gate.Stats())
		}
	}
}

// A message that was cut off by its client is one broken connection, and one without a byte is
// none.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	for msg, want := range map[string]uint64{"": 0, "\x00": 1} {
		l := newLab(1)
		w := l.world()
		l.session.Advance(session.Event{Kind: session.Bytes, Bytes: []byte(msg)})
		l.session.Advance(session.Event{Kind: session.Ended, Err: errors.New("reset by peer")})
		if st := w.Gate.Stats(); st.BrokenConns != want {
			t.Errorf("%q: %d broken connections, want %d", msg, st.BrokenConns, want)
		}
	}
}

// A connection that has ended keeps nothing of a long message, whether it was counted or refused:
// nobody may come after it.
func TestLongMessageIsNotKept(t *testing.T) {
	t.Parallel()
	for _, long := range []int{10, 40_000} {
		for _, full := range []bool{false, true} {
			l := newLab(1)
			w := l.world("\x00" + strings.Repeat("l", long))
			w.Clients[0].Ends = true
			others := gate.Claim{From: l.gate.Source(somebody), Requests: 1}
			if full && !l.gate.Admit(others) {
				t.Fatal("there is no place for others")
			}
			if err := w.Run(new(sessiontest.Choices)); (err != nil) != full || !w.Clients[0].Over {
				t.Fatal("it does not end, or leaves something in flight:", err) // but for the others
			}
			kept := cap(l.session.in) + cap(l.session.out)
			if kept > maxKept || kept == 0 && long < maxKept || l.session.ops[0].Topic != nil {
				t.Errorf("%d bytes, full %t: room for %d is kept, and a topic of %d", long, full, kept,
					len(l.session.ops[0].Topic))
			}
		}
	}
}
