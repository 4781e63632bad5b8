package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// wantDenied fails the test unless an error is a refusal of this kind alone.
func wantDenied(t testing.TB, err, want error) {
	t.Helper()
	wantClass(t, err, "refused")
	for _, kind := range []error{ErrNotAuthenticated, ErrNotPermitted} {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("want %v alone: %v", want, err)
		}
	}
	if want != nil && Retryable(err) {
		t.Errorf("asking again does not help: %v", err)
	}
}

// A token is the first that a connection says, and what it is answered decides.
func TestToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, answer string
		class        string // "": it counts
		code         int
		kind         error
	}{
		{"taken", "+OK\r\n+PONG\r\n", "", 0, nil},
		{"taken, and the disk is full", "+OK\r\n-MISCONF no room for the log\r\n", "", 0, nil},
		{"wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n-NOAUTH Authentication " +
			"required.\r\n", "refused", 21, ErrNotAuthenticated},
		{"wrong, and PING is free", "-WRONGPASS no\r\n+PONG\r\n", "refused", 21, ErrNotAuthenticated},
		{"too often wrong", "-WRONGPASS too many failed authentications from this address\r\n", "refused", 23,
			ErrNotAuthenticated},
		{"nobody asks for it", "-ERR AUTH <password> called without any password configured for the default user." +
			"\r\n+PONG\r\n", "refused", 21, ErrNotAuthenticated},
		{"unknown", "-ERR unknown command 'AUTH'\r\n+PONG\r\n", "refused", 21, ErrNotAuthenticated},
		{"only over TLS", "-ERR TLS required\r\n", "refused", 21, ErrNotAuthenticated},
		{"loading", "-LOADING it reads its log\r\n-LOADING it reads its log\r\n", "refused", 14, nil},
		{"a server without RESP", "\xff\x02unknown opcode", "not sent", 0, nil},
		{"a server without RESP that asks who comes", "\xff\x15", "refused", 21, ErrNotAuthenticated},
		{"PONG to a token", "+PONG\r\n+PONG\r\n", "not sent", 0, nil},
		{"half an answer", "+O", "not sent", 0, nil},
		{"half of two", "+OK\r\n+PO", "not sent", 0, nil},
		{"no answer", "", "not sent", 0, nil},
		{"a server of another kind", "HTTP/1.1 400 Bad Request\r\n", "not sent", 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := servertest.TCP(t, func(conn *net.TCPConn) {
				c := &respConn{conn, bufio.NewReader(conn)}
				if !c.expect(t, "AUTH gcd_secret", "PING") {
					return
				}
				for i := range len(test.answer) { // in as many pieces as can be
					if !c.send(test.answer[i : i+1]) {
						return
					}
				}
				if test.class != "" {
					conn.CloseWrite()
					c.expectEnd(t)
				} else if c.expect(t, "GCD.COUNT orders") {
					c.send(bulk(3))
				}
			})
			c := newClient(t, addr, Options{Token: "gcd_secret"})
			sum, err := c.Count(patient(t), "orders")
			if test.class == "" {
				wantSum(t, sum, err, 3)
				return
			}
			wantClass(t, err, test.class)
			var refusal *RefusedError
			if errors.As(err, &refusal) && int(refusal.Code) != test.code {
				t.Errorf("code %d, want %d: %v", refusal.Code, test.code, err)
			}
			if test.class == "refused" && test.kind != nil {
				wantDenied(t, err, test.kind)
			}
			if strings.Contains(fmt.Sprint(err), "gcd_secret") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

// What is refused because of who asks says so, is not asked again, and leaves the connection as it
// is.
func TestDenied(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	addr := respServer(t, func(c *respConn) {
		connections.Add(1)
		c.expect(t, "GCD.COUNT foreign")
		c.send("-NOPERM no right to do this\r\n")
		c.expect(t, "GET foreign")
		c.send("-NOAUTH Authentication required.\r\n")
		c.expect(t, "MULTI", "GCD.COUNT orders", "GCD.COUNT foreign", "EXEC")
		c.send("+OK\r\n+QUEUED\r\n-NOPERM no right to do this\r\n-EXECABORT Transaction discarded because of " +
			"previous errors.\r\n")
		c.expect(t, "GCD.COUNT orders")
		c.send(bulk(1))
		c.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	_, err := c.Count(patient(t), "foreign")
	wantDenied(t, err, ErrNotPermitted)
	_, err = c.Get(patient(t), "foreign")
	wantDenied(t, err, ErrNotAuthenticated)
	_, err = c.CountMany(patient(t), "orders", "foreign")
	wantDenied(t, err, ErrNotPermitted)
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 1)
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}

	addr = servertest.TCP(t, answering("\xff\x16"))
	_, err = newClient(t, addr, Options{Network: "tcp"}).Count(patient(t), "foreign")
	wantDenied(t, err, ErrNotPermitted)
}

// A server that does not know any more who sent the token is told again, on another connection.
func TestForgottenToken(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		c := &respConn{conn, bufio.NewReader(conn)}
		if !c.expect(t, "AUTH gcd_secret", "PING") || !c.send("+OK\r\n+PONG\r\n") || !c.expect(t, "GCD.COUNT orders") {
			return
		}
		if connections.Add(1) == 1 {
			c.send("-NOAUTH Authentication required.\r\n")
		} else {
			c.send(bulk(7))
		}
		c.expectEnd(t)
	})
	c := newClient(t, addr, Options{Token: "gcd_secret"})
	_, err := c.Count(patient(t), "orders")
	wantDenied(t, err, ErrNotAuthenticated)
	sum, err := c.Count(patient(t), "orders")
	wantSum(t, sum, err, 7)
}

// The answers that are still to come then are waited for, and no further call goes out before the
// token.
func TestForgottenTokenWithCallsInFlight(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	var connections atomic.Int32
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		c := &respConn{conn, bufio.NewReader(conn)}
		if !c.expect(t, "AUTH gcd_secret", "PING") || !c.send("+OK\r\n+PONG\r\n") {
			return
		}
		if connections.Add(1) > 1 {
			c.expect(t, "GCD.COUNT third")
			c.send(bulk(3))
			c.expectEnd(t)
			return
		}
		c.expect(t, "GCD.COUNT first", "GCD.COUNT second")
		c.send("-NOAUTH Authentication required.\r\n")
		<-begun
		c.send(bulk(2))
		c.expectEnd(t)
	})
	c := newClient(t, addr, Options{Token: "gcd_secret"})
	first, second := c.CountAsync(patient(t), "first"), c.CountAsync(patient(t), "second")
	_, err := outcome(t, first)
	wantDenied(t, err, ErrNotAuthenticated)
	third := c.CountAsync(patient(t), "third")
	time.AfterFunc(impatience, func() { close(begun) }) // so that a call that should wait has gone out
	sum, err := outcome(t, second)
	wantSum(t, sum, err, 2)
	sum, err = outcome(t, third)
	wantSum(t, sum, err, 3)
}

// A token never goes over to a protocol that has no place for it.
func TestTokenWithoutRESP(t *testing.T) {
	t.Parallel()
	addr := servertest.TCP(t, func(conn *net.TCPConn) {
		if first := read(conn); !strings.HasPrefix(first, "*2\r\n$4\r\nAUTH\r\n") {
			t.Errorf("the server got %q, want AUTH", first)
		}
		io.WriteString(conn, "\xff\x02unknown opcode")
	})
	c := newClient(t, addr, Options{Token: "gcd_secret"})
	for range 2 {
		_, err := c.Count(patient(t), "orders")
		wantClass(t, err, "not sent")
	}
}
