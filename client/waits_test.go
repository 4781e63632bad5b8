package client

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// dribble refuses a PING or a message, and then goes on with one more byte from time to time.
func dribble(conn net.Conn) {
	conn.Read(make([]byte, 100))
	io.WriteString(conn, "\xff\x08")
	for {
		time.Sleep(time.Second / 2)
		if _, err := conn.Write([]byte("x")); err != nil {
			return
		}
	}
}

// A server that refuses and does not come to its end holds up neither a call beyond its time nor
// the end of the client.
func TestRefusalWithoutEnd(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		dial := peer(t, dribble)
		c := newClient(t, "elsewhere", Options{Network: "resp", Timeout: timeout, Dial: dial})
		begun := time.Now()
		c.Count(t.Context(), "orders")
		if waited := time.Since(begun); waited > timeout {
			t.Errorf("the call took %v, its time-out is %v", waited, timeout)
		}
		c = newClient(t, "elsewhere", Options{Network: "resp", Timeout: time.Hour, Dial: dial})
		call := c.CountAsync(t.Context(), "orders")
		synctest.Wait()
		begun = time.Now()
		c.Close()
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("Close took %v", waited)
		}
		if _, err := call.Result(); errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	})
}

// A sum that goes on and on is waited for until the call's time is up, and then for the settle time
// at most.
func TestSettleWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout, settle = time.Second, time.Second
		c := newClient(t, "elsewhere", Options{Network: "tcp", Timeout: timeout, Settle: settle,
			Dial: peer(t, dribble)})
		begun := time.Now()
		c.Count(t.Context(), "orders")
		if waited := time.Since(begun); waited > timeout+settle {
			t.Errorf("the call took %v, want at most %v", waited, timeout+settle)
		}
	})
}

// The pause between two attempts to connect begins with the end of the first: who calls later waits
// for what is left of it, and who calls much later for nothing.
func TestPauseIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "nowhere", Options{
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("away") }})
		attempt := func() time.Duration {
			begun := time.Now()
			_, err := c.Count(t.Context(), "orders")
			wantClass(t, err, "not sent")
			return time.Since(begun)
		}
		for range 12 {
			attempt()
		}
		if waited := attempt(); waited < maxPause/2 || waited > maxPause {
			t.Errorf("an attempt just after another waited for %v, want %v to %v", waited, maxPause/2, maxPause)
		}
		time.Sleep(maxPause / 2)
		if waited := attempt(); waited > maxPause/2 {
			t.Errorf("an attempt waited for %v, half of the pause was over", waited)
		}
		time.Sleep(time.Minute)
		if waited := attempt(); waited > 0 {
			t.Errorf("an attempt a minute after the last waited for %v", waited)
		}
	})
}

// Calls that are given up while they wait are not kept until the server answers again.
func TestGivenUpCallsAreForgotten(t *testing.T) {
	t.Parallel()
	for _, async := range []bool{false, true} {
		addr := respServer(t, func(conn *respConn) { io.Copy(io.Discard, conn) })
		c := respClient(t, addr, Options{MaxInFlight: 1})
		lives := c.CountAsync(t.Context(), "in flight")
		begun(c, 0, 1)
		waits := c.CountAsync(t.Context(), "waits")
		for range 2000 {
			ctx, cancel := context.WithCancel(t.Context())
			var call *Call
			if async {
				call = c.CountAsync(ctx, "given up")
				cancel()
			} else {
				call = new(Call)
				go func() { call.finish(c.Count(ctx, "given up")) }()
				cancel()
			}
			_, err := outcome(t, call)
			wantClass(t, err, "not sent")
		}
		if waiting, inFlight := inQueues(c); waiting > 200 || inFlight != 1 {
			t.Errorf("async %t: %d commands wait and %d are in flight, of 1 and 1 that anybody waits for",
				async, waiting, inFlight)
		}
		closeClient(t, c)
		for _, call := range []*Call{lives, waits} {
			if _, err := outcome(t, call); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	}
}
