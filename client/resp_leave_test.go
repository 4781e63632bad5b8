package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"gcd/codec"
)

// A server that stops refuses what it does not run, and runs nothing after that on the same
// connection: so what has no answer then was not run, and later calls are sent over another
// connection.
func TestRESPServerThatStops(t *testing.T) {
	t.Parallel()
	const stops = "-LOADING the server is shutting down: try again when it is back\r\n"
	for _, test := range []struct {
		name, answers string
		last          string // the class of the call that has no answer
	}{
		{"it stops", stops, "refused"},
		{"it stops in the middle of a line", stops + "-LOAD", "refused"},
		{"it loads", "-LOADING gcd is loading its counters, try again soon\r\n", "unknown"},
		{"it is full", "-BUSY too many requests in flight: try again later\r\n", "unknown"},
		{"it says something else after that", stops + "*0\r\n", "unknown"},
		{"it says what is no answer after that", stops + "hello\r\n", "unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var conns atomic.Int32
			sent := make(chan struct{})
			addr := respServer(t, func(conn *respConn) {
				if conns.Add(1) > 1 {
					if conn.expect(t, "GCD.COUNT later") {
						conn.send(bulk(9))
					}
					return
				}
				if conn.expect(t, "GCD.COUNT a", "GCD.COUNT b", "GCD.COUNT c") {
					receive(t, sent)
					conn.send(bulk(1) + test.answers)
				}
			})
			c := respClient(t, addr, Options{})
			ctx := context.Background()
			first, second, third := c.CountAsync(ctx, "a"), c.CountAsync(ctx, "b"), c.CountAsync(ctx, "c")
			close(sent)
			if sum, err := outcome(t, first); sum != 1 || err != nil {
				t.Errorf("the call that was answered before the stop got %d, %v, want 1", sum, err)
			}
			if _, err := outcome(t, second); classOf(err) != "refused" {
				t.Errorf("%v, want a refusal", err)
			}
			if test.last == "refused" { // on the old connection it would have no answer
				if sum, err := outcome(t, c.CountAsync(ctx, "later")); sum != 9 || err != nil {
					t.Errorf("a later call: %d, %v", sum, err)
				}
			}
			_, err := outcome(t, third)
			if classOf(err) != test.last {
				t.Errorf("%v, want it %s", err, test.last)
			}
			var refused *RefusedError
			if errors.As(err, &refused) && refused.Code != codec.CodeShuttingDown {
				t.Errorf("code %d", refused.Code)
			}
		})
	}
}
