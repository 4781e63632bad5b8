package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"gcd/codec"
	"gcd/internal/servertest"
)

// reading is one of the calls that change nothing, with its result as a text.
type reading struct {
	name, command string
	call          func(context.Context, *Client) (string, error)
}

func get(ctx context.Context, c *Client) (string, error) {
	sum, err := c.Get(ctx, "orders")
	return fmt.Sprint(sum), err
}

func info(ctx context.Context, c *Client) (string, error) {
	i, err := c.Info(ctx, "orders")
	return fmt.Sprintf("%d in epoch %d", i.Sum, i.Epoch), err
}

func pingOnce(ctx context.Context, c *Client) (string, error) { return "", c.Ping(ctx) }

func serverInfo(ctx context.Context, c *Client) (string, error) {
	figures, err := c.ServerInfo(ctx, "gcd", "stats")
	return fmt.Sprint(figures), err
}

func readings() []reading {
	return []reading{
		{"Get", "GET orders", get},
		{"Info", "GCD.INFO orders", info},
		{"Ping", "PING", pingOnce},
		{"ServerInfo", "INFO gcd stats", serverInfo},
	}
}

// What an answer means, and that a connection is not trusted after one that means nothing.
func TestReadings(t *testing.T) {
	t.Parallel()
	all := readings()
	for _, test := range []struct {
		reading reading
		answer  string
		want    string // when class is ""
		class   string
		text    string
	}{
		{all[0], "$1\r\n7\r\n", "7", "", ""},
		{all[0], ":7\r\n", "7", "", ""},
		{all[0], "$-1\r\n", "0", "", ""},
		{all[0], "$20\r\n18446744073709551615\r\n", fmt.Sprint(uint64(math.MaxUint64)), "", ""},
		{all[0], "-BUSY later\r\n", "", "refused", "later"},
		{all[0], "$1\r\nx\r\n", "", "unknown", "no number"},
		{all[0], "+OK\r\n", "", "unknown", "no sum"},
		{all[0], "*1\r\n:7\r\n", "", "unknown", "no sum"},
		{all[0], "", "", "unknown", "without an answer"},
		{all[1], "*4\r\n$3\r\nsum\r\n$1\r\n7\r\n$5\r\nepoch\r\n:3\r\n", "7 in epoch 3", "", ""},
		{all[1], "*6\r\n$5\r\nepoch\r\n:3\r\n$4\r\nmore\r\n+x\r\n$3\r\nsum\r\n$1\r\n7\r\n", "7 in epoch 3", "", ""},
		{all[1], "*0\r\n", "0 in epoch 0", "", ""},
		{all[1], "-ERR topic is not UTF-8\r\n", "", "refused", "code 4"},
		{all[1], "*3\r\n$3\r\nsum\r\n$1\r\n7\r\n:1\r\n", "", "unknown", "no list"},
		{all[1], "*18446744073709551614\r\n", "", "unknown", "no list"},
		{all[1], "*4\r\n:1\r\n:7\r\n$5\r\nepoch\r\n:3\r\n", "", "unknown", "no name"},
		{all[1], "*2\r\n$3\r\nsum\r\n*0\r\n", "", "unknown", "no sum"},
		{all[1], "*4\r\n$3\r\nsum\r\n", "", "unknown", "without an answer"},
		{all[1], ":7\r\n", "", "unknown", "no list"},
		{all[2], "+PONG\r\n", "", "", ""},
		{all[2], "-MISCONF no room for the log\r\n", "", "refused", "no room"},
		{all[2], "+OK\r\n", "", "unknown", "PONG"},
		{all[3], "$37\r\n# GCD\r\ncounting:ok\r\nx:a:b\r\n\r\nlast:1\r\n", "map[counting:ok last:1 x:a:b]", "", ""},
		{all[3], "$0\r\n\r\n", "map[]", "", ""},
		{all[3], "+OK\r\n", "", "unknown", "no text"},
		{all[3], "$300000\r\n", "", "unknown", "262144 bytes"},
	} {
		t.Run(fmt.Sprintf("%s %.20q", test.reading.name, test.answer), func(t *testing.T) {
			t.Parallel()
			if test.reading.name == "ServerInfo" && test.class == "" && len(test.answer) > 10 {
				text := test.answer[strings.Index(test.answer, "\n")+1 : len(test.answer)-2]
				test.answer = fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
			}
			var connections atomic.Int32
			addr := respServer(t, func(conn *respConn) {
				if connections.Add(1) == 1 {
					conn.expect(t, test.reading.command)
					conn.send(test.answer)
					if test.class == "unknown" {
						if !strings.Contains(test.text, "without") {
							conn.expectEnd(t)
						}
						return
					}
				}
				conn.expect(t, "GCD.COUNT next")
				conn.send(":9\r\n")
				conn.expectEnd(t)
			})
			c := respClient(t, addr, Options{})
			got, err := test.reading.call(patient(t), c)
			if test.class == "" {
				if got != test.want || err != nil {
					t.Errorf("got %s, %v, want %s", got, err, test.want)
				}
			} else if err == nil {
				t.Fatalf("got %s, want a failure that is %s", got, test.class)
			} else {
				wantClass(t, err, test.class)
				asked := strings.Fields(test.reading.command)[0]
				if !strings.Contains(fmt.Sprint(err), test.text) || !strings.Contains(fmt.Sprint(err), asked) {
					t.Errorf("%v, want %q and what was asked", err, test.text)
				}
				if test.class == "unknown" && !Retryable(err) {
					t.Errorf("a reading is not to be made again: %v", err)
				}
			}
			sum, err := c.Count(patient(t), "next")
			wantSum(t, sum, err, 9)
		})
	}
}

// Readings take the same ways out as counts do.
func TestReadingsThatAreNotSent(t *testing.T) {
	t.Parallel()
	for _, r := range readings() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			_, err := r.call(patient(t), newClient(t, "127.0.0.1:1", Options{Network: "udp"}))
			wantUnsupported(t, err)
			_, err = r.call(patient(t), newClient(t, servertest.Absent(t, "tcp"), Options{}))
			wantClass(t, err, "not sent")
			if !Retryable(err) {
				t.Error(err)
			}
			arrived := make(chan struct{}, 1)
			c := respClient(t, respServer(t, func(conn *respConn) {
				conn.expect(t, r.command)
				arrived <- struct{}{}
				conn.expectEnd(t)
			}), Options{})
			ctx, cancel := context.WithCancel(patient(t))
			result := make(chan error, 1)
			go func() {
				_, err := r.call(ctx, c)
				result <- err
			}()
			receive(t, arrived)
			cancel()
			err = receive(t, result)
			wantClass(t, err, "unknown")
			if !errors.Is(err, context.Canceled) || Retryable(err) {
				t.Error(err)
			}
			_, err = r.call(ctx, c)
			wantClass(t, err, "not sent")
			closeClient(t, c)
			_, err = r.call(patient(t), c)
			wantClass(t, err, "not sent")
			if !errors.Is(err, ErrClosed) || Retryable(err) {
				t.Error(err)
			}
		})
	}
	c := respClient(t, servertest.Absent(t, "tcp"), Options{})
	_, err := c.Get(patient(t), "\xff")
	wantClass(t, err, "refused")
	_, err = c.Info(patient(t), strings.Repeat("x", 65_536))
	wantClass(t, err, "refused")
}

// An answer that is larger than what is read at once, after and before others.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200_000)
	addr := respServer(t, func(conn *respConn) {
		for range 2 {
			conn.expect(t, "GCD.COUNT a", "INFO", "GCD.COUNT b")
			text := "name:" + long + "\r\n"
			conn.send(bulk(1) + fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) + bulk(2))
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	for range 2 {
		first := c.CountAsync(patient(t), "a")
		begun(c, 0, 1)
		figures := make(chan map[string]string, 1)
		go func() {
			f, err := c.ServerInfo(patient(t))
			if err != nil {
				t.Error(err)
			}
			figures <- f
		}()
		begun(c, 0, 2)
		second := c.CountAsync(patient(t), "b")
		sum, err := outcome(t, first)
		wantSum(t, sum, err, 1)
		if f := receive(t, figures); f["name"] != long {
			t.Errorf("%d bytes of 200000", len(f["name"]))
		}
		sum, err = outcome(t, second)
		wantSum(t, sum, err, 2)
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	refusedBy := func(code codec.Code) error {
		return requestError("server", "resp", asked(0, "orders"), refused(codec.Reply{Code: code}))
	}
	for code := codec.Code(0); code < 255; code++ {
		want := code >= 8 && code <= 16
		if err := refusedBy(code); Retryable(err) != want || !errors.Is(err, ErrRefused) {
			t.Errorf("%v is to be tried again: %v, want %v", err, !want, want)
		}
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errWork, false},
		{context.Canceled, false},
		{notSent(errWork), true},
		{fmt.Errorf("wrapped: %w", refusedBy(8)), true},
		{notSent(ErrClosed), false},
		{notSent(context.DeadlineExceeded), false},
		{notSent(timedOut("no answer")), true},
		{unknown(errWork), false},
		{unknown(timedOut("no answer")), false},
		{&readError{unknown(errWork)}, true},
		{&PartialError{Refused: []error{nil, refusedBy(8)}}, false},
		{notSent(misuse("two topics")), false},
	} {
		if Retryable(test.err) != test.want {
			t.Errorf("%v is to be tried again: %v, want %v", test.err, !test.want, test.want)
		}
	}
}

// What Options.Dial fails with says nothing of the call, whatever it is.
func TestDialFails(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errWork, context.Canceled, context.DeadlineExceeded, unknown(errWork), ErrClosed,
		fmt.Errorf("other: %w: %w", ErrRefused, &RefusedError{Code: 8})} {
		for _, network := range []string{"", "tcp", "resp"} {
			dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
				if _, ok := ctx.Deadline(); !ok || network != "tcp" || addr != "anywhere" {
					t.Errorf("dialing %s %s", network, addr)
				}
				return nil, failure
			}
			c := newClient(t, "anywhere", Options{Network: network, Dial: dial})
			_, err := c.Count(patient(t), "orders")
			wantClass(t, err, "not sent")
			if !Retryable(err) || !strings.Contains(fmt.Sprint(err), failure.Error()) {
				t.Errorf("%v, want one to be tried again", err)
			}
		}
	}
}

// A dialer that waits ends with the client's patience, with the call's context and with Close.
func TestDialWaits(t *testing.T) {
	t.Parallel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, network := range []string{"tcp", "resp"} {
		c := newClient(t, "", Options{Network: network, Dial: dial, Timeout: impatience})
		_, err := c.Count(patient(t), "orders")
		wantClass(t, err, "not sent")
		if !Retryable(err) {
			t.Errorf("the client's own time-out: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), impatience)
		defer cancel()
		_, err = newClient(t, "", Options{Network: network, Dial: dial}).Count(ctx, "orders")
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's deadline: %v", err)
		}
		c = newClient(t, "", Options{Network: network, Dial: dial})
		call := c.CountAsync(patient(t), "orders")
		closeClient(t, c)
		_, err = outcome(t, call)
		wantClass(t, err, "not sent")
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// swallower is a connection whose second write sends everything and says that it sent nothing.
type swallower struct {
	net.Conn
	writes atomic.Int32
}

func (s *swallower) Write(b []byte) (int, error) {
	if s.writes.Add(1) == 2 { // the first is the PING
		s.Conn.Write(b)
		return 0, errWork
	}
	return s.Conn.Write(b)
}

// What a connection of Options.Dial says of a failed write is not believed: nothing is sent twice.
func TestWriteThatFailsThoughItSends(t *testing.T) {
	t.Parallel()
	var counted atomic.Int32
	addr := respServer(t, func(conn *respConn) {
		if _, err := conn.command(); err == nil {
			counted.Add(1)
		}
	})
	c := respClient(t, addr, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &swallower{Conn: conn}, err
	}})
	_, err := outcome(t, c.CountAsync(patient(t), "orders"))
	wantClass(t, err, "unknown")
	closeClient(t, c)
	if n := counted.Load(); n != 1 {
		t.Errorf("counted %d times", n)
	}
}
