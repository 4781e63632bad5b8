package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gcd/codec"
	"gcd/server"
	"gcd/store/core"
)

// Shutdown answers what was given to the store, closes what sent nothing, refuses what is not
// whole, and takes nothing new.
func TestShutdown(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Settle = never
		s, f := serveFake(t, o)
		silent := dial(t, "tcp", s.addr("tcp"))
		half := dial(t, "tcp", s.addr("tcp"))
		send(t, half, []byte("\x00half\xc3"))
		eventually(t, "both are connected", func() bool { return s.Stats().Connections == 2 })
		f.block()
		var waiting []net.Conn
		for i, network := range []string{"tcp", "udp", "resp"} {
			for range 5 {
				c := dial(t, network, s.addr(network))
				send(t, c, count(network))
				waiting = append(waiting, c)
				eventually(t, "it is in flight", func() bool { return s.Stats().InFlight > int64(5*i) && f.isStuck() })
			}
		}
		eventually(t, "all are in flight", func() bool { return s.Stats().InFlight == 15 })
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		eventually(t, "the door is closed", func() bool {
			c, err := net.Dial("tcp", s.addr("tcp"))
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		f.unblock()
		for _, c := range waiting {
			if n := sum(answer(t, c)); n < 1 || n > 5 {
				t.Errorf("the answer is %d", n)
			}
		}
		if err := await(t, "it is done", done); err != nil {
			t.Error(err)
		}
		wantAnswer(t, answer(t, silent))
		wantRefusal(t, "tcp", answer(t, half), 12)
		if st := s.Stats(); st.Connections != 0 || st.InFlight != 0 {
			t.Errorf("%d connections and %d requests are left", st.Connections, st.InFlight)
		}
	})
}

// When the context ends first, Shutdown returns although the store is stuck, and nothing breaks
// when the store comes back.
func TestShutdownIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		s, f := serveFake(t, o)
		f.block()
		c := dial(t, network, s.addr(network))
		send(t, c, count("orders"))
		eventually(t, "it is in flight", func() bool { return s.Stats().InFlight == 1 })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown returned %v", err)
		}
		if o.Dispatch == server.Goroutine { // nothing of it is inside the store
			if err := await(t, "Serve returns", s.served); err != nil {
				t.Error(err)
			}
			s.served <- nil
		}
		f.unblock()
		if err := await(t, "Serve returns", s.served); err != nil {
			t.Error(err)
		}
		s.served = nil
		eventually(t, "the store let go", func() bool { return s.Stats().InFlight == 0 })
	})
}

func TestServeAndShutdownOutOfOrder(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
		f := newFake()
		defer f.close()
		s, err := server.New(f, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		waiting := dial(t, "tcp", s.TCPAddr().String())
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Serve(); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve after Shutdown returned %v", err)
		}
		// Its port may be another's by now, but who waited at the door was sent away.
		if _, err := io.ReadAll(waiting); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the door is open still")
		}
		r, _ := serveFake(t, o)
		wantAnswer(t, ask(t, "tcp", r.addr("tcp"), count("orders")), 128, 1) // it serves
		if err := r.Serve(); err == nil || errors.Is(err, server.ErrClosed) {
			t.Errorf("a second Serve returned %v", err)
		}
		r.stop(t)
		if err := r.Shutdown(context.Background()); err != nil {
			t.Errorf("a second Shutdown returned %v", err)
		}
	})
}

// A store that stopped after a disk error ends the serving.
func TestServeEndsWhenTheStoreFailed(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		f.decide(func(*core.Op) error { return core.ErrFailed })
		silent := dial(t, "tcp", s.addr("tcp"))
		eventually(t, "it is connected", func() bool { return s.Stats().Connections == 1 })
		close(f.failed)
		if err := await(t, "Serve returns", s.served); !errors.Is(err, core.ErrFailed) {
			t.Errorf("Serve returned %v", err)
		}
		s.served = nil
		wantAnswer(t, answer(t, silent))
	})
}

// Out of file descriptors: those who are in are served, the others when there are descriptors
// again.
func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		var exhausted atomic.Bool
		s := serve(t, f, o, func(s *server.Server) {
			s.SetBeforeAccept(func() error {
				if exhausted.Load() {
					return fmt.Errorf("accept: %w", syscall.EMFILE)
				}
				return nil
			})
		})
		inside := dial(t, network, s.addr(network))
		eventually(t, "it is in", func() bool { return s.Stats().Connections == 1 })
		exhausted.Store(true)
		var outside []net.Conn
		for range 5 {
			c := dial(t, network, s.addr(network))
			send(t, c, count("outside"))
			outside = append(outside, c)
		}
		eventually(t, "accepting failed again and again", func() bool { return s.Stats().AcceptErrors >= 3 })
		send(t, inside, count("inside"))
		wantAnswer(t, answer(t, inside), 128, 1)
		wantAnswer(t, ask(t, "udp", s.addr("udp"), count("inside")), 128, 2)
		exhausted.Store(false)
		for _, c := range outside {
			if n := sum(answer(t, c)); n < 1 || n > 5 {
				t.Errorf("the answer is %d", n)
			}
		}
	})
}

// A connection that was aborted before it was accepted delays nobody.
func TestAbortedConnectionsAreSkipped(t *testing.T) {
	t.Parallel()
	eachStream(t, func(t *testing.T, network string, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		var aborted atomic.Int64
		s := serve(t, f, o, func(s *server.Server) {
			s.SetBeforeAccept(func() error {
				if aborted.Add(1) <= 3 {
					return fmt.Errorf("accept: %w", syscall.ECONNABORTED)
				}
				return nil
			})
		})
		wantAnswer(t, ask(t, network, s.addr(network), count("orders")), 128, 1)
		if n := s.Stats().AcceptErrors; n != 3 {
			t.Errorf("%d errors counted, want 3", n)
		}
	})
}

// A panic while a client is handled ends that client's request and nothing else. The bug is in what
// reads the protocol; TestRESPPanic has one in a command of RESP.
func TestPanicInAHandler(t *testing.T) {
	t.Parallel()
	eachNetwork(t, []string{"tcp", "udp"}, func(t *testing.T, network string, o server.Options) {
		f := newFake()
		t.Cleanup(f.close)
		s := serve(t, f, o, func(s *server.Server) {
			s.SetParse(func(msg []byte) (codec.Request, error) {
				if strings.Contains(string(msg), "boom") {
					panic("a bug in a handler")
				}
				return codec.ParseRequest(msg)
			})
		})
		other := dial(t, "tcp", s.addr("tcp"))
		bad := dial(t, network, s.addr(network))
		send(t, bad, count("boom"))
		eventually(t, "the panic is noted", func() bool { return s.Stats().Panics == 1 })
		if network == "tcp" {
			wantAnswer(t, answer(t, bad))
		} else {
			send(t, bad, count("good"))
			wantAnswer(t, answer(t, bad), 128, 1)
		}
		send(t, other, count("other"))
		wantAnswer(t, answer(t, other), 128, 1)
		eventually(t, "nothing is left of it", func() bool {
			return s.Stats().Connections == 0 && s.Stats().InFlight == 0
		})
	})
}

// Two servers never share a port.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s, f := serveFake(t, o)
		for _, second := range []server.Options{
			{TCP: s.addr("tcp"), Dispatch: o.Dispatch},
			{UDP: s.addr("udp"), Dispatch: o.Dispatch},
			{TCP: "127.0.0.1:0", UDP: s.addr("udp"), Dispatch: o.Dispatch},
		} {
			other, err := server.New(f, second)
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Serve(); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("a second server on %+v: %v", second, err)
			}
		}
	})
}

// An IPv4 address is not taken for one of both families, as package net does with 0.0.0.0.
func TestIPv4Only(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.TCP, o.UDP = "0.0.0.0:0", "0.0.0.0:0"
		s, _ := serveFake(t, o)
		for _, addr := range []string{s.addr("tcp"), s.addr("udp")} {
			if !strings.HasPrefix(addr, "0.0.0.0:") {
				t.Errorf("it listens on %s", addr)
			}
		}
	})
}

func TestOneDoorOnly(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		tcp, udp := o, o
		tcp.TCP, udp.UDP = "127.0.0.1:0", "127.0.0.1:0"
		s, _ := serveFake(t, tcp)
		if s.UDPAddr() != nil {
			t.Error("UDP is on")
		}
		wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("orders")), 128, 1)
		wantAnswer(t, ask(t, "resp", s.addr("resp"), count("orders")), 128, 2)
		s, _ = serveFake(t, udp)
		if s.TCPAddr() != nil {
			t.Error("TCP is on")
		}
		wantAnswer(t, ask(t, "udp", s.addr("udp"), count("orders")), 128, 1)
	})
}
