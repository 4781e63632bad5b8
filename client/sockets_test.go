//go:build unix

package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gcd/internal/servertest"
)

func TestSocketsAreUsedInTurn(t *testing.T) {
	t.Parallel()
	from := make(chan netip.AddrPort, 1)
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		r.Reply("\x80\x01")
		from <- r.From
	})
	c := newClient(t, addr, Options{Network: "udp"})
	var ports []netip.AddrPort
	for range 3 * idleSockets {
		sum, err := c.Count(patient(t), "orders")
		wantSum(t, sum, err, 1)
		ports = append(ports, receive(t, from))
	}
	if n := len(c.transport.(*udp).sockets.idle); n != idleSockets {
		t.Errorf("%d sockets are idle, want %d", n, idleSockets)
	}
	for turn := range 2 {
		first, next := ports[turn*idleSockets:][:idleSockets], ports[(turn+1)*idleSockets:][:idleSockets]
		if !slices.Equal(first, next) {
			t.Errorf("turn %d used other sockets than the turn before", turn+1)
		}
	}
	first := slices.Clone(ports[:idleSockets])
	slices.SortFunc(first, netip.AddrPort.Compare)
	if n := len(slices.Compact(first)); n != idleSockets {
		t.Errorf("the first %d calls used %d sockets", idleSockets, n)
	}
}

// What must keep a socket from being used again once it was idle.
func TestSocketIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	unanswered := make(chan struct{})
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, c *Client, s *socket, server servertest.Datagram)
		want  bool // used again
	}{
		{name: "nothing happened", want: true, spoil: func(*testing.T, *Client, *socket, servertest.Datagram) {}},
		{name: "a second answer", spoil: func(t *testing.T, _ *Client, s *socket, server servertest.Datagram) {
			server.Reply("\x80\x01")
			waitForDatagram(t, s)
		}},
		{name: "an empty datagram", spoil: func(t *testing.T, _ *Client, s *socket, server servertest.Datagram) {
			server.Reply("")
			waitForDatagram(t, s)
		}},
		{name: "an answer missing", spoil: func(_ *testing.T, _ *Client, s *socket, _ servertest.Datagram) {
			s.usable = false
		}},
		{name: "a call without any answer", spoil: func(t *testing.T, c *Client, _ *socket, _ servertest.Datagram) {
			ctx, cancel := context.WithCancel(patient(t))
			call := c.CountAsync(ctx, "nobody answers this")
			receive(t, unanswered)
			cancel()
			_, err := outcome(t, call)
			wantClass(t, err, "unknown")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			requests := make(chan servertest.Datagram, 1)
			addr := servertest.UDP(t, func(r servertest.Datagram) {
				if r.Bytes == "\x00orders" {
					r.Reply("\x80\x01")
					requests <- r
				} else {
					unanswered <- struct{}{}
				}
			})
			c := newClient(t, addr, Options{Network: "udp"})
			p := c.transport.(*udp).sockets
			count := func() netip.AddrPort {
				sum, err := c.Count(patient(t), "orders")
				wantSum(t, sum, err, 1)
				return receive(t, requests).From
			}
			sum, err := c.Count(patient(t), "orders")
			wantSum(t, sum, err, 1)
			server, s := receive(t, requests), p.idle[0]
			for range idleSockets - 2 {
				count()
			}
			test.spoil(t, c, s, server)
			for len(p.idle) < idleSockets {
				count()
			}
			count()
			// not its port: the next socket may get that of one just closed
			if again := lastSocket(c) == s; again != test.want {
				t.Errorf("used again: %v, want %v", again, test.want)
			}
			if closed := errors.Is(s.conn.SetDeadline(time.Now()), net.ErrClosed); closed == test.want {
				t.Errorf("closed: %v", closed)
			}
		})
	}
}

func TestCloseClosesRestingSockets(t *testing.T) {
	t.Parallel()
	c := newClient(t, servertest.UDP(t, func(r servertest.Datagram) { r.Reply("\x80\x01") }), Options{Network: "udp"})
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 1)
	s := lastSocket(c)
	c.Close()
	if err := s.conn.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("open after Close: %v", err)
	}
}

// waitForDatagram returns when a datagram waits to be read, and leaves it there.
func waitForDatagram(t *testing.T, s *socket) {
	t.Helper()
	s.conn.SetDeadline(time.Now().Add(servertest.Patience))
	err := s.raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A datagram that finds nobody listening is known to have had no effect; the next may be answered.
func TestUDPServerThatComesLate(t *testing.T) {
	t.Parallel()
	other := servertest.UDP(t, func(servertest.Datagram) {})
	server, err := net.Dial("udp", other) // hears other alone, so that what x sends is turned away
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	x := newUDPCall(t, server.LocalAddr().String())
	if err := x.send(); err != nil {
		t.Fatal(err)
	}
	for x.void == 0 { // a short deadline may end the wait before the report is there
		x.socket.conn.SetDeadline(time.Now().Add(impatience))
		if _, err := x.listen(); err == nil {
			t.Fatal("an answer from nobody")
		}
	}
	_, err = x.failed(errors.New("no answer"))
	wantClass(t, err, "not sent")

	here := x.socket.conn.LocalAddr().(*net.UDPAddr)
	raw, err := server.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = syscall.Connect(int(fd), &syscall.SockaddrInet4{Port: here.Port, Addr: [4]byte{127, 0, 0, 1}})
	})
	if err != nil {
		t.Fatal(err)
	}
	x.socket.conn.SetDeadline(time.Now().Add(servertest.Patience))
	if err := x.send(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.failed(errors.New("no answer")); !errors.Is(err, ErrUnknown) {
		t.Errorf("with one datagram under way: %v", err)
	}
	if msg := read(server); msg != "\x00orders" {
		t.Errorf("the server got %q", msg)
	}
	if _, err := server.Write([]byte("\x80\x01")); err != nil {
		t.Fatal(err)
	}
	reply, err := x.listen()
	wantSum(t, reply.Sum, err, 1)
	if !x.allAnswered() {
		t.Error("an answer and a report for two datagrams do not settle the call")
	}
}

// A server that drops requests, answers them late and answers them twice must never make one call's
// answer another's. The answers are late by a number of requests, not by time: fewer than there are
// sockets at rest.
func TestUDPNoAnswerReachesAnotherCall(t *testing.T) {
	t.Parallel()
	const (
		callers = 4
		calls   = 400
		latest  = idleSockets - 2*callers
	)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	requests, sums := 0, make(map[string]uint64)
	due := make(map[int][]func()) // answers, by the number of the request that they follow
	addr := servertest.UDP(t, func(r servertest.Datagram) {
		requests++
		sums[r.Bytes]++
		// The topic is in the sum: caller k counts from k<<32 on.
		caller, sum := r.Bytes[len(r.Bytes)-1]-'0', sums[r.Bytes]
		answer := func() {
			r.Reply(string([]byte{0x80, caller, byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}))
		}
		later := requests + 1 + random.IntN(latest)
		switch random.IntN(20) {
		case 0: // dropped
		case 1, 2:
			due[later] = append(due[later], answer)
		case 3, 4:
			answer()
			answer()
		case 5, 6, 7, 8:
			answer()
			due[later] = append(due[later], answer)
		default:
			answer()
		}
		for _, answer := range due[requests] {
			answer()
		}
		delete(due, requests)
	})

	c := newClient(t, addr, Options{Network: "udp", Timeout: impatience, Attempts: 2})
	var running sync.WaitGroup
	for caller := range uint64(callers) {
		running.Go(func() {
			last := caller << 32
			answered := 0
			// on a slow machine more time out, and more are made
			for made := 0; made < calls || answered < calls/10; made++ {
				sum, err := c.Count(patient(t), string(rune('0'+caller)))
				if err != nil {
					wantClass(t, err, "unknown")
					continue
				}
				answered++
				if sum>>32 != caller {
					t.Errorf("caller %d got the answer %#x of another", caller, sum)
				} else if sum <= last {
					t.Errorf("caller %d got %#x after %#x", caller, sum, last)
				}
				last = max(last, sum)
			}
		})
	}
	running.Wait()
}
