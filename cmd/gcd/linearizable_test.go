package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/client"
	"gcd/server"
	"gcd/store"
)

// TestLinearizable has many clients count few topics over all networks and compares the order of
// their calls and returns with the numbers that they got. Where nothing is reset that is the whole
// of linearizability: each number once, and a count that returned before another was sent has the
// smaller one.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	for _, dispatch := range []server.Dispatch{server.Pool, server.Goroutine} {
		t.Run(string(dispatch), func(t *testing.T) {
			t.Parallel()
			tcp, udp := serveFor(t, dispatch)
			const clients, each = 12, 150
			topics := []string{"a", "b"}
			var (
				clock   atomic.Int64 // ticks at every call and every return
				mu      sync.Mutex
				history = make(map[string][]counted)
				wg      sync.WaitGroup
			)
			for i := range clients {
				addr, o := tcp, client.Options{Network: "tcp", Timeout: hang}
				switch i % 3 {
				case 1:
					addr, o = udp, client.Options{Network: "udp", Timeout: hang, Attempts: 1}
				case 2:
					o.Network = "resp"
				}
				wg.Go(func() {
					c, err := client.New(addr, o)
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					for j := range each {
						topic := topics[(i+j)%len(topics)]
						op := counted{call: clock.Add(1)}
						op.value, err = c.Count(t.Context(), topic)
						op.returned = clock.Add(1)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						history[topic] = append(history[topic], op)
						mu.Unlock()
					}
				})
			}
			ended(t, "the clients", &wg)
			for topic, ops := range history {
				if reason := outOfOrder(ops); reason != "" {
					t.Errorf("the counts of topic %s have no order: %s", topic, reason)
				}
			}
		})
	}
}

// counted is one COUNT: when it was called, when it returned, what it returned.
type counted struct {
	call, returned int64
	value          uint64
}

// outOfOrder says how the history of one topic contradicts the promises, "" if it does not.
func outOfOrder(ops []counted) string {
	byValue := slices.Clone(ops)
	slices.SortFunc(byValue, func(a, b counted) int { return cmp.Compare(a.value, b.value) })
	for i, op := range byValue {
		if op.value != uint64(i+1) {
			return fmt.Sprintf("number %d of all is %d", i+1, op.value)
		}
	}
	// From the largest number down: nothing with a larger number may have returned before this one
	// was called.
	earliest := counted{returned: math.MaxInt64}
	for _, op := range slices.Backward(byValue) {
		if earliest.returned < op.call {
			return fmt.Sprintf("%d had returned before %d was called", earliest.value, op.value)
		}
		if op.returned < earliest.returned {
			earliest = op
		}
	}
	return ""
}

// TestOutOfOrder shows that the check sees what it is there for.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ops  []counted
		bad  bool
	}{
		{"in order", []counted{{1, 2, 1}, {3, 4, 2}}, false},
		{"at the same time", []counted{{1, 4, 2}, {2, 3, 1}, {5, 6, 3}}, false},
		{"out of order", []counted{{1, 2, 2}, {3, 4, 1}}, true},
		{"twice", []counted{{1, 2, 1}, {3, 4, 1}}, true},
		{"one missing", []counted{{1, 2, 1}, {3, 4, 3}}, true},
	} {
		if reason := outOfOrder(test.ops); (reason != "") != test.bad {
			t.Errorf("%s: it says %q, want that it is out of order: %t", test.name, reason, test.bad)
		}
	}
}

// serveFor runs a server over a store in a directory of its own, for the life of the test.
func serveFor(t *testing.T, dispatch server.Dispatch) (tcp, udp string) {
	t.Helper()
	counters, err := store.Open(t.TempDir(), store.Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(counters, server.Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Dispatch: dispatch})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := receive(t, "the end of Serve", served); err != nil {
			t.Error(err)
		}
		if err := counters.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv.TCPAddr().String(), srv.UDPAddr().String()
}
