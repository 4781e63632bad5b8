package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// outcome ends a call that must end, and returns its sum and error.
func outcome(t testing.TB, call *Call) (uint64, error) {
	t.Helper()
	receive(t, call.Done())
	return call.Result()
}

// What an answer means, and that nothing is trusted that comes after one that means nothing.
func TestRESPAnswers(t *testing.T) {
	t.Parallel()
	count := func(c *Client) *Call { return c.CountAsync(context.Background(), "orders") }
	reset := func(c *Client) *Call { return c.ResetAsync(context.Background(), "orders") }
	for _, test := range []struct {
		name   string
		call   func(*Client) *Call
		answer string
		sum    uint64 // when class is ""
		class  string
		text   string // in the error
	}{
		{"string", count, "$1\r\n7\r\n", 7, "", ""},
		{"number", count, ":7\r\n", 7, "", ""},
		{"highest string", count, "$20\r\n18446744073709551615\r\n", 1<<64 - 1, "", ""},
		{"highest number", count, ":18446744073709551615\r\n", 1<<64 - 1, "", ""},
		{"reset", reset, "+OK\r\n", 0, "", ""},
		{"error", count, "-ERR no more\r\n", 0, "refused", "no more"},
		{"error to a reset", reset, "-ERR no more\r\n", 0, "refused", "no more"},
		{"error that is not to be shown", count, "-ERR \x1b[2J\r\n", 0, "refused", ""},
		{"long error", count, "-ERR " + strings.Repeat("x", 4000) + "\r\n", 0, "refused", ""},

		{"too long error", count, "-ERR " + strings.Repeat("x", 4090) + "\r\n", 0, "unknown", "4096"},
		{"endless line", count, ":" + strings.Repeat("0", 100_000), 0, "unknown", "4096"},
		{"zero", count, ":0\r\n", 0, "unknown", "at least 1"},
		{"negative", count, ":-1\r\n", 0, "unknown", `"-1"`},
		{"above the highest", count, ":18446744073709551616\r\n", 0, "unknown", "2^64"},
		{"string above the highest", count, "$20\r\n99999999999999999999\r\n", 0, "unknown", "2^64"},
		{"21 digits", count, ":000000000000000000001\r\n", 0, "unknown", "2^64"},
		{"string of 21 digits", count, "$21\r\n000000000000000000001\r\n", 0, "unknown", "no number"},
		{"no digits", count, ":\r\n", 0, "unknown", "no number"},
		{"letters", count, "$3\r\n7up\r\n", 0, "unknown", "7up"},
		{"string that is empty", count, "$0\r\n\r\n", 0, "unknown", "no number"},
		{"string that is longer than it says", count, "$1\r\n77\r\n", 0, "unknown", "end"},
		{"string of a claimed gigabyte", count, "$1000000000\r\n7", 0, "unknown", "262144 bytes"},
		{"nil", count, "$-1\r\n", 0, "unknown", "no sum"},
		{"nil of version 3", count, "_\r\n", 0, "unknown", `"_`},
		{"array", count, "*1\r\n:7\r\n", 0, "unknown", "no sum"},
		{"status for a sum", count, "+OK\r\n", 0, "unknown", "no sum"},
		{"sum for a status", reset, ":1\r\n", 0, "unknown", "not OK"},
		{"another status", reset, "+QUEUED\r\n", 0, "unknown", "not OK"},
		{"line feed alone", count, ":7\n", 0, "unknown", "CR LF"},
		{"the protocol's own", count, "\x80\x07", 0, "unknown", `"\x80\a`},
		{"another protocol", count, "HTTP/1.1 200 OK\r\n", 0, "unknown", "HTTP"},
		{"nothing", count, "", 0, "unknown", "without an answer"},
		{"half a number", count, ":7", 0, "unknown", `middle of an answer: ":7"`},
		{"half a string", count, "$2\r\n7", 0, "unknown", "middle"},
		{"half an end", count, "$1\r\n7\r", 0, "unknown", "middle"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cut := test.name == "nothing" || strings.HasPrefix(test.name, "half")
			var connections atomic.Int32
			addr := respServer(t, func(conn *respConn) {
				if connections.Add(1) == 1 {
					if _, err := conn.command(); err != nil {
						t.Error(err)
					}
					conn.send(test.answer)
					switch {
					case cut:
						return
					case test.class == "unknown":
						conn.expectEnd(t)
						return
					}
				}
				conn.expect(t, "GCD.COUNT next")
				conn.send(":9\r\n")
				conn.expectEnd(t)
			})
			c := respClient(t, addr, Options{})
			sum, err := outcome(t, test.call(c))
			if test.class == "" {
				wantSum(t, sum, err, test.sum)
			} else {
				wantClass(t, err, test.class)
				if !strings.Contains(fmt.Sprint(err), test.text) || strings.Contains(fmt.Sprint(err), "\x1b") {
					t.Errorf("%v, want %q", err, test.text)
				}
			}
			sum, err = outcome(t, c.CountAsync(t.Context(), "next"))
			wantSum(t, sum, err, 9)
		})
	}
}

// An answer that belongs to no call ends the connection, and the next call gets its own.
func TestRESPAnswerToNothing(t *testing.T) {
	t.Parallel()
	for _, answers := range []string{":7\r\n:8\r\n", ":7\r\n-ERR idle for too long\r\n", ":7\r\nx"} {
		ended := make(chan struct{})
		var connections atomic.Int32
		addr := respServer(t, func(conn *respConn) {
			if connections.Add(1) == 1 {
				conn.expect(t, "GCD.COUNT orders")
				conn.send(answers)
				conn.expectEnd(t)
				close(ended)
				return
			}
			conn.expect(t, "GCD.COUNT next")
			conn.send(":9\r\n")
		})
		c := respClient(t, addr, Options{})
		sum, err := outcome(t, c.CountAsync(t.Context(), "orders"))
		wantSum(t, sum, err, 7)
		receive(t, ended)
		sum, err = outcome(t, c.CountAsync(t.Context(), "next"))
		wantSum(t, sum, err, 9)
	}
}

// Answers are not trusted after one that means nothing, though they came with it.
func TestRESPAnswersAfterASurprise(t *testing.T) {
	t.Parallel()
	for _, surprise := range []string{":0\r\n", "+OK\r\n", ":x\r\n", "*0\r\n"} {
		addr := respServer(t, func(conn *respConn) {
			conn.expect(t, "GCD.COUNT 0", "GCD.COUNT 1", "GCD.COUNT 2")
			conn.send(":7\r\n" + surprise + ":9\r\n")
			conn.expectEnd(t)
		})
		c := respClient(t, addr, Options{})
		var calls []*Call
		for i := range 3 {
			calls = append(calls, c.CountAsync(t.Context(), fmt.Sprint(i)))
		}
		sum, err := outcome(t, calls[0])
		wantSum(t, sum, err, 7)
		for _, call := range calls[1:] {
			_, err := outcome(t, call)
			wantClass(t, err, "unknown")
		}
	}
}

// The connection ends after each byte of five answers: the calls whose answers are whole have them,
// the others are unknown.
func TestRESPCutAtEveryByte(t *testing.T) {
	t.Parallel()
	answers := []string{"$2\r\n11\r\n", ":12\r\n", "-ERR 13\r\n", "+OK\r\n", "$20\r\n18446744073709551615\r\n"}
	sums := []uint64{11, 12, 0, 0, 1<<64 - 1}
	stream := strings.Join(answers, "")
	for cut := range len(stream) + 1 {
		addr := respServer(t, func(conn *respConn) {
			conn.expect(t, "GCD.COUNT 0", "GCD.COUNT 1", "GCD.COUNT 2", "GCD.RESET 3", "GCD.COUNT 4")
			conn.send(stream[:cut])
		})
		c := respClient(t, addr, Options{})
		var calls []*Call
		for i := range answers {
			if i == 3 {
				calls = append(calls, c.ResetAsync(t.Context(), "3"))
			} else {
				calls = append(calls, c.CountAsync(t.Context(), fmt.Sprint(i)))
			}
		}
		end := 0
		for i, call := range calls {
			end += len(answers[i])
			sum, err := outcome(t, call)
			switch {
			case end > cut:
				wantClass(t, err, "unknown")
			case i == 2:
				wantClass(t, err, "refused")
			default:
				wantSum(t, sum, err, sums[i])
			}
		}
		if t.Failed() {
			t.Fatalf("cut after %q", stream[:cut])
		}
		closeClient(t, c)
	}
}

// No answer in time, from a server that reads: every call that it has is unknown, and the next gets
// another connection.
func TestRESPSilence(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	begun := make(chan struct{})
	addr := servertest.TCP(t, func(tcp *net.TCPConn) {
		conn := &respConn{tcp, bufio.NewReader(tcp)}
		<-begun // both calls wait for the first connection, or the second one might begin when the first has ended
		if !conn.greet() {
			return
		}
		if connections.Add(1) == 1 {
			io.Copy(io.Discard, conn)
			return
		}
		conn.expect(t, "GCD.COUNT next")
		conn.send(":9\r\n")
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{MaxInFlight: 2})
	c.pipeline.answerTimeout = impatience
	calls := []*Call{c.CountAsync(t.Context(), "0"), c.CountAsync(t.Context(), "1")}
	close(begun)
	for _, call := range calls {
		_, err := outcome(t, call)
		wantClass(t, err, "unknown")
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	}
	c.pipeline.mu.Lock()
	c.pipeline.answerTimeout = servertest.Patience
	c.pipeline.mu.Unlock()
	sum, err := outcome(t, c.CountAsync(t.Context(), "next"))
	wantSum(t, sum, err, 9)
}

// Patience ends for a call, not for a connection that nobody waits on.
func TestRESPIdleConnection(t *testing.T) {
	t.Parallel()
	addr := respServer(t, func(conn *respConn) {
		for i := range 3 {
			conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
			conn.send(bulk(uint64(i + 1)))
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	p := c.pipeline
	for i := range 3 {
		sum, err := outcome(t, c.CountAsync(t.Context(), fmt.Sprint(i)))
		wantSum(t, sum, err, uint64(i+1))
		p.mu.Lock()
		// As if the deadline of that call were now.
		p.conn.SetReadDeadline(time.Now())
		p.mu.Unlock()
		for guarded := true; guarded; runtime.Gosched() {
			p.mu.Lock()
			guarded = p.guarded
			p.mu.Unlock()
		}
	}
}

// The time for making a connection is not the connection's.
func TestRESPConnectionOutlivesItsTimeout(t *testing.T) {
	t.Parallel()
	addr := respServer(t, func(conn *respConn) {
		for _, err := conn.command(); err == nil; _, err = conn.command() {
			conn.send(":1\r\n")
		}
	})
	const timeout = 50 * impatience
	c := respClient(t, addr, Options{Timeout: timeout})
	c.pipeline.answerTimeout = servertest.Patience
	for { // a busy machine may not connect in time
		_, err := outcome(t, c.CountAsync(t.Context(), "orders"))
		if err == nil {
			break
		}
		wantClass(t, err, "not sent")
	}
	connection := func() net.Conn {
		c.pipeline.mu.Lock()
		defer c.pipeline.mu.Unlock()
		return c.pipeline.conn
	}
	before := connection()
	<-time.After(timeout)
	sum, err := outcome(t, c.CountAsync(t.Context(), "orders"))
	wantSum(t, sum, err, 1)
	if connection() != before {
		t.Error("another connection was made")
	}
}

// A deadline that was set for an earlier call is not the end of a later one.
func TestRESPDeadlineOfAnEarlierCall(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	addr := respServer(t, func(conn *respConn) {
		conn.expect(t, "GCD.COUNT orders")
		receive(t, answer)
		conn.send(":1\r\n")
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	call := c.CountAsync(t.Context(), "orders")
	begun(c, 0, 1)
	c.pipeline.mu.Lock()
	c.pipeline.conn.SetReadDeadline(longAgo()) // what waits to be read is not read before that was seen
	c.pipeline.mu.Unlock()
	close(answer)
	sum, err := outcome(t, call)
	wantSum(t, sum, err, 1)
}

// A server that reads slowly holds writes up, and its answers are read all the same.
func TestRESPSlowServer(t *testing.T) {
	t.Parallel()
	const calls = 200 // 12 MB, more than the sockets hold
	topic := strings.Repeat("x", 60_000)
	addr := respServer(t, func(conn *respConn) {
		for i := range calls {
			if !conn.expect(t, "GCD.COUNT "+topic) || !conn.send(bulk(uint64(i+1))) {
				return
			}
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	var all []*Call
	for range calls {
		all = append(all, c.CountAsync(t.Context(), topic))
	}
	for i, call := range all {
		sum, err := outcome(t, call)
		wantSum(t, sum, err, uint64(i+1))
	}
}

// Calls that wait when the connection ends go over the next one, in their order.
func TestRESPWaitingCallsGoOn(t *testing.T) {
	t.Parallel()
	const calls = 20
	begun := make(chan struct{})
	var connections atomic.Int32
	addr := respServer(t, func(conn *respConn) {
		if connections.Add(1) == 1 {
			receive(t, begun)
			conn.expect(t, "GCD.COUNT 0", "GCD.COUNT 1")
			return
		}
		for i := 2; i < calls; i++ {
			conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
			conn.send(bulk(uint64(i + 1)))
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{MaxInFlight: 2})
	var all []*Call
	for i := range calls {
		all = append(all, c.CountAsync(t.Context(), fmt.Sprint(i)))
	}
	close(begun)
	for i, call := range all {
		sum, err := outcome(t, call)
		if i < 2 {
			wantClass(t, err, "unknown")
		} else {
			wantSum(t, sum, err, uint64(i+1))
		}
	}
}
