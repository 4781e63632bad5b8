package server_test

import (
	"net"
	"strings"
	"testing"

	"gcd/server"
	"gcd/store/core"
)

func TestLongestDatagram(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		topic := strings.Repeat("x", 65506)
		wantAnswer(t, ask(t, "udp", s.addr("udp"), count(topic)), 128, 1)
		if f.state()[topic] != 1 {
			t.Error("the topic was not counted whole")
		}
	})
}

// What is dropped is counted and gets no answer: the first answer is the COUNT's.
func TestDroppedDatagrams(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		c := dial(t, "udp", s.addr("udp"))
		sent := uint64(0)
		drop := func(msg ...byte) { // one at a time: the socket's buffer is small
			send(t, c, msg)
			sent++
			eventually(t, "it arrived", func() bool { return s.Stats().Datagrams == sent })
		}
		for op := 128; op < 256; op++ {
			drop(byte(op))
			drop(byte(op), 1)
		}
		for range 3 {
			drop()
		}
		send(t, c, count("orders"))
		wantAnswer(t, answer(t, c), 128, 1)
		if st := s.Stats(); st.ReplyDatagrams != 256 || st.EmptyDatagrams != 3 || len(st.Refused) != 0 {
			t.Errorf("%d like replies, %d empty, refused %v; want 256, 3, none", st.ReplyDatagrams, st.EmptyDatagrams,
				st.Refused)
		}
		if len(f.state()) != 1 {
			t.Error("a dropped datagram was counted")
		}
	})
}

// Two servers that were fed each other's addresses fall silent, whatever the first of them answers.
// The first is asked from the second's own address, before the second serves.
func TestTwoServersFallSilent(t *testing.T) {
	t.Parallel()
	for _, outcome := range []error{nil, core.ErrTooManyTopics} {
		eachDispatch(t, func(t *testing.T, o server.Options) {
			first, f := serveFake(t, o)
			f.decide(func(*core.Op) error { return outcome })
			f.block()
			g := newFake()
			t.Cleanup(g.close)
			o.UDP = "127.0.0.1:0"
			s, err := server.New(g, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			if err := s.Send(count("orders"), first.UDPAddr()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the request is in flight", func() bool { return first.Stats().InFlight == 1 })
			second := &running{Server: s, served: make(chan error, 1)}
			go func() { second.served <- s.Serve() }()
			t.Cleanup(func() { second.stop(t) })
			f.unblock()
			eventually(t, "the answer arrived", func() bool { return second.Stats().Datagrams == 1 })
			second.stop(t) // everything that it would answer is out
			if st := second.Stats(); st.ReplyDatagrams != 1 {
				t.Errorf("the second server took the answer for a request: %+v", st)
			}
			if n := first.Stats().Datagrams; n != 1 {
				t.Errorf("the first server received %d datagrams, want 1", n)
			}
		})
	}
}

// A socket bound to all addresses answers from the one that was asked: a connected socket hears
// nothing else.
func TestAnswerComesFromTheAddressThatWasAsked(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		for _, c := range []struct{ listen, ask string }{
			{"0.0.0.0:0", "127.0.0.1"},
			{"0.0.0.0:0", "127.0.0.2"},
			{":0", "127.0.0.1"},
			{":0", "127.0.0.2"},
			{":0", "::1"},
			{"[::1]:0", "::1"},
		} {
			t.Run(c.listen+" asked at "+c.ask, func(t *testing.T) {
				if probe, err := net.ListenPacket("udp", net.JoinHostPort(c.ask, "0")); err != nil {
					t.Skip("this system has no address ", c.ask)
				} else {
					probe.Close()
				}
				o.UDP = c.listen
				s, _ := serveFake(t, o)
				_, port, err := net.SplitHostPort(s.addr("udp"))
				if err != nil {
					t.Fatal(err)
				}
				addr := net.JoinHostPort(c.ask, port)
				wantAnswer(t, ask(t, "udp", addr, count("orders")), 128, 1)
				wantRefusal(t, "udp", ask(t, "udp", addr, []byte{99}), 2)
			})
		}
	})
}

// Every datagram that arrives counts, many at once too.
func TestBurstOfDatagrams(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		const burst = 100 // fits into the socket's buffer
		f.block()
		c := dial(t, "udp", s.addr("udp"))
		for range burst {
			send(t, c, count("orders"))
		}
		eventually(t, "all arrived", func() bool { return s.Stats().Datagrams == burst })
		f.unblock()
		seen := make(map[uint64]bool)
		for range burst {
			seen[sum(answer(t, c))] = true
		}
		for n := uint64(1); n <= burst; n++ {
			if !seen[n] {
				t.Fatalf("nobody got %d", n)
			}
		}
	})
}
