package server_test

import (
	"io"
	"net"
	"testing"
	"time"

	"gcd/server"
	"gcd/store"
)

func TestLoading(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		loading(t, o, "-LOADING gcd is loading its counters, try again soon\r\n")
	})
}

// Where RESP is off it is off while the server loads, too.
func TestLoadingWithoutRESP(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.NoRESP = true
		loading(t, o, "\xff\x0etry again soon")
	})
}

// loading: until the server has its counters every client is told to try again, in its own language; then the same sockets serve.
func loading(t *testing.T, o server.Options, respSays string) {
	o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.New(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetLoadingTime(time.Hour)
	stop, err := s.AnswerLoading()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err == nil {
		t.Fatal("a server without counters served")
	}
	ask := func(network, message string) string {
		t.Helper()
		addr := s.TCPAddr().String()
		if network == "udp" {
			addr = s.UDPAddr().String()
		}
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, message); err != nil {
			t.Fatal(err)
		}
		if network == "udp" {
			b := make([]byte, 100)
			n, err := conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			return string(b[:n])
		}
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for range 3 {
		if got, want := ask("tcp", "\x00orders"), "\xff\x0etry again soon"; got != want {
			t.Errorf("TCP: %q, want %q", got, want)
		}
		if got := ask("tcp", "*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n"); got != respSays {
			t.Errorf("RESP: %q, want %q", got, respSays)
		}
		if got, want := ask("udp", "\x00orders"), "\xff\x0e"; got != want {
			t.Errorf("UDP: %q, want %q", got, want)
		}
	}
	stop()
	counters, err := store.Open("", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer counters.Close()
	s.Use(counters)
	r := &running{Server: s, served: make(chan error, 1)}
	go func() { r.served <- s.Serve() }()
	defer r.stop(t)
	if got := ask("tcp", "\x00orders"); got != "\x80\x01" {
		t.Errorf("TCP after loading: %q", got)
	}
	if got := ask("udp", "\x00orders"); got != "\x80\x02" {
		t.Errorf("UDP after loading: %q", got)
	}
}

// A client that says nothing does not hold up the end of loading for ever.
func TestSilenceWhileLoading(t *testing.T) {
	t.Parallel()
	s, err := server.New(nil, server.Options{TCP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.SetLoadingTime(time.Millisecond)
	stop, err := s.AnswerLoading()
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	silent.SetDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(silent); err != nil || len(b) > 0 {
		t.Errorf("it was told %q, %v", b, err)
	}
	stop()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
