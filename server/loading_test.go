package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/server"
	"gcd/store"
)

func TestLoading(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		loading(t, o, "-LOADING gcd is loading its counters, try again soon\r\n+OK\r\n")
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

// loading: until the server has its counters every client is told to try again, in its own
// language; then the same sockets serve.
func loading(t *testing.T, o server.Options, respSays string) {
	o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.New(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetHold(0)
	if err := s.AnswerLoading(); err != nil {
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
		if got := ask("tcp", "*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n*1\r\n$4\r\nQUIT\r\n"); got != respSays {
			t.Errorf("RESP: %q, want %q", got, respSays)
		}
		if got, want := ask("udp", "\x00orders"), "\xff\x0e"; got != want {
			t.Errorf("UDP: %q, want %q", got, want)
		}
	}
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

// loadingServer makes a server that has its sockets and not its counters, and tells nobody.
func loadingServer(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.TCP, o.UDP = "127.0.0.1:0", "127.0.0.1:0"
	s, err := server.New(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetHold(time.Hour)
	if err := s.AnswerLoading(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Who comes before the counters are there is served when they are: connections with all that they
// have sent, and more of them than are told at a time. Datagrams are dropped, so that one that is
// sent again counts once.
func TestWaitingWhileLoading(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s := loadingServer(t, o)
		one, pipeline := dial(t, "tcp", s.TCPAddr().String()), dial(t, "tcp", s.TCPAddr().String())
		long := dial(t, "tcp", s.TCPAddr().String())
		send(t, one, count("orders"))
		send(t, pipeline, []byte("PING\r\nINCR orders\r\nINCR ord"))
		send(t, long, append([]byte{0}, bytes.Repeat([]byte("x"), 40_000)...))
		if err := closeWrite(long); err != nil {
			t.Fatal(err)
		}
		var many []net.Conn
		for range 80 {
			c := dial(t, "tcp", s.TCPAddr().String())
			send(t, c, count("many"))
			many = append(many, c)
		}
		datagrams := dial(t, "udp", s.UDPAddr().String())
		for i := range 3 {
			send(t, datagrams, count("datagrams"))
			eventually(t, "it is dropped", func() bool { return s.Stats().Datagrams == uint64(i+1) })
		}

		f := newFake()
		t.Cleanup(f.close)
		s.Use(f)
		send(t, datagrams, count("datagrams")) // from now on they wait, too
		r := &running{Server: s, served: make(chan error, 1)}
		go func() { r.served <- s.Serve() }()
		defer r.stop(t)
		if n := sum(answer(t, one)); n < 1 || n > 2 {
			t.Errorf("the answer is %d", n)
		}
		first := make([]byte, len("+PONG\r\n:1\r\n"))
		if _, err := io.ReadFull(pipeline, first); err != nil || !bytes.HasPrefix(first, []byte("+PONG\r\n:")) {
			t.Errorf("the answers are %q, %v", first, err)
		}
		send(t, pipeline, []byte("ers\r\nECHO end\r\n"))
		if got := readUntil(t, pipeline, "$3\r\nend\r\n"); !strings.Contains(got, ":3\r\n") {
			t.Errorf("the answers are %q", got)
		}
		wantAnswer(t, answer(t, long), 128, 1)
		for _, c := range many {
			if n := sum(answer(t, c)); n < 1 || n > 80 {
				t.Errorf("the answer is %d", n)
			}
		}
		wantAnswer(t, answer(t, datagrams), 128, 1)
		if n := len(s.Stats().Refused); n > 0 {
			t.Errorf("%d kinds of refusals: %v", n, s.Stats().Refused)
		}
	})
}

// A server that ends before it has its counters says so to those who wait, and is not held up by
// who says nothing.
func TestShutdownWhileLoading(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s := loadingServer(t, o)
		one, inline, silent := dial(t, "tcp", s.TCPAddr().String()), dial(t, "tcp", s.TCPAddr().String()), dial(t,
			"tcp", s.TCPAddr().String())
		send(t, one, count("orders"))
		send(t, inline, []byte("INCR orders\r\n"))
		stopped := make(chan error, 1)
		go func() { stopped <- s.Shutdown(context.Background()) }()
		wantRefusal(t, "tcp", answer(t, one), 12)
		if got := string(answer(t, inline)); got != shuttingDown {
			t.Errorf("the answer is %q", got)
		}
		one.Close()
		inline.Close()
		wantAnswer(t, answer(t, silent))
		if err := await(t, "Shutdown returns", stopped); err != nil {
			t.Error(err)
		}
		if err := s.Serve(); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if c, err := net.Dial("tcp", s.TCPAddr().String()); err == nil {
			c.Close()
			t.Error("somebody listens still")
		}
	})
}

// A client that was reset before anybody took it holds up no shutdown.
func TestShutdownAfterAResetInTheQueue(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s := loadingServer(t, o)
		c := dial(t, "tcp", s.TCPAddr().String()).(*net.TCPConn)
		if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
			t.Fatal(err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Connections != 0 || st.Panics != 0 {
			t.Errorf("%d connections, %d panics", st.Connections, st.Panics)
		}
	})
}

// Each command of a pipeline is refused, while the server loads and when it ends before it serves.
func TestPipelineWhileLoading(t *testing.T) {
	t.Parallel()
	const commands = 3000
	pipeline := strings.Repeat("*2\r\n$4\r\nINCR\r\n$6\r\norders\r\n", commands)
	for _, row := range []struct {
		name string
		hold time.Duration
		says string
	}{
		{"loads", 0, "-LOADING gcd is loading its counters, try again soon\r\n"},
		{"ends", time.Hour, shuttingDown},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, err := server.New(nil, server.Options{TCP: "127.0.0.1:0", Settle: patience})
			if err != nil {
				t.Fatal(err)
			}
			s.SetHold(row.hold)
			s.SetFirstByte(time.Hour)
			if err := s.AnswerLoading(); err != nil {
				t.Fatal(err)
			}
			ask := func(in string) net.Conn {
				c := dial(t, "tcp", s.TCPAddr().String())
				send(t, c, []byte(in))
				if err := closeWrite(c); err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := ask(pipeline + "*1\r\n$4\r\nPI")
			ended := make(chan error, 1)
			end := func() { ended <- s.Shutdown(context.Background()) }
			if row.hold > 0 {
				go end()
			}
			if got := string(answer(t, c)); got != strings.Repeat(row.says, commands) {
				t.Errorf("%d answers, want %d: %.200q", strings.Count(got, "\r\n"), commands, got)
			}
			if row.hold == 0 {
				go end()
			}
			if err := await(t, "it ends", ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who has asked is told that the server ends, however many say nothing before him.
func TestShutdownWhileLoadingAfterSilence(t *testing.T) {
	t.Parallel()
	s := loadingServer(t, server.Options{})
	s.SetFirstByte(time.Hour)
	for range 200 {
		dial(t, "tcp", s.TCPAddr().String())
	}
	one, inline := dial(t, "tcp", s.TCPAddr().String()), dial(t, "tcp", s.TCPAddr().String())
	send(t, one, count("orders"))
	send(t, inline, []byte("INCR orders\r\n"))
	go s.Shutdown(context.Background())
	wantRefusal(t, "tcp", answer(t, one), 12)
	if got := string(answer(t, inline)); got != shuttingDown {
		t.Errorf("the answer is %q", got)
	}
}

// Who asks how the server is while it loads is told that it does; that is no refusal that anybody
// has to look after, and neither is a request of HTTP.
func TestProbesWhileLoading(t *testing.T) {
	t.Parallel()
	for in, probes := range map[string]uint64{
		"PING\r\n":             1,
		"*1\r\n$4\r\nPING\r\n": 1,
		"DBSIZE\r\n":           1,
		"INCR x\r\n":           0,
		"GET x\r\n":            0,
		"CLIENT NOSUCH\r\n":    0,
		"GET /health HTTP/1.1\r\nHost: x\r\nUser-Agent: probe\r\n\r\n": 1,
		"OPTIONS / HTTP/1.0\r\n\r\n":                                   1,
		"\x00orders":                                                   0,
	} {
		t.Run(strings.Fields(in)[0], func(t *testing.T) {
			t.Parallel()
			log := new(lockedBuffer)
			s, err := server.New(nil, server.Options{TCP: "127.0.0.1:0",
				Logger: hclog.New(&hclog.LoggerOptions{Output: log})})
			if err != nil {
				t.Fatal(err)
			}
			s.SetHold(0)
			if err := s.AnswerLoading(); err != nil {
				t.Fatal(err)
			}
			c := dial(t, "tcp", s.TCPAddr().String())
			send(t, c, []byte(in))
			if err := closeWrite(c); err != nil {
				t.Fatal(err)
			}
			if got := string(answer(t, c)); !strings.HasPrefix(got, "-LOADING ") && got != "\xff\x0etry again soon" {
				t.Errorf("the answer is %q", got)
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			switch name := strings.ToLower(strings.Fields(in)[0]); name {
			case "ping", "hello", "info", "incr", "get":
				if n := s.Rejected(name); n != 1 {
					t.Errorf("%d of %s were rejected", n, name)
				}
			}
			st := s.Stats()
			refused := 0
			for _, n := range st.Refused {
				refused += int(n)
			}
			want := 1
			if probes > 0 {
				want = 0
			}
			if st.Probes != probes || refused != want || strings.Contains(log.String(), "[WARN]") != (want > 0) {
				t.Errorf("%d probes, %d refused, want %d and %d; the log is\n%s", st.Probes, refused, probes, want, log)
			}
		})
	}
}

// The same where the server serves: over RESP, and where that is off.
func TestProbesInHTTP(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		log := new(lockedBuffer)
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: log})
		for _, o.NoRESP = range []bool{false, true} {
			s, _ := serveMemory(t, o)
			for _, in := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
				"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\nINCR x\r\n"} {
				c := dial(t, "tcp", s.addr("tcp"))
				send(t, c, []byte(in))
				if got := answer(t, c); strings.Contains(string(got), ":1\r\n") {
					t.Errorf("%q was answered %q", in, got)
				}
			}
			if st := s.Stats(); st.Probes != 2 || len(st.Refused) > 0 {
				t.Errorf("%d probes, refused %v", st.Probes, st.Refused)
			}
		}
		if strings.Contains(log.String(), "[WARN]") {
			t.Errorf("the log is\n%s", log)
		}
	})
}
