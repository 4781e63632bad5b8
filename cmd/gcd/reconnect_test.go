package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"gcd/client"
	"gcd/internal/scripttest"
)

// TestClientOutlivesKills: one client, told nothing but where the server is, counts on through kill
// -9 and new starts of the server, alone and in transactions. What it was answered was counted
// once, what it may try again was not counted, and the two topics of a transaction have the same
// sum.
func TestClientOutlivesKills(t *testing.T) {
	t.Parallel()
	binary, data := scripttest.Build(t, t.TempDir(), "."), filepath.Join(t.TempDir(), "data")
	for _, dispatch := range []string{"pool", "goroutine"} {
		t.Run(dispatch, func(t *testing.T) {
			t.Parallel()
			outliveKills(t, binary, data+dispatch, dispatch)
		})
	}
}

func outliveKills(t *testing.T, binary, data, dispatch string) {
	const callers, each, kills = 6, 150, 3
	var current atomic.Pointer[victim]
	start := func() {
		p := startVictim(t, binary, data, dispatch)
		p.waitServing(t)
		current.Store(p)
	}
	start()
	c, err := client.New("the current one", client.Options{
		Timeout: hang,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, current.Load().tcp)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 3*hang)
	defer cancel()
	values := make(chan uint64)
	var counting sync.WaitGroup
	var unknown, unknownPairs, pairs atomic.Uint64
	for i := range callers {
		counting.Go(func() {
			for counted := 0; counted < each; {
				var n uint64
				var sums []uint64
				var err error
				if i%2 == 0 {
					n, err = c.Count(ctx, "orders")
				} else {
					sums, err = c.CountMany(ctx, "left", "right")
				}
				switch {
				case errors.Is(err, client.ErrUnknown) && i%2 == 0:
					unknown.Add(1)
				case errors.Is(err, client.ErrUnknown):
					unknownPairs.Add(1)
				case client.Retryable(err):
				case err != nil:
					t.Error(err)
					return
				case i%2 == 0:
					counted++
					values <- n
				case sums[0] != sums[1]:
					t.Errorf("a transaction counted to %d", sums)
					return
				default:
					counted++
					pairs.Add(1)
					values <- 0
				}
			}
		})
	}
	go func() {
		counting.Wait()
		close(values)
	}()
	seen := make(map[uint64]bool)
	got := 0
	for n := range values {
		if n > 0 && seen[n] {
			t.Errorf("%d twice", n)
		}
		seen[n] = n > 0
		if got++; got%(callers*each/(kills+1)) == 0 && got/(callers*each/(kills+1)) <= kills {
			current.Load().kill(t)
			start()
		}
	}
	delete(seen, 0)
	sum, err := c.Get(ctx, "orders")
	if most := uint64(len(seen)) + unknown.Load(); err != nil || sum < uint64(len(seen)) || sum > most {
		t.Errorf("the sum is %d, %v, of %d counts that were answered and %d that are unknown",
			sum, err, len(seen), unknown.Load())
	}
	left, err := c.Get(ctx, "left")
	right, rightErr := c.Get(ctx, "right")
	most := pairs.Load() + unknownPairs.Load()
	if err != nil || rightErr != nil || left != right || left < pairs.Load() || left > most {
		t.Errorf("the pair has %d and %d, %v, %v, of %d that were answered and %d that are unknown",
			left, right, err, rightErr, pairs.Load(), unknownPairs.Load())
	}
	t.Logf("%d counts and %d pairs answered, %d and %d unknown",
		len(seen), pairs.Load(), unknown.Load(), unknownPairs.Load())
}
