package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/servertest"
)

func TestUDPSendsTheProtocolsBytes(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		got <- r.Bytes
		if r.Bytes[0] == 1 {
			r.Reply("\x81")
		} else {
			r.Reply("\x80\x01\x00")
		}
	})
	c := newClient(t, addr, Options{Network: "udp"})
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

// Each server gets one datagram and answers with the strings given.
func TestUDPAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		answers []string
		sum     uint64 // when class is ""
		class   string
		usable  bool // the socket, for another call, as far as the call itself could see
	}{
		{"one byte", []string{"\x80\x01"}, 1, "", true},
		{"eight bytes", []string{"\x80\xff\xff\xff\xff\xff\xff\xff\xff"}, 1<<64 - 1, "", true},
		{"leading zeros", []string{"\x80\x00\x00\x07"}, 7, "", true},
		{"twice", []string{"\x80\x05", "\x80\x05"}, 5, "", true},
		{"garbage first", []string{"", "\x00orders", "HTTP", "\x80", "\x80123456789", "\x81", "\xff", "\x80\x05"},
			5, "", false},
		{"overlong first", []string{"\x80" + strings.Repeat("\x01", 60_000), "\x80\x05"}, 5, "", false},
		{"refused", []string{"\xff\x08"}, 0, "refused", true},
		{"refused with a text", []string{"\xff\x08no"}, 0, "refused", true},
		{"garbage, refused", []string{"?", "\xff\x08"}, 0, "refused", false},
		{"garbage only", []string{"", "?", "\x81"}, 0, "unknown", false},
		{"silence", nil, 0, "unknown", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := servertest.UDP(t, func(r servertest.Datagram) {
				for _, answer := range test.answers {
					r.Reply(answer)
				}
			})
			opts := Options{Network: "udp", Attempts: 1}
			if test.class == "unknown" {
				opts.Timeout = impatience
			}
			c := newClient(t, addr, opts)
			sum, err := c.Count(patient(t), "orders")
			if usable := lastSocket(c).usable; usable != test.usable {
				t.Errorf("the socket may be used again: %v, want %v", usable, test.usable)
			}
			if test.class == "" {
				wantSum(t, sum, err, test.sum)
				return
			}
			wantClass(t, err, test.class)
			if sum != 0 || !strings.Contains(fmt.Sprint(err), `COUNT "orders"`) {
				t.Errorf("sum %d, %v", sum, err)
			}
			if test.class == "unknown" && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want a time-out", err)
			}
		})
	}
}

func TestUDPNumberOfDatagrams(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opts Options
		call func(*Client, context.Context) error
		want int
	}{
		{"COUNT", Options{}, countOrders, 5},
		{"COUNT once", Options{Attempts: 1}, countOrders, 1},
		{"COUNT seven times", Options{Attempts: 7, ResetAttempts: 2}, countOrders, 7},
		{"RESET", Options{}, resetOrders, 1},
		{"RESET three times", Options{Attempts: 7, ResetAttempts: 3}, resetOrders, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 100)
			addr := servertest.UDP(t, func(r servertest.Datagram) { got <- r.Bytes })
			test.opts.Network, test.opts.Timeout = "udp", impatience
			c := newClient(t, addr, test.opts)
			wantClass(t, test.call(c, t.Context()), "unknown")

			for range test.want { // all of them, before another socket's could overtake one
				receive(t, got)
			}
			// What arrives after the calls' datagrams shows that there are no more of them.
			conn, err := net.Dial("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write([]byte("end"))
			n := test.want
			for receive(t, got) != "end" {
				n++
			}
			if n != test.want {
				t.Errorf("%d datagrams, want %d", n, test.want)
			}
		})
	}
}

func countOrders(c *Client, ctx context.Context) error {
	_, err := c.Count(ctx, "orders")
	return err
}

func resetOrders(c *Client, ctx context.Context) error { return c.Reset(ctx, "orders") }

// manyAttempts lets a call with a short time-out go on for as long as the test needs.
const manyAttempts = 10_000

// The server answers the first datagram after the second has arrived.
func TestUDPLateAnswer(t *testing.T) {
	t.Parallel()
	var first *servertest.Datagram
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		if first != nil {
			first.Reply("\x80\x01")
			return
		}
		first = &r
	})
	c := newClient(t, addr, Options{Network: "udp", Timeout: impatience, Attempts: manyAttempts})
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 1)
	if last := lastSocket(c); last.usable {
		t.Error("a socket with an answer under way would be used again")
	}
}

// A refusal of one datagram says nothing about the others: without a further answer the outcome is
// unknown, and nothing is sent any more.
func TestUDPRefusalOfOneDatagram(t *testing.T) {
	t.Parallel()
	n := 0
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		if n++; n == 2 {
			r.Reply("\xff\x08")
		}
	})
	c := newClient(t, addr, Options{Network: "udp", Timeout: impatience, Attempts: manyAttempts})
	_, err := c.Count(patient(t), "orders")
	wantClass(t, err, "unknown")
	if !strings.Contains(fmt.Sprint(err), "datagrams had no effect (too many requests in flight (code 8))") {
		t.Error(err)
	}
	if strings.Contains(fmt.Sprint(err), fmt.Sprintf("of %d datagrams", manyAttempts)) {
		t.Error("went on sending after the refusal")
	}
}

// A context that ends while the answer arrives may set the socket's deadline at any later time.
func TestUDPAnswerAndEndOfContextTogether(t *testing.T) {
	t.Parallel()
	ends := make(chan func(), 1)
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		receive(t, ends)()
		r.Reply("\x80\x01")
	})
	c := newClient(t, addr, Options{Network: "udp"})
	for range 600 {
		ctx, cancel := context.WithCancel(patient(t))
		ends <- cancel
		if _, err := c.Count(ctx, "orders"); err != nil {
			wantClass(t, err, "unknown")
		}
		if lastSocket(c).usable {
			t.Fatal("the socket would be used again")
		}
	}
}

func TestUDPNobodyListens(t *testing.T) {
	t.Parallel()
	c := newClient(t, servertest.Absent(t, "udp"), Options{Network: "udp", Timeout: 40 * impatience, Attempts: 2})
	_, err := c.Count(patient(t), "orders")
	wantClass(t, err, "not sent")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestUDPStrangersAreNotHeard(t *testing.T) {
	t.Parallel()
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		replyFromElsewhere(t, "127.0.0.1", r.From, "\x80\x63")
		r.Reply("\x80\x05")
	})
	c := newClient(t, addr, Options{Network: "udp"})
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 5)
}

func TestUDPAnswersFromAnotherPort(t *testing.T) {
	t.Parallel()
	addr := servertest.UDP(t, func(r servertest.Datagram) { replyFromElsewhere(t, "127.0.0.1", r.From, "\x80\x05") })

	c := newClient(t, addr, Options{Network: "udp", Timeout: impatience, Attempts: 2})
	_, err := c.Count(patient(t), "orders")
	wantClass(t, err, "unknown")

	c = newClient(t, addr, Options{Network: "udp", AnyPort: true})
	for range 2 * idleSockets {
		sum, err := c.Count(patient(t), "orders")
		wantSum(t, sum, err, 5)
		if last := lastSocket(c); last.usable {
			t.Fatal("a socket that hears every port would be used again")
		}
	}
}

func TestUDPAnyPortIsOneHost(t *testing.T) {
	t.Parallel()
	if conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}); err != nil {
		t.Skip("this system has no second loopback address:", err)
	} else {
		conn.Close()
	}
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		replyFromElsewhere(t, "127.0.0.2", r.From, "\x80\x63")
		replyFromElsewhere(t, "127.0.0.1", r.From, "\x80\x05")
	})
	c := newClient(t, addr, Options{Network: "udp", AnyPort: true})
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 5)
}

// An address that names no host means this one, whose answers come from 127.0.0.1.
func TestUDPWithoutHost(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(servertest.UDP(t, func(r servertest.Datagram) { r.Reply("\x80\x05") }))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "0.0.0.0"} {
		for _, anyPort := range []bool{false, true} {
			c := newClient(t, net.JoinHostPort(host, port), Options{Network: "udp", AnyPort: anyPort})
			sum, err := c.Count(patient(t), "orders")
			wantSum(t, sum, err, 5)
		}
	}
}

func TestUDPTopics(t *testing.T) {
	t.Parallel()
	got := make(chan int, 1)
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		got <- len(r.Bytes)
		r.Reply("\x80\x01")
	})
	c := newClient(t, addr, Options{Network: "udp"})
	sum, err := c.Count(patient(t), strings.Repeat("x", 65_506))
	wantSum(t, sum, err, 1)
	if n := receive(t, got); n != 65_507 {
		t.Errorf("the server got %d bytes", n)
	}
	for _, topic := range []string{strings.Repeat("x", 65_507), "\xff"} {
		_, err := c.Count(patient(t), topic)
		wantClass(t, err, "refused")
	}
	if len(got) > 0 {
		t.Error("something was sent")
	}
}

// lastSocket returns the socket of the last call.
func lastSocket(c *Client) *socket {
	p := c.transport.(*udp).sockets
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle[len(p.idle)-1]
}
