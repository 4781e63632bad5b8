package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// begun waits until so many calls wait and are in flight.
func begun(c *Client, waiting, inFlight int) {
	for {
		if w, f := inQueues(c); w == waiting && f == inFlight {
			return
		}
		runtime.Gosched()
	}
}

// eachCall does the same to a synchronous and an asynchronous call.
func eachCall(t *testing.T, test func(t *testing.T, count func(context.Context, *Client, string) *Call)) {
	t.Run("sync", func(t *testing.T) {
		t.Parallel()
		test(t, func(ctx context.Context, c *Client, topic string) *Call {
			call := &Call{}
			go func() { call.finish(c.Count(ctx, topic)) }()
			return call
		})
	})
	t.Run("async", func(t *testing.T) {
		t.Parallel()
		test(t, func(ctx context.Context, c *Client, topic string) *Call { return c.CountAsync(ctx, topic) })
	})
}

// A call that is given up while the connection is being made was not sent, and is not sent later.
func TestRESPCancelBeforeTheConnection(t *testing.T) {
	t.Parallel()
	eachCall(t, func(t *testing.T, count func(context.Context, *Client, string) *Call) {
		answer := make(chan struct{})
		addr := tcpServer(t, func(tcp *net.TCPConn) {
			tcp.SetDeadline(time.Now().Add(patience))
			conn := &respConn{tcp, bufio.NewReader(tcp)}
			conn.expect(t, "PING")
			<-answer
			conn.send("+PONG\r\n")
			conn.expect(t, "GCD.COUNT second")
			conn.send(":2\r\n")
			conn.expectEnd(t)
		})
		c := respClient(t, addr, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		first := count(ctx, c, "first")
		begun(c, 1, 0)
		second := count(t.Context(), c, "second")
		begun(c, 2, 0)
		cancel()
		_, err := outcome(t, first)
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(answer)
		sum, err := outcome(t, second)
		wantSum(t, sum, err, 2)
	})
}

// One that is given up behind MaxInFlight others is not sent either.
func TestRESPCancelInTheQueue(t *testing.T) {
	t.Parallel()
	eachCall(t, func(t *testing.T, count func(context.Context, *Client, string) *Call) {
		answer := make(chan struct{})
		addr := respServer(t, func(conn *respConn) {
			conn.expect(t, "GCD.COUNT first")
			<-answer
			conn.send(":1\r\n")
			conn.expect(t, "GCD.COUNT third")
			conn.send(":3\r\n")
			conn.expectEnd(t)
		})
		c := respClient(t, addr, Options{MaxInFlight: 1})
		first := count(t.Context(), c, "first")
		begun(c, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		second := count(ctx, c, "second")
		begun(c, 1, 1)
		third := count(t.Context(), c, "third")
		begun(c, 2, 1)
		cancel()
		_, err := outcome(t, second)
		wantClass(t, err, "not sent")
		close(answer)
		sum, err := outcome(t, first)
		wantSum(t, sum, err, 1)
		sum, err = outcome(t, third)
		wantSum(t, sum, err, 3)
	})
}

// One that is given up in flight is unknown at once, and its answer goes to nobody.
func TestRESPCancelInFlight(t *testing.T) {
	t.Parallel()
	eachCall(t, func(t *testing.T, count func(context.Context, *Client, string) *Call) {
		arrived, answer := make(chan struct{}), make(chan struct{})
		addr := respServer(t, func(conn *respConn) {
			conn.expect(t, "GCD.COUNT first", "GCD.COUNT second", "GCD.COUNT third")
			close(arrived)
			<-answer
			conn.send(":1\r\n:2\r\n:3\r\n")
			io.Copy(io.Discard, conn.from)
		})
		c := respClient(t, addr, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		expiring, cancelExpiring := context.WithTimeout(t.Context(), impatience)
		defer cancelExpiring()
		first := count(ctx, c, "first")
		begun(c, 0, 1)
		second := count(t.Context(), c, "second")
		begun(c, 0, 2)
		third := count(t.Context(), c, "third")
		receive(t, arrived)
		cancel()
		_, err := outcome(t, first)
		wantClass(t, err, "unknown")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// One more that the server does not read: its deadline passes while it waits or is in flight.
		_, err = outcome(t, count(expiring, c, "fourth"))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknown) == errors.Is(err, ErrNotSent) {
			t.Error(err)
		}
		close(answer)
		sum, err := outcome(t, second)
		wantSum(t, sum, err, 2)
		sum, err = outcome(t, third)
		wantSum(t, sum, err, 3)
	})
}

func TestRESPContextThatHasEnded(t *testing.T) {
	t.Parallel()
	eachCall(t, func(t *testing.T, count func(context.Context, *Client, string) *Call) {
		c := respClient(t, tcpServer(t, func(*net.TCPConn) { t.Error("connected") }), Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := outcome(t, count(ctx, c, "orders"))
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Calls that share a context, or have one that ends with it, end together, and the others go on.
func TestRESPSharedContext(t *testing.T) {
	t.Parallel()
	const calls, inFlight = 300, 100
	arrived, answer := make(chan struct{}), make(chan struct{})
	addr := respServer(t, func(conn *respConn) {
		for i := range inFlight {
			conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
		}
		close(arrived)
		<-answer
		for i := range inFlight {
			conn.send(bulk(uint64(i + 1)))
		}
		for i := inFlight; i < calls; i++ {
			if i%3 == 0 {
				conn.expect(t, fmt.Sprint("GCD.COUNT ", i))
				conn.send(bulk(uint64(i + 1)))
			}
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{MaxInFlight: inFlight})
	shared, cancel := context.WithCancel(t.Context())
	type key struct{}
	contexts := []context.Context{t.Context(), shared, context.WithValue(shared, key{}, 1)}
	var all []*Call
	for i := range calls {
		all = append(all, c.CountAsync(contexts[i%3], fmt.Sprint(i)))
	}
	receive(t, arrived)
	begun(c, calls-inFlight, inFlight)
	c.pipeline.mu.Lock()
	if n := len(c.pipeline.watches); n != 2 {
		t.Errorf("%d ends of contexts are watched, want 2", n)
	}
	c.pipeline.mu.Unlock()
	cancel()
	for i, call := range all {
		if i%3 == 0 {
			continue
		}
		_, err := outcome(t, call)
		if i < inFlight {
			wantClass(t, err, "unknown")
		} else {
			wantClass(t, err, "not sent")
		}
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	close(answer)
	for i := 0; i < calls; i += 3 {
		sum, err := outcome(t, all[i])
		wantSum(t, sum, err, uint64(i+1))
	}
	c.pipeline.mu.Lock()
	defer c.pipeline.mu.Unlock()
	if n := len(c.pipeline.watches); n != 0 {
		t.Errorf("%d ends of contexts are watched for calls that are over", n)
	}
}

func TestRESPClose(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		serve func(arrived chan<- struct{}, conn *respConn)
		first string // how the first of two calls ends
	}{
		{"in flight", func(arrived chan<- struct{}, conn *respConn) {
			conn.greet()
			conn.command()
			arrived <- struct{}{}
			conn.command()
		}, "unknown"},
		{"before the greeting's answer", func(arrived chan<- struct{}, conn *respConn) {
			conn.command()
			arrived <- struct{}{}
			conn.command()
		}, "not sent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			arrived := make(chan struct{}, 1)
			addr := tcpServer(t, func(conn *net.TCPConn) {
				conn.SetDeadline(time.Now().Add(patience))
				test.serve(arrived, &respConn{conn, bufio.NewReader(conn)})
			})
			c := respClient(t, addr, Options{MaxInFlight: 1})
			calls := []*Call{c.CountAsync(t.Context(), "first"), c.CountAsync(t.Context(), "second")}
			receive(t, arrived)
			sync := &Call{}
			go func() { sync.finish(0, c.Reset(t.Context(), "third")) }()
			wrapped := WrapAsync(c, "fourth", func(context.Context) (string, error) { return "result", nil })(t.Context())
			c.Close()
			if _, _, err := wrapped.Result(); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			calls = append(calls, sync, c.CountAsync(t.Context(), "late"))
			for i, call := range calls {
				_, err := outcome(t, call)
				if i == 0 {
					wantClass(t, err, test.first)
				} else {
					wantClass(t, err, "not sent")
				}
				if !errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
			if c.Close() != nil {
				t.Error("a second Close fails")
			}
		})
	}
}

// Close ends a pause between attempts to connect, too.
func TestRESPCloseBetweenAttempts(t *testing.T) {
	t.Parallel()
	c := respClient(t, absentServer(t, "tcp"), Options{})
	resting := make(chan struct{})
	c.pipeline.rest = func(ctx context.Context, _ time.Duration) {
		close(resting)
		rest(ctx, 100*patience)
	}
	_, err := outcome(t, c.CountAsync(t.Context(), "first"))
	wantClass(t, err, "not sent")
	second := c.CountAsync(t.Context(), "second")
	receive(t, resting)
	c.Close()
	_, err = outcome(t, second)
	wantClass(t, err, "not sent")
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Close while the server reads nothing and a write does not come to its end.
func TestRESPCloseWhileWriting(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	addr := respServer(t, func(*respConn) { <-closed })
	c := respClient(t, addr, Options{})
	topic := strings.Repeat("x", 60_000)
	var calls []*Call
	for range 300 { // 18 MB, more than the sockets hold
		calls = append(calls, c.CountAsync(t.Context(), topic))
	}
	c.Close()
	close(closed)
	for _, call := range calls {
		_, err := outcome(t, call)
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// Nobody listens: the calls that wait fail at once, and the attempts come slower and slower.
func TestRESPNobodyListens(t *testing.T) {
	t.Parallel()
	c := respClient(t, absentServer(t, "tcp"), Options{})
	var pauses []time.Duration
	c.pipeline.rest = func(_ context.Context, d time.Duration) { pauses = append(pauses, d) }
	for range 12 {
		var calls []*Call
		for range 5 {
			calls = append(calls, c.CountAsync(t.Context(), "orders"))
		}
		for _, call := range calls {
			_, err := outcome(t, call)
			wantClass(t, err, "not sent")
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		}
	}
	c.Close()
	if len(pauses) < 11 { // the first attempt needs none; calls of one turn may need more than one
		t.Errorf("%d pauses, want at least 11", len(pauses))
	}
	want := time.Duration(0)
	for i, pause := range pauses {
		if want = nextPause(want); pause < want/2 || pause > want {
			t.Errorf("pause %d is %v, want %v to %v", i, pause, want/2, want)
		}
	}
	if want != time.Second {
		t.Errorf("the pauses grow to %v, want 1 s", want)
	}
}

// A connection that was of use is followed by the next without a pause; one that was not is not.
func TestRESPReconnect(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	addr := respServer(t, func(conn *respConn) {
		n := connections.Add(1)
		conn.command()
		if n != 3 && n != 4 {
			conn.send(bulk(uint64(n)))
		}
	})
	c := respClient(t, addr, Options{})
	var pauses []time.Duration
	c.pipeline.rest = func(_ context.Context, d time.Duration) { pauses = append(pauses, d) }
	for i := 1; i <= 6; i++ {
		sum, err := outcome(t, c.CountAsync(t.Context(), "orders"))
		if i == 3 || i == 4 {
			wantClass(t, err, "unknown")
		} else {
			wantSum(t, sum, err, uint64(i))
		}
		// The connection is of no use any more when its end was seen.
		c.pipeline.mu.Lock()
		conn := c.pipeline.conn
		c.pipeline.mu.Unlock()
		for conn.SetDeadline(time.Time{}) == nil {
			runtime.Gosched()
		}
	}
	c.Close()
	if len(pauses) != 2 || pauses[0] > firstPause || pauses[1] > 2*firstPause || pauses[1] < firstPause {
		t.Errorf("pauses %v, want one of at most 10 ms and one of 10 to 20 ms", pauses)
	}
}
