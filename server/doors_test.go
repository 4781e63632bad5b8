package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"

	"gcd/server"
	"gcd/store/core"
)

// eachDoorAlone runs f for each door while the others are off, in both ways of dispatch.
func eachDoorAlone(t *testing.T, f func(t *testing.T, network string, o server.Options)) {
	eachDispatch(t, func(t *testing.T, o server.Options) {
		for _, door := range []struct {
			name, network string
			options       server.Options
		}{
			{"TCP without RESP", "tcp", server.Options{TCP: "127.0.0.1:0", NoRESP: true}},
			{"TCP", "tcp", server.Options{TCP: "127.0.0.1:0"}},
			{"RESP", "resp", server.Options{TCP: "127.0.0.1:0"}},
			{"UDP", "udp", server.Options{UDP: "127.0.0.1:0"}},
		} {
			door.options.Dispatch, door.options.Workers = o.Dispatch, 1
			t.Run(door.name, func(t *testing.T) {
				t.Parallel()
				f(t, door.network, door.options)
			})
		}
	})
}

// Each door does all that it does while the others are off.
func TestEachDoorAlone(t *testing.T) {
	t.Parallel()
	eachDoorAlone(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		if (s.TCPAddr() == nil) != (network == "udp") || (s.UDPAddr() == nil) != (network != "udp") {
			t.Fatalf("TCP at %v, UDP at %v", s.TCPAddr(), s.UDPAddr())
		}
		f.decide(func(op *core.Op) error {
			if string(op.Topic) == "full" {
				return core.ErrTooManyTopics
			}
			return nil
		})
		addr := s.addr(network)
		for i := range byte(3) {
			wantAnswer(t, ask(t, network, addr, count("orders")), 128, i+1)
		}
		wantAnswer(t, ask(t, network, addr, reset("orders")), 129)
		wantAnswer(t, ask(t, network, addr, count("orders")), 128, 1)
		if b := ask(t, network, addr, count("full")); len(b) < 2 || b[0] != 255 {
			t.Errorf("a refusal is % x", b)
		}
		eventually(t, "all is told", func() bool { st := s.Stats(); return st.Answered >= 5 && st.InFlight == 0 })
	})
}

// What is under way at a door when the server stops is answered, whatever other doors there are,
// and so is what comes until then.
func TestEachDoorAloneAtAShutdown(t *testing.T) {
	t.Parallel()
	eachDoorAlone(t, func(t *testing.T, network string, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetParting(0) })
		f.block()
		// Somebody else has the commit, so that no worker waits in it.
		f.Submit(&core.Group{Ops: []core.Op{{Topic: []byte("else")}}, Done: func(*core.Group) {}})
		eventually(t, "the commit is held up", f.isStuck)
		var clients []net.Conn
		for range 3 {
			c := dial(t, network, s.addr(network))
			send(t, c, count("orders"))
			clients = append(clients, c)
			eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == int64(len(clients)) })
		}
		stopped := make(chan error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		go func() { stopped <- s.Shutdown(ctx) }()
		eventually(t, "the door is shut", func() bool { return shut(network, s.addr(network)) })
		f.unblock()
		seen := map[uint64]bool{}
		for _, c := range clients {
			seen[sum(answer(t, c))] = true
		}
		if !seen[1] || !seen[2] || !seen[3] {
			t.Errorf("the answers are %v", seen)
		}
		for _, wait := range []struct {
			what string
			c    chan error
		}{{"Shutdown", stopped}, {"Serve", s.served}} {
			select {
			case err := <-wait.c:
				if err != nil {
					t.Errorf("%s returned %v, want nothing", wait.what, err)
				}
			case <-ctx.Done():
				t.Fatalf("%s does not return", wait.what)
			}
		}
		s.served = nil
		if st := s.Stats(); st.Answered != 3 || st.InFlight != 0 {
			t.Errorf("%d were answered, %d are in flight", st.Answered, st.InFlight)
		}
	})
}

// shut tells whether a door takes nothing more.
func shut(network, addr string) bool {
	if network == "udp" {
		c, err := net.Dial("udp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		// Something that is dropped without an answer. Where nobody listens the second one is told
		// so.
		for range 2 {
			if _, err := c.Write([]byte{200}); err != nil {
				return true
			}
		}
		return false
	}
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err != nil
}

// Datagrams that are committed together: who gets no answer takes none from those before or
// after it, and each gets its own.
func TestNeighboursOfADatagramWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	lost := fmt.Errorf("%w: as it happens", core.ErrUnknown)
	outcomes := map[byte]error{'k': nil, 'l': lost, 'r': core.ErrTooManyTopics}
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.UDP, o.Workers = "127.0.0.1:0", 1
		s, f := serveFake(t, o)
		f.decide(func(op *core.Op) error { return outcomes[op.Topic[0]] })
		for round, batch := range []string{"lk", "kl", "llk", "lkl", "rlk", "lrk", "klrklrkl", "llllllk"} {
			f.block()
			first := dial(t, "udp", s.addr("udp"))
			send(t, first, count("k first"))
			eventually(t, "the commit is held up", f.isStuck)
			var clients []net.Conn
			for i := range batch { // while that is, all of them come into the socket
				c := dial(t, "udp", s.addr("udp"))
				send(t, c, count(fmt.Sprintf("%c %d %d", batch[i], round, i)))
				clients = append(clients, c)
			}
			f.setSum(fmt.Sprintf("k %d 0", round), 7) // so that answers differ
			f.unblock()
			wantAnswer(t, answer(t, first), 128, byte(round+1))
			last := dial(t, "udp", s.addr("udp")) // after all of them
			send(t, last, count("k last"))
			wantAnswer(t, answer(t, last), 128, byte(round+1))
			for i, c := range clients {
				switch batch[i] {
				case 'k':
					want := []byte{128, 1}
					if i == 0 {
						want[1] = 8
					}
					if got := answer(t, c); !bytes.Equal(got, want) {
						t.Errorf("%s: datagram %d is answered % x, want % x", batch, i, got, want)
					}
				case 'r':
					wantRefusal(t, "udp", answer(t, c), 6)
				}
			}
			eventually(t, "nothing is in flight", func() bool { return s.Stats().InFlight == 0 })
			for i, c := range clients {
				if batch[i] == 'l' { // what it hears is the answer to what it asks next
					topic := fmt.Sprintf("k again %d %d", round, i)
					f.setSum(topic, 40)
					send(t, c, count(topic))
					wantAnswer(t, answer(t, c), 128, 41)
				}
			}
		}
	})
}
