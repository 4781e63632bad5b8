package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/codec"
	"gcd/internal/servertest"
)

// A client that was told no network has one connection over RESP for all calls.
func TestDefaultNetwork(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	addr := respServer(t, func(conn *respConn) {
		connections.Add(1)
		for i, topic := range "abcdef" {
			if i%3 == 1 {
				conn.expect(t, "GCD.RESET "+string(topic))
				conn.send("+OK\r\n")
			} else {
				conn.expect(t, "GCD.COUNT "+string(topic))
				conn.send(bulk(5))
			}
		}
		conn.expectEnd(t)
	})
	c := newClient(t, addr, Options{})
	work := func(context.Context) (string, error) { return "result", nil }
	sum, err := c.Count(patient(t), "a")
	wantSum(t, sum, err, 5)
	wantSum(t, 0, c.Reset(patient(t), "b"), 0)
	sum, _, err = Wrap(c, "c", work)(patient(t))
	wantSum(t, sum, err, 5)
	sum, err = outcome(t, c.CountAsync(patient(t), "d"))
	wantSum(t, sum, err, 5)
	sum, err = outcome(t, c.ResetAsync(patient(t), "e"))
	wantSum(t, sum, err, 0)
	sum, _, err = WrapAsync(c, "f", work)(patient(t)).Result()
	wantSum(t, sum, err, 5)
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for six calls, want 1", n)
	}
	closeClient(t, c)
	_, err = outcome(t, c.CountAsync(patient(t), "late"))
	wantClass(t, err, "not sent")
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// otherServer answers PINGs as it is told, one after the other and the last for ever, and the
// messages of the counter protocol.
type otherServer struct {
	addr string

	mu     sync.Mutex
	pings  []string       // how those to come are answered; "+PONG\r\n" is followed by a conversation
	pinged int            // how many came
	counts map[string]int // over the counter protocol, by topic
	talked int            // commands that came after a PONG
}

func newOtherServer(t *testing.T, pings ...string) *otherServer {
	s := &otherServer{pings: pings, counts: make(map[string]int)}
	s.addr = servertest.TCP(t, func(conn *net.TCPConn) {
		from := bufio.NewReader(conn)
		switch first, err := from.Peek(1); {
		case err != nil:
		case first[0] == '*':
			s.talk(&respConn{conn, from})
		default:
			s.message(t, read2(from), conn)
		}
	})
	return s
}

// read2 is read from what may have been read already.
func read2(from *bufio.Reader) string {
	from.Peek(1)
	msg, _ := from.Peek(from.Buffered())
	return string(msg)
}

func (s *otherServer) talk(conn *respConn) {
	conn.command()
	s.mu.Lock()
	answer := s.pings[0]
	if len(s.pings) > 1 {
		s.pings = s.pings[1:]
	}
	s.pinged++
	s.mu.Unlock()
	conn.send(answer)
	if answer != "+PONG\r\n" {
		return
	}
	for {
		if _, err := conn.command(); err != nil {
			return
		}
		s.mu.Lock()
		s.talked++
		s.mu.Unlock()
		conn.send(bulk(100))
	}
}

func (s *otherServer) message(t *testing.T, msg string, to io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if msg[0] == 1 {
		io.WriteString(to, "\x81")
		return
	}
	if msg[0] != 0 {
		t.Errorf("the server got %q", msg)
	}
	s.counts[msg[1:]]++
	to.Write([]byte{0x80, byte(s.counts[msg[1:]])})
}

// said is a logger's text.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(strings.TrimSuffix(s.text.String(), "\n"), "\n")
}

// A server that refuses the first PING as a message of the counter protocol is counted at over
// that: every call that waits then is made, once, and so are later ones; and the logger is told,
// once.
func TestServerWithoutRESP(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"\xff\x02unknown opcode", "\xff\x01", "\xff\x63", "\xff"} {
		t.Run(fmt.Sprintf("%x", answer), func(t *testing.T) {
			t.Parallel()
			s := newOtherServer(t, answer)
			log := new(said)
			c := newClient(t, s.addr, Options{Logger: slog.New(slog.NewTextHandler(log, nil)), MaxInFlight: 4})
			var calls []*Call
			for i := range 20 {
				calls = append(calls, c.CountAsync(patient(t), fmt.Sprint(i)))
			}
			var many sync.WaitGroup
			for i := range 20 {
				many.Go(func() {
					sum, err := c.Count(patient(t), fmt.Sprint("sync ", i))
					wantSum(t, sum, err, 1)
				})
			}
			_, _, err := c.CountN(patient(t), "a range", 2)
			wantUnsupported(t, err)
			for _, call := range calls {
				sum, err := outcome(t, call)
				wantSum(t, sum, err, 1)
			}
			ended(t, &many)
			sum, err := c.Count(patient(t), "0")
			wantSum(t, sum, err, 2)
			wantSum(t, 0, c.Reset(patient(t), "0"), 0)
			work := func(context.Context) (string, error) { return "result", nil }
			sum, _, err = WrapAsync(c, "wrapped", work)(patient(t)).Result()
			wantSum(t, sum, err, 1)
			_, err = c.Get(patient(t), "0")
			wantUnsupported(t, err)
			if text := fmt.Sprint(err); !strings.Contains(text, "server has no RESP") ||
				strings.Contains(text, "Options") {
				t.Errorf("%v: no other option helps", err)
			}
			_, err = c.CountMany(patient(t), "0", "1")
			wantUnsupported(t, err)
			wantUnsupported(t, c.Ping(patient(t)))

			ctx, cancel := context.WithCancel(patient(t))
			cancel()
			_, err = c.Count(ctx, "given up")
			wantClass(t, err, "not sent")
			_, err = c.Count(patient(t), "\xff")
			wantClass(t, err, "refused")
			closeClient(t, c)
			_, err = c.Count(patient(t), "late")
			wantClass(t, err, "not sent")

			s.mu.Lock()
			defer s.mu.Unlock()
			if s.pinged != 1 || s.counts["0"] != 2 || s.counts["wrapped"] != 1 || len(s.counts) != 41 {
				t.Errorf("%d PINGs and the counts %v", s.pinged, s.counts)
			}
			lines := log.lines()
			if len(lines) != 1 || !strings.Contains(lines[0], "no RESP") || !strings.Contains(lines[0], s.addr) {
				t.Errorf("the logger was told %q, want one line", lines)
			}
		})
	}
}

func wantUnsupported(t *testing.T, err error) {
	t.Helper()
	wantClass(t, err, "not sent")
	if !errors.Is(err, errors.ErrUnsupported) || Retryable(err) {
		t.Errorf("%v, want one of errors.ErrUnsupported that is not to be tried again", err)
	}
}

// A refusal is whole when nothing follows it, though the connection is left open.
func TestServerWithoutRESPThatLeavesConnectionsOpen(t *testing.T) {
	t.Parallel()
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		if msg := read(conn); msg[0] == 0 {
			io.WriteString(conn, "\x80\x07")
			return
		}
		io.WriteString(conn, "\xff\x02")
		io.Copy(io.Discard, conn)
	})
	c := newClient(t, addr, Options{Logger: slog.New(slog.DiscardHandler)})
	sum, err := outcome(t, c.CountAsync(patient(t), "orders"))
	wantSum(t, sum, err, 7)
}

// What says nothing of RESP, or that it is there, does not make a client go over to the counter
// protocol, now or later.
func TestServerWithRESP(t *testing.T) {
	t.Parallel()
	const full = "\xff\x09come back later"
	for _, test := range []struct {
		name    string
		pings   []string
		classes []string // of the calls, one after the other; "" where it counts
	}{
		{"an end without a byte", []string{"", "+PONG\r\n"}, []string{"not sent", ""}},
		{"full", []string{full, full, "+PONG\r\n"}, []string{"refused", "refused", ""}},
		{"loading", []string{"\xff\x0e", "+PONG\r\n"}, []string{"refused", ""}},
		{"stopping", []string{"\xff\x0c", "+PONG\r\n"}, []string{"refused", ""}},
		{"refuses too often", []string{"\xff\x0f", "+PONG\r\n"}, []string{"refused", ""}},
		{"loading, over RESP", []string{"-LOADING it reads its log\r\n", "\xff\x02", "+PONG\r\n"},
			[]string{"refused", "not sent", ""}},
		{"another error", []string{"-ERR unknown command 'PING'\r\n", "\xff\x02"},
			[]string{"refused", "not sent", "not sent"}},
		{"another protocol", []string{"HTTP/1.1 400 Bad Request\r\n", "+PONG\r\n"}, []string{"not sent", ""}},
		{"full, then without RESP", []string{full, "\xff\x02"}, []string{"refused", "over tcp", "over tcp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newOtherServer(t, test.pings...)
			log := new(said)
			c := newClient(t, s.addr, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
			c.pipeline.backOff = func(context.Context, time.Time, time.Duration) {}
			overTCP := false
			for i, want := range test.classes {
				sum, err := c.Count(patient(t), "orders")
				switch want {
				case "":
					wantSum(t, sum, err, 100)
				case "over tcp":
					wantSum(t, sum, err, uint64(i))
					overTCP = true
				default:
					wantClass(t, err, want)
				}
			}
			closeClient(t, c)
			s.mu.Lock()
			defer s.mu.Unlock()
			if told := log.lines()[0] != ""; told != overTCP || overTCP != (len(s.counts) > 0) {
				t.Errorf("the counter protocol was used: %v, and the logger told: %v", s.counts, told)
			}
		})
	}
}

// A server that has lost its RESP, say by a start with another flag, is not gone over to: counts
// were sent.
func TestServerThatLosesRESP(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	addr := servertest.TCP(t, func(tcp *net.TCPConn) {
		conn := &respConn{tcp, bufio.NewReader(tcp)}
		if connections.Add(1) > 1 {
			if first, err := conn.from.Peek(1); err != nil || first[0] != '*' {
				t.Errorf("the client sent %q, %v, want a PING", first, err)
			} else if conn.expect(t, "PING") {
				conn.send("\xff\x02")
			}
			return
		}
		conn.greet()
		conn.expect(t, "GCD.COUNT orders")
		conn.send(bulk(1))
	})
	c := newClient(t, addr, Options{})
	c.pipeline.backOff = func(context.Context, time.Time, time.Duration) {}
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 1)
	for connections.Load() < 2 {
		_, err = c.Count(patient(t), "orders")
		if err == nil || errors.Is(err, ErrRefused) {
			t.Fatalf("got %v, want that it is not sent", err)
		}
	}
	_, err = c.Count(patient(t), "orders")
	wantClass(t, err, "not sent")
	if !errors.Is(err, errNoRESP) {
		t.Error(err)
	}
}

// The end of a client ends calls that it made over the counter protocol in place of RESP, in
// whatever stage.
func TestCloseWithoutRESP(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		if msg := read(conn); msg[0] == '*' {
			io.WriteString(conn, "\xff\x02")
			return
		}
		arrived <- struct{}{}
		io.Copy(io.Discard, conn)
	})
	c := newClient(t, addr, Options{MaxInFlight: 1, Logger: slog.New(slog.DiscardHandler)})
	calls := []*Call{c.CountAsync(patient(t), "in flight"), c.CountAsync(patient(t), "queued")}
	receive(t, arrived)
	closeClient(t, c)
	for i, call := range calls {
		_, err := outcome(t, call)
		wantClass(t, err, []string{"unknown", "not sent"}[i])
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// While a server can count nothing it still answers what reads, also to those who come then.
func TestServerWithoutRoom(t *testing.T) {
	t.Parallel()
	const full = "-MISCONF no room for the log: the disk is full\r\n"
	addr := servertest.TCP(t, func(tcp *net.TCPConn) {
		conn := &respConn{tcp, bufio.NewReader(tcp)}
		for _, exchange := range [][2]string{
			{"PING", full}, {"GET orders", "$1\r\n7\r\n"}, {"GCD.COUNT orders", full}, {"PING", full},
		} {
			conn.expect(t, exchange[0])
			conn.send(exchange[1])
		}
		conn.expectEnd(t)
	})
	c := newClient(t, addr, Options{})
	sum, err := c.Get(patient(t), "orders")
	wantSum(t, sum, err, 7)
	_, err = c.Count(patient(t), "orders")
	for _, err := range []error{err, c.Ping(patient(t))} {
		wantClass(t, err, "refused")
		var refusal *RefusedError
		if !errors.As(err, &refusal) || refusal.Code != codec.CodeNoRoom || !Retryable(err) {
			t.Error(err)
		}
	}
}
