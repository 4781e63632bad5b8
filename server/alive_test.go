package server_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gcd/server"
)

// TestAlive: a server lives while its workers go round, idle ones and those that count.
func TestAlive(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.Workers = 3
		s, _ := serveFake(t, o)
		for n := range byte(3) {
			if err := s.Alive(t.Context()); err != nil {
				t.Error(err)
			}
			wantAnswer(t, ask(t, "tcp", s.addr("tcp"), count("a")), 0x80, n+1)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Alive(t.Context()); err != nil {
			t.Errorf("after its end: %v", err)
		}
	})
}

// TestAliveStuck: one loop of several that hangs is enough.
func TestAliveStuck(t *testing.T) {
	t.Parallel()
	if !server.HavePool {
		t.Skip("there are no loops on this system")
	}
	entered, gate := make(chan struct{}), make(chan struct{})
	f := newFake()
	t.Cleanup(f.close)
	s := serve(t, f, server.Options{TCP: "127.0.0.1:0", Workers: 3}, func(s *server.Server) {
		s.SetCommand("hang", func() {
			close(entered)
			<-gate
		})
	})
	c, err := connect("tcp", s.addr("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, []byte("*1\r\n$4\r\nHANG\r\n"))
	wait(t, "the command does not run", entered)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Alive(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("while a loop hangs: %v, want the context's end", err)
	}
	alive := make(chan error, 1)
	go func() { alive <- s.Alive(context.WithoutCancel(t.Context())) }()
	select {
	case err := <-alive:
		t.Errorf("while a loop hangs: %v", err)
	default:
	}
	close(gate)
	select {
	case err := <-alive:
		if err != nil {
			t.Errorf("when it goes on: %v", err)
		}
	case <-time.After(patience):
		t.Error("when it goes on, nobody hears of it")
	}
}

func wait(t *testing.T, otherwise string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal(otherwise)
	}
}
