package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/internal/servertest"
)

func TestTCPSendsTheProtocolsBytes(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		msg := read(conn)
		got <- msg
		answer := "\x80\x01\x00"
		if msg[0] == 1 {
			answer = "\x81"
		}
		io.WriteString(conn, answer)
		conn.CloseWrite()
		// The client closes only now: it neither closed its half before nor sent more.
		rest, err := io.ReadAll(conn)
		if len(rest) > 0 || err != nil {
			t.Errorf("after the answer: %q, %v", rest, err)
		}
	})
	c := newClient(t, addr, Options{Network: "tcp"})

	sum, err := c.Count(patient(t), "größe")
	wantSum(t, sum, err, 256)
	if msg := receive(t, got); msg != "\x00größe" {
		t.Errorf("sent %q", msg)
	}
	if err := c.Reset(patient(t), ""); err != nil {
		t.Error(err)
	}
	if msg := receive(t, got); msg != "\x01" {
		t.Errorf("sent %q", msg)
	}
}

func TestTCPAnswers(t *testing.T) {
	t.Parallel()
	reset := func(conn *net.TCPConn) { conn.SetLinger(0) } // closing now sends RST
	for _, test := range []struct {
		name    string
		server  func(*net.TCPConn)
		timeout bool   // the server does not end
		sum     uint64 // when class is ""
		class   string
		cause   error
		text    string
	}{
		{name: "one byte", server: answering("\x80\x01"), sum: 1},
		{name: "two bytes", server: answering("\x80\xff\xfe"), sum: 0xfffe},
		{name: "eight bytes", server: answering("\x80\xff\xff\xff\xff\xff\xff\xff\xff"), sum: 1<<64 - 1},
		{name: "leading zeros", server: answering("\x80\x00\x00\x00\x07"), sum: 7},
		{name: "in pieces", sum: 0x0102, server: func(conn *net.TCPConn) {
			read(conn)
			for _, b := range []byte("\x80\x01\x02") {
				conn.Write([]byte{b})
			}
		}},
		{name: "nine bytes", server: answering("\x80123456789"), class: "unknown"},
		{name: "no sum", server: answering("\x80"), class: "unknown"},
		{name: "far too much", server: answering("\x80" + strings.Repeat("x", 100_000)), class: "unknown"},
		{name: "garbage", server: answering("HTTP/1.1 400 Bad Request\r\n\r\n"), class: "unknown"},
		{name: "answer to a RESET", server: answering("\x81"), class: "unknown", text: "opcode 129"},
		{name: "nothing", server: answering(""), class: "unknown", text: "without an answer"},
		{name: "RST", class: "unknown", cause: syscall.ECONNRESET, server: func(conn *net.TCPConn) {
			read(conn)
			reset(conn)
		}},
		{name: "RST after a sum", class: "unknown", server: func(conn *net.TCPConn) {
			answering("\x80\x01")(conn)
			reset(conn)
		}},
		{name: "silence", timeout: true, class: "unknown", cause: os.ErrDeadlineExceeded,
			server: func(conn *net.TCPConn) {
				io.Copy(io.Discard, conn) // until the client closes
			}},
		{name: "a sum without an end", timeout: true, class: "unknown", cause: os.ErrDeadlineExceeded,
			server: func(conn *net.TCPConn) {
				answering("\x80\x01")(conn)
				io.Copy(io.Discard, conn)
			}},
		{name: "refusal", server: answering("\xff\x08"), class: "refused", text: "code 8"},
		{name: "refusal with a text", server: answering("\xff\x08come back later"), class: "refused",
			text: "come back later"},
		{name: "refusal of unknown code", server: answering("\xff\xc8"), class: "refused", text: "code 200"},
		{name: "refusal without a code", server: answering("\xff"), class: "unknown"},
		{name: "refusal, then RST", class: "refused", text: "code 8", server: func(conn *net.TCPConn) {
			answering("\xff\x08")(conn)
			reset(conn)
		}},
		{name: "refusal before reading", class: "refused", text: "code 9", server: func(conn *net.TCPConn) {
			io.WriteString(conn, "\xff\x09") // and RST, for the request is left unread or comes after the end
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := servertest.TCP(t, test.server)
			opts := Options{Network: "tcp"}
			if test.timeout {
				opts.Timeout = 10 * impatience
			}
			sum, err := newClient(t, addr, opts).Count(patient(t), "orders")
			// a busy machine may not connect in time
			for test.timeout && errors.Is(err, ErrNotSent) && opts.Timeout < servertest.Patience {
				opts.Timeout *= 2
				sum, err = newClient(t, addr, opts).Count(patient(t), "orders")
			}
			if test.class == "" {
				wantSum(t, sum, err, test.sum)
				return
			}
			if sum != 0 {
				t.Errorf("sum %d with an error", sum)
			}
			wantClass(t, err, test.class)
			if test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("got %v, want the cause %v", err, test.cause)
			}
			if !strings.Contains(fmt.Sprint(err), test.text) || !strings.Contains(fmt.Sprint(err), `COUNT "orders"`) {
				t.Errorf("the message lacks the request or %q: %v", test.text, err)
			}
		})
	}
}

// TestTCPSettle: a client that was told to takes the sum of a server that does not close its
// connection. What follows in time is part of it.
func TestTCPSettle(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 1)
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		answering("\x80\x01")(conn)
		io.Copy(io.Discard, conn) // until the client closes
		gone <- struct{}{}
	})
	c := newClient(t, addr, Options{Network: "tcp", Settle: 20 * time.Millisecond, Timeout: time.Hour})
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 1)
	receive(t, gone)
	closing := newClient(t, servertest.TCP(t, answering("\x80\x01\x02")), Options{Network: "tcp", Settle: time.Hour})
	sum, err = closing.Count(patient(t), "orders")
	wantSum(t, sum, err, 0x0102)
	inTwo := newClient(t, servertest.TCP(t, func(conn *net.TCPConn) {
		read(conn)
		io.WriteString(conn, "\x80\x01")
		io.WriteString(conn, "\x02")
	}), Options{Network: "tcp", Settle: time.Hour})
	sum, err = inTwo.Count(patient(t), "orders")
	wantSum(t, sum, err, 0x0102)
	if _, err := New(addr, Options{Settle: -1}); err == nil {
		t.Error("a negative Settle was taken")
	}
}

func TestTCPResetAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, answer, class string }{
		{"done", "\x81", ""},
		{"answer to a COUNT", "\x80\x01", "unknown"},
		{"too long", "\x81\x00", "unknown"},
		{"refused", "\xff\x0c", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, servertest.TCP(t, answering(test.answer)), Options{Network: "tcp"})
			err := c.Reset(patient(t), "orders")
			if test.class != "" {
				wantClass(t, err, test.class)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("done, then RST", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, servertest.TCP(t, func(conn *net.TCPConn) {
			answering("\x81")(conn)
			conn.SetLinger(0)
		}), Options{Network: "tcp"})
		if err := c.Reset(patient(t), "orders"); err != nil {
			t.Error(err)
		}
	})
}

func TestTCPNeverRepeats(t *testing.T) {
	t.Parallel()
	conns := make(chan struct{}, 100)
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		conns <- struct{}{}
		read(conn)
	})
	c := newClient(t, addr, Options{Network: "tcp", Attempts: 7, ResetAttempts: 7})
	_, err := c.Count(patient(t), "orders")
	wantClass(t, err, "unknown")
	wantClass(t, c.Reset(patient(t), "orders"), "unknown")
	// The server accepts in order, so a second connection of the calls would be counted before this
	// one is.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn)
	conn.Close()
	if n := len(conns); n != 3 {
		t.Errorf("%d connections for two calls, want 2", n-1)
	}
}

func TestTCPNobodyListens(t *testing.T) {
	t.Parallel()
	c := newClient(t, servertest.Absent(t, "tcp"), Options{Network: "tcp"})
	_, err := c.Count(patient(t), "orders")
	wantClass(t, err, "not sent")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestTCPGivenUpWhileConnecting(t *testing.T) {
	t.Parallel()
	c := newClient(t, servertest.TCP(t, func(*net.TCPConn) {}), Options{Network: "tcp"})
	ctx, cancel := context.WithCancel(patient(t))
	c.transport.(*tcp).dialer.Control = func(_, _ string, _ syscall.RawConn) error {
		cancel()
		return ctx.Err()
	}
	_, err := c.Count(ctx, "orders")
	wantClass(t, err, "not sent")
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTCPNothingWritten(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", servertest.TCP(t, func(conn *net.TCPConn) { read(conn) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err = new(tcp).roundTripOver(t.Context(), conn.(*net.TCPConn), 0, []byte("\x00orders"))
	wantClass(t, err, "not sent")
}

func TestTCPTopics(t *testing.T) {
	t.Parallel()
	got := make(chan int, 1)
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		msg := make([]byte, 65_536)
		n, _ := io.ReadFull(conn, msg)
		got <- n
		io.WriteString(conn, "\x80\x01")
	})
	c := newClient(t, addr, Options{Network: "tcp"})
	sum, err := c.Count(patient(t), strings.Repeat("x", 65_535))
	wantSum(t, sum, err, 1)
	if n := receive(t, got); n != 65_536 {
		t.Errorf("the server got %d bytes", n)
	}
	for _, topic := range []string{strings.Repeat("x", 65_536), "\xff", "half a \xc3"} {
		_, err := c.Count(patient(t), topic)
		wantClass(t, err, "refused")
		if len(fmt.Sprint(err)) > 1000 {
			t.Errorf("a message of %d bytes", len(fmt.Sprint(err)))
		}
	}
	if len(got) > 0 {
		t.Error("something was sent")
	}
}
