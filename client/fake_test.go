package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The servers of these tests are made of raw sockets and bytes written out, so that a mistake in gcd/codec cannot hide
// in both ends at once.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for waits that must succeed: how long they take is not tested.
const patience = time.Minute

// patient is a context for calls that must end.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// within runs what must end, and fails the test when it does not.
func within(t testing.TB, what string, run func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("%s: not ended after %v", what, patience)
	}
}

// ended waits for goroutines that must end.
func ended(t testing.TB, running *sync.WaitGroup) {
	t.Helper()
	within(t, "goroutines of the test", running.Wait)
}

// closeClient closes a client, which must not take long.
func closeClient(t testing.TB, c *Client) {
	t.Helper()
	within(t, "Close", func() { c.Close() })
}

// impatience is for waits that must fail.
const impatience = 5 * time.Millisecond

// request is a datagram that a server got.
type request struct {
	msg   string
	from  netip.AddrPort     // the client's socket
	reply func(bytes string) // sends one datagram
}

// udpServer calls handle for each datagram, on one goroutine, and returns the server's address.
func udpServer(t testing.TB, handle func(request)) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			handle(request{
				msg:   string(buf[:n]),
				from:  from,
				reply: func(bytes string) { conn.WriteToUDPAddrPort([]byte(bytes), from) },
			})
		}
	})
	t.Cleanup(func() {
		conn.Close()
		ended(t, &running)
	})
	return conn.LocalAddr().String()
}

// replyFromElsewhere sends a datagram from a new socket on host.
func replyFromElsewhere(t testing.TB, host string, to netip.AddrPort, bytes string) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.WriteToUDPAddrPort([]byte(bytes), to); err != nil {
		t.Error(err)
	}
}

// tcpServer calls handle for each connection, on a goroutine of its own, closes the connection when handle returns, and
// returns the server's address.
func tcpServer(t testing.TB, handle func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, handle)
	return listener.Addr().String()
}

func serve(t testing.TB, listener net.Listener, handle func(*net.TCPConn)) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				handle(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		ended(t, &running)
	})
}

// read returns the bytes that one read gives: the client sends in one write.
func read(conn net.Conn) string {
	buf := make([]byte, 1<<17)
	n, _ := conn.Read(buf)
	return string(buf[:n])
}

// answering returns a handler that reads one request and answers it.
func answering(answer string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		read(conn)
		io.WriteString(conn, answer)
	}
}

// absentServer returns an address that is taken, so that no other test gets it, and where nobody listens: of a connection's
// own end, TCP or UDP.
func absentServer(t testing.TB, network string) string {
	t.Helper()
	var peer string
	if network == "tcp" {
		peer = tcpServer(t, func(conn *net.TCPConn) { read(conn) })
	} else {
		peer = udpServer(t, func(request) {})
	}
	conn, err := net.Dial(network, peer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// newClient returns a client that is closed before the servers of the test are. Unless opts say otherwise its time-out is
// so long that a call which should end for another reason, and does not, fails the test first.
func newClient(t testing.TB, addr string, opts Options) *Client {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 100 * patience
	}
	c, err := New(addr, opts)
	if err != nil {
		t.Fatal(err)
	}
	// A call that never ends keeps its test from every other deadline.
	watchdog := time.AfterFunc(3*patience, func() {
		panic(fmt.Sprintf("%s has not ended after %v: a call of its client hangs", t.Name(), 3*patience))
	})
	t.Cleanup(func() {
		closeClient(t, c)
		watchdog.Stop()
	})
	return c
}

// wantClass fails the test unless err is of exactly the class: "refused", "not sent" or "unknown".
func wantClass(t testing.TB, err error, want string) {
	t.Helper()
	var refusal *RefusedError
	classes := map[string]bool{
		"refused":  errors.As(err, &refusal),
		"not sent": errors.Is(err, ErrNotSent),
		"unknown":  errors.Is(err, ErrUnknown),
	}
	if errors.Is(err, ErrRefused) != classes["refused"] {
		t.Errorf("a refusal has its code and is ErrRefused, this is only one: %v", err)
	}
	for class, is := range classes {
		if is != (class == want) {
			t.Errorf("class %q: %v, want only %q: %v", class, is, want, err)
		}
	}
}

func wantSum(t testing.TB, sum uint64, err error, want uint64) {
	t.Helper()
	if err != nil || sum != want {
		t.Errorf("got %d, %v, want %d", sum, err, want)
	}
}

// receive waits for a value that must come.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
