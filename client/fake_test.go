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

	"gcd/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is a context for calls that must end.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// ended waits for goroutines that must end.
func ended(t testing.TB, running *sync.WaitGroup) {
	t.Helper()
	servertest.Within(t, "goroutines of the test", running.Wait)
}

// closeClient closes a client, which must not take long.
func closeClient(t testing.TB, c *Client) {
	t.Helper()
	servertest.Within(t, "Close", func() { c.Close() })
}

// impatience is for waits that must fail.
const impatience = 5 * time.Millisecond

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

// newClient returns a client that is closed before the servers of the test are. Unless opts say
// otherwise its time-out is so long that a call which should end for another reason, and does not,
// fails the test first.
func newClient(t testing.TB, addr string, opts Options) *Client {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout = 100 * servertest.Patience
	}
	c, err := New(addr, opts)
	if err != nil {
		t.Fatal(err)
	}
	// A call that never ends keeps its test from every other deadline.
	watchdog := time.AfterFunc(3*servertest.Patience, func() {
		panic(fmt.Sprintf("%s has not ended after %v: a call of its client hangs", t.Name(), 3*servertest.Patience))
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
	case <-time.After(servertest.Patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
