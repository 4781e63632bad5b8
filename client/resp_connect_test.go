package client

import (
	"bufio"
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gcd/internal/servertest"
)

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
			addr := servertest.TCP(t, func(conn *net.TCPConn) {
				test.serve(arrived, &respConn{conn, bufio.NewReader(conn)})
			})
			c := respClient(t, addr, Options{MaxInFlight: 1})
			calls := []*Call{c.CountAsync(t.Context(), "first"), c.CountAsync(t.Context(), "second")}
			receive(t, arrived)
			sync := &Call{}
			go func() { sync.finish(0, c.Reset(patient(t), "third")) }()
			wrapped := WrapAsync(c, "fourth", func(context.Context) (string, error) {
				return "result", nil
			})(patient(t))
			closeClient(t, c)
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
	c := respClient(t, servertest.Absent(t, "tcp"), Options{})
	resting := make(chan struct{})
	c.pipeline.backOff = func(ctx context.Context, ended time.Time, _ time.Duration) {
		close(resting)
		backOff(ctx, ended, 100*servertest.Patience)
	}
	_, err := outcome(t, c.CountAsync(t.Context(), "first"))
	wantClass(t, err, "not sent")
	second := c.CountAsync(t.Context(), "second")
	receive(t, resting)
	closeClient(t, c)
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
	addr := respServer(t, func(*respConn) { receive(t, closed) })
	c := respClient(t, addr, Options{})
	topic := strings.Repeat("x", 60_000)
	var calls []*Call
	for range 300 { // 18 MB, more than the sockets hold
		calls = append(calls, c.CountAsync(t.Context(), topic))
	}
	closeClient(t, c)
	for _, call := range calls {
		select {
		case <-call.Done():
		default:
			t.Fatal("a call goes on after Close")
		}
	}
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
	c := respClient(t, servertest.Absent(t, "tcp"), Options{})
	var pauses []time.Duration
	c.pipeline.backOff = func(_ context.Context, _ time.Time, d time.Duration) { pauses = append(pauses, d) }
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
	closeClient(t, c)
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
	c.pipeline.backOff = func(_ context.Context, _ time.Time, d time.Duration) { pauses = append(pauses, d) }
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
	closeClient(t, c)
	if len(pauses) != 2 || pauses[0] > firstPause || pauses[1] > 2*firstPause || pauses[1] < firstPause {
		t.Errorf("pauses %v, want one of at most 10 ms and one of 10 to 20 ms", pauses)
	}
}
