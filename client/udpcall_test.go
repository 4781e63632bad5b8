package client

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// These tests take an exchange step by step, where a whole call would leave the order of events to
// chance.

// Two datagrams are sent before the first answer is read.
func TestUDPRefusalBesideAnotherAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, first, second string
		sum                 uint64 // when class is ""
		class               string
		settled             bool
	}{
		{"refused and counted", "\xff\x08", "\x80\x07", 7, "", true},
		{"counted and refused", "\x80\x07", "\xff\x08", 7, "", false},
		{"both refused", "\xff\x08", "\xff\x04", 0, "refused", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			x := newUDPCall(t, servertest.UDP(t, func(r servertest.Datagram) {
				if n++; n == 1 {
					r.Reply(test.first)
				} else {
					r.Reply(test.second)
				}
			}))
			for range 2 {
				if err := x.send(); err != nil {
					t.Fatal(err)
				}
			}
			reply, err := x.listen()
			if test.class == "" {
				wantSum(t, reply.Sum, err, test.sum)
			} else {
				_, err = x.failed(err)
				wantClass(t, requestError("the server", "udp", asked(x.op, "orders"), err), test.class)
			}
			if x.allAnswered() != test.settled {
				t.Errorf("settled is %v", x.allAnswered())
			}
		})
	}
}

func TestUDPNothingIsSentForAContextThatHasEnded(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	addr := servertest.UDP(t, func(r servertest.Datagram) { got <- r.Bytes })
	ctx, cancel := context.WithCancel(patient(t))
	cancel()
	x := newUDPCall(t, addr)
	_, err := x.run(ctx, 5, servertest.Patience)
	wantClass(t, err, "not sent")
	if x.sent != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d datagrams, %v", x.sent, err)
	}
}

// A context that ends while the datagram goes out interrupts a deadline that is then set anew.
func TestUDPContextEndsWhileSending(t *testing.T) {
	t.Parallel()
	x := newUDPCall(t, servertest.UDP(t, func(servertest.Datagram) {}))
	result := make(chan error, 1)
	go func() {
		_, err := x.run(endedOnceSent{t.Context(), x}, 5, 100*servertest.Patience)
		result <- err
	}()
	err := receive(t, result)
	wantClass(t, err, "unknown")
	if x.sent != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d datagrams, %v", x.sent, err)
	}
}

// endedOnceSent is a context that ends with the first datagram of x; only x.run's goroutine may ask
// it.
type endedOnceSent struct {
	context.Context
	x *udpCall
}

func (ctx endedOnceSent) Err() error {
	if ctx.x.sent > 0 {
		return context.Canceled
	}
	return nil
}

// The report that nobody listens may come with the next send, which then sends nothing and has to
// be done again.
func TestUDPReportOnSending(t *testing.T) {
	t.Parallel()
	x := newUDPCall(t, servertest.Absent(t, "udp"))
	for x.void < 3 {
		// a second report may come right after the first
		if err := x.send(); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	if x.void >= x.sent {
		t.Errorf("%d of %d datagrams were turned away, before the last was heard of", x.void, x.sent)
	}
}

// newUDPCall returns a COUNT on a socket of its own, with nothing sent yet and the deadline of a
// patient test.
func newUDPCall(t *testing.T, addr string) *udpCall {
	t.Helper()
	s, err := newSockets(addr, false).take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	s.conn.SetDeadline(time.Now().Add(servertest.Patience))
	return &udpCall{socket: s, op: 0, msg: []byte("\x00orders")}
}
