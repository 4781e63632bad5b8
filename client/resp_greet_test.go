package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"gcd/internal/servertest"
)

// What a server answers to the PING that a connection begins with. No call was sent then.
func TestRESPGreeting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, answer string
		class, text  string
		code         int // of a refusal
	}{
		{"nothing", "", "not sent", `"tcp"`, 0},
		{"refused as a message of the protocol", "\xff\x02unknown opcode", "not sent", `"tcp"`, 0},
		{"the server is full", "\xff\x09come back later", "refused", "come back later", 9},
		{"the server loads", "-LOADING it reads its log\r\n", "refused", "reads its log", 14},
		{"a password is wanted", "-NOAUTH Authentication required.\r\n", "refused", "Authentication", 21},
		{"another answer", "+OK\r\n", "not sent", "+OK", 0},
		{"too much of an answer", "+PONG\r\n+PONG\r\n", "not sent", "PONG", 0},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", "not sent", "HTTP", 0},
		{"half an answer", "+PON", "not sent", "EOF", 0},
		{"endless", "+" + strings.Repeat("PONG", 5000), "not sent", "PONGPONG", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := servertest.TCP(t, func(conn *net.TCPConn) {
				(&respConn{conn, bufio.NewReader(conn)}).expect(t, "PING")
				io.WriteString(conn, test.answer)
			})
			c := respClient(t, addr, Options{})
			var calls []*Call
			for range 3 {
				calls = append(calls, c.CountAsync(t.Context(), "orders"))
			}
			for _, call := range calls {
				_, err := outcome(t, call)
				wantClass(t, err, test.class)
				var refusal *RefusedError
				if errors.As(err, &refusal) && int(refusal.Code) != test.code ||
					!strings.Contains(fmt.Sprint(err), test.text) {
					t.Errorf("%v, want code %d, %q", err, test.code, test.text)
				}
			}
		})
	}
}

// A server that refuses before it reads resets the connection after its refusal.
func TestRESPGreetingThatIsNotRead(t *testing.T) {
	t.Parallel()
	addr := servertest.TCP(t, func(conn *net.TCPConn) { io.WriteString(conn, "\xff\x09") })
	for range 20 {
		_, err := outcome(t, respClient(t, addr, Options{}).CountAsync(t.Context(), "orders"))
		var refusal *RefusedError
		if !errors.As(err, &refusal) && !errors.Is(err, ErrNotSent) {
			t.Error(err)
		}
	}
}

func TestRESPSilentGreeting(t *testing.T) {
	t.Parallel()
	addr := servertest.TCP(t, func(conn *net.TCPConn) { io.Copy(io.Discard, conn) })
	_, err := outcome(t, respClient(t, addr, Options{Timeout: impatience}).CountAsync(t.Context(), "orders"))
	wantClass(t, err, "not sent")
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
