package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"gcd/server"
	"gcd/store/core"
)

// Shutdown closes the connections that say nothing, and those with commands under way when these
// are answered; what comes after them is refused.
func TestRESPShutdown(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		silent, half, fresh := dialRESP(t, s, 2), dialRESP(t, s, 2), dialRESP(t, s, 2)
		say(t, silent, "PING\r\n", "+PONG\r\n")
		send(t, half, []byte("PING\r\nINCR ha"))
		readUntil(t, half, "+PONG\r\n")
		f.block()
		var waiting []net.Conn
		for i := range 5 {
			c := dialRESP(t, s, 2)
			send(t, c, []byte(long("INCR orders\r\n", 10)))
			waiting = append(waiting, c)
			eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == int64(10*i+10) && f.isStuck() })
			send(t, c, []byte("INCR never\r\n"))
		}
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		eventually(t, "the door is closed", func() bool {
			c, err := dialStream(s.addr("tcp"))
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		f.unblock()
		seen := make(map[string]bool)
		for _, c := range waiting {
			got := string(answer(t, c)) // to an orderly end, although the command after it was not read
			values, refused := strings.CutSuffix(got, shuttingDown)
			for _, n := range strings.Fields(values) {
				seen[n] = true
			}
			if strings.Count(values, "\r\n") != 10 || !refused {
				t.Errorf("answered %q", got)
			}
			c.Close()
		}
		if len(seen) != 50 {
			t.Errorf("%d values, want 50", len(seen))
		}
		if err := await(t, "it is done", done); err != nil {
			t.Error(err)
		}
		for _, c := range []net.Conn{silent, half, fresh} {
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("a silent connection was told %q", b)
			}
		}
		if state := f.state(); state["orders"] != 50 || len(state) != 1 {
			t.Errorf("the state is %v", state)
		}
		if st := s.Stats(); st.Connections != 0 || st.InFlight != 0 {
			t.Errorf("%d connections and %d requests are left", st.Connections, st.InFlight)
		}
	})
}

// When the context ends first, Shutdown returns although the store is stuck, and nothing breaks
// when the store comes back.
func TestRESPShutdownIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		f.block()
		for i := range 3 {
			send(t, dialRESP(t, s, 2), []byte("INCR orders\r\nINCR orders\r\n"))
			eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == int64(2*i+2) && f.isStuck() })
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown returned %v", err)
		}
		// The worker that is stuck in the store keeps its connection, and the others drop theirs,
		// which the store has still.
		eventually(t, "connections are dropped", func() bool { return s.Stats().Connections < 3 })
		f.unblock()
		if err := await(t, "Serve returns", s.served); err != nil {
			t.Error(err)
		}
		s.served = nil
		eventually(t, "the store let go", func() bool { return s.Stats().InFlight == 0 })
	})
}

// Under load, with commands of every kind, a shutdown leaves nothing behind.
func TestRESPShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, _ := serveFake(t, o)
		var loads sync.WaitGroup
		for i := range 8 {
			c := dialRESP(t, s, 2) // all before there is so much load that the server is stopped
			loads.Go(func() { loadRESP(c, fmt.Sprintf("topic%d", i%3)) })
		}
		eventually(t, "there is load", func() bool { return s.Stats().Answered > 2000 })
		s.stop(t)
		loads.Wait()
		if st := s.Stats(); st.Connections != 0 || st.InFlight != 0 || st.Panics != 0 {
			t.Errorf("%d connections, %d requests, %d panics", st.Connections, st.InFlight, st.Panics)
		}
	})
}

// loadRESP says things until the server closes.
func loadRESP(c net.Conn, topic string) {
	defer c.Close()
	commands := strings.ReplaceAll("INCR t\r\nGET t\r\nDEL t\r\nINCRBY t 3\r\nMGET t t\r\nSCAN 0\r\nKEYS "+
		"*\r\nINFO\r\nHELLO 3\r\nGCD.COUNT t 2\r\nCLIENT LIST\r\nRESET\r\n", " t", " "+topic)
	go io.Copy(io.Discard, c)
	for {
		if _, err := io.WriteString(c, commands); err != nil {
			return
		}
	}
}

// A panic while a command is run ends its connection and nothing else.
func TestRESPPanic(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) { s.SetCommand("boom", func() { panic("a bug in a command") }) })
		other := dialRESP(t, s, 2)
		for i := range 3 {
			c := dialRESP(t, s, 2)
			send(t, c, []byte("INCR orders\r\nBOOM\r\nINCR orders\r\n"))
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("answered %q", b)
			}
			eventually(t, "the panic is noted", func() bool { return s.Stats().Panics == uint64(i+1) })
			say(t, other, "PING\r\nINCR other\r\n", fmt.Sprintf("+PONG\r\n:%d\r\n", i+1))
		}
		eventually(t, "nothing is left of it",
			func() bool { return s.Stats().Connections == 1 && s.Stats().InFlight == 0 })
		if f.state()["orders"] != 0 {
			t.Error("a command was run whose answer could not be given")
		}
	})
}

// A store that stopped after a disk error ends the serving, also of connections that are silent.
func TestRESPEndsWhenTheStoreFailed(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		c := dialRESP(t, s, 2)
		say(t, c, "INCR orders\r\n", ":1\r\n")
		close(f.failed)
		if err := await(t, "Serve returns", s.served); !errors.Is(err, core.ErrFailed) {
			t.Errorf("Serve returned %v", err)
		}
		s.served = nil
		wantAnswer(t, answer(t, c))
	})
}

// Clients that go away at any moment leave nothing behind and disturb nobody.
func TestRESPClientsThatGoAway(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		for _, in := range []string{"I", "INCR gone\r\n", "INCR gone\r\n*2\r\n$4\r\nIN", long("INCR gone\r\n", 5000),
			long("KEYS *\r\n", 100), long("INFO\r\n", 3000), "*1\r\n$1000000\r\nabc"} {
			for _, reset := range []bool{false, true} {
				f.block()
				c := dial(t, "tcp", s.addr("tcp"))
				send(t, c, []byte(in))
				if reset {
					breakOff(c)
				}
				c.Close()
				f.unblock()
			}
		}
		c := dialRESP(t, s, 2)
		say(t, c, "INCR stays\r\n", ":1\r\n")
		eventually(t, "they are forgotten",
			func() bool { return s.Stats().Connections == 1 && s.Stats().InFlight == 0 })
		send(t, c, []byte("CLIENT LIST\r\nECHO end\r\n"))
		if got := readUntil(t, c, "$3\r\nend\r\n"); strings.Count(got, "id=") != 1 {
			t.Errorf("the list is %q", got)
		}
	})
}
