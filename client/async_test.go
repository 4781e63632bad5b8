package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestAsync(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{})
		count := c.CountAsync(t.Context(), "orders")
		inFlight := receive(t, s.arrived)
		select {
		case <-count.Done():
			t.Error("done without an answer")
		default:
		}
		inFlight.answer("\x80\x07")
		receive(t, count.Done())
		for range 2 {
			sum, err := outcome(t, count)
			wantSum(t, sum, err, 7)
		}

		reset := c.ResetAsync(t.Context(), "orders")
		receive(t, s.arrived).answer("\x81")
		sum, err := outcome(t, reset)
		wantSum(t, sum, err, 0)

		refused := c.CountAsync(t.Context(), "orders")
		receive(t, s.arrived).answer("\xff\x08")
		_, err = outcome(t, refused)
		wantClass(t, err, "refused")

		_, err = outcome(t, c.CountAsync(t.Context(), "\xff"))
		wantClass(t, err, "refused")

		ctx, cancel := context.WithCancel(patient(t))
		canceled := c.CountAsync(ctx, "orders")
		receive(t, s.arrived)
		cancel()
		_, err = outcome(t, canceled)
		wantClass(t, err, "unknown")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Thousands of calls wait without a goroutine each, and reach the server in their order.
func TestAsyncQueue(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		const calls, most = 3000, 2
		c := s.client(t, Options{MaxInFlight: most})
		var all []*Call
		for i := range calls {
			all = append(all, c.CountAsync(t.Context(), fmt.Sprint(i)))
		}
		first, second := receive(t, s.arrived), receive(t, s.arrived)
		c.mu.Lock()
		if c.workers != most || c.waiting.Len() != calls-most {
			t.Errorf("%d workers and %d calls waiting, want %d and %d", c.workers, c.waiting.Len(), most, calls-most)
		}
		c.mu.Unlock()

		// One of the two stays where it is, so the others come one by one.
		if first.topic != "0" {
			first, second = second, first
		}
		for i := 1; i < calls; i++ {
			if second.topic != fmt.Sprint(i) {
				t.Fatalf("%q came, want %d", second.topic, i)
			}
			if len(s.arrived) > 0 {
				t.Fatalf("more than %d calls are in flight", most)
			}
			second.answer("\x80\x01")
			sum, err := outcome(t, all[i])
			wantSum(t, sum, err, 1)
			if i < calls-1 {
				second = receive(t, s.arrived)
			}
		}
		first.answer("\x80\x01")
		sum, err := outcome(t, all[0])
		wantSum(t, sum, err, 1)
		closeClient(t, c)
		if c.workers != 0 {
			t.Errorf("%d workers after Close", c.workers)
		}
	})
}
