package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"gcd/internal/servertest"
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
		addr := servertest.TCP(t, func(tcp *net.TCPConn) {
			conn := &respConn{tcp, bufio.NewReader(tcp)}
			conn.expect(t, "PING")
			receive(t, answer)
			conn.send("+PONG\r\n")
			conn.expect(t, "GCD.COUNT second")
			conn.send(":2\r\n")
			conn.expectEnd(t)
		})
		c := respClient(t, addr, Options{})
		ctx, cancel := context.WithCancel(patient(t))
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

// One that is given up after MaxInFlight others is not sent either.
func TestRESPCancelInTheQueue(t *testing.T) {
	t.Parallel()
	eachCall(t, func(t *testing.T, count func(context.Context, *Client, string) *Call) {
		answer := make(chan struct{})
		addr := respServer(t, func(conn *respConn) {
			conn.expect(t, "GCD.COUNT first")
			receive(t, answer)
			conn.send(":1\r\n")
			conn.expect(t, "GCD.COUNT third")
			conn.send(":3\r\n")
			conn.expectEnd(t)
		})
		c := respClient(t, addr, Options{MaxInFlight: 1})
		first := count(t.Context(), c, "first")
		begun(c, 0, 1)
		ctx, cancel := context.WithCancel(patient(t))
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
			receive(t, answer)
			conn.send(":1\r\n:2\r\n:3\r\n")
			io.Copy(io.Discard, conn.from)
		})
		c := respClient(t, addr, Options{})
		ctx, cancel := context.WithCancel(patient(t))
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
		// One more that the server does not read: its deadline passes while it waits or is in
		// flight.
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
		c := respClient(t, servertest.TCP(t, func(*net.TCPConn) { t.Error("connected") }), Options{})
		ctx, cancel := context.WithCancel(patient(t))
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
		receive(t, answer)
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
	shared, cancel := context.WithCancel(patient(t))
	type key struct{}
	contexts := []context.Context{t.Context(), shared, context.WithValue(shared, key{}, 1)}
	var all []*Call
	for i := range calls {
		all = append(all, c.CountAsync(contexts[i%3], fmt.Sprint(i)))
	}
	receive(t, arrived)
	begun(c, calls-inFlight, inFlight)
	c.pipeline.mu.Lock()
	if n := len(c.pipeline.cancellations); n != 2 {
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
	if n := len(c.pipeline.cancellations); n != 0 {
		t.Errorf("%d ends of contexts are watched for calls that are over", n)
	}
}

// tally is a context that counts what is registered with it.
type tally struct {
	context.Context
	registered, ended *atomic.Int32
}

// Value hides the context within, which package context would otherwise register with.
func (tally) Value(any) any { return nil }

// AfterFunc is what package context asks for.
func (ctx tally) AfterFunc(f func()) func() bool {
	ctx.registered.Add(1)
	stop := context.AfterFunc(ctx.Context, f)
	return func() bool {
		ctx.ended.Add(1)
		return stop()
	}
}

// A context that outlives its calls keeps nothing of them.
func TestRESPContextIsLetGo(t *testing.T) {
	t.Parallel()
	addr := respServer(t, func(conn *respConn) {
		for i := range uint64(10) {
			conn.command()
			conn.send(bulk(i + 1))
		}
		conn.expectEnd(t)
	})
	c := respClient(t, addr, Options{})
	inner, cancel := context.WithCancel(patient(t))
	defer cancel()
	ctx := tally{inner, new(atomic.Int32), new(atomic.Int32)}
	for i := range uint64(10) {
		sum, err := outcome(t, c.CountAsync(ctx, "orders"))
		wantSum(t, sum, err, i+1)
	}
	if registered, ended := ctx.registered.Load(), ctx.ended.Load(); registered != 10 || ended != 10 {
		t.Errorf("%d were registered and %d taken back, want 10 and 10", registered, ended)
	}
}
