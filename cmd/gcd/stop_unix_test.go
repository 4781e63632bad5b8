//go:build unix

package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gcd/client"
	"gcd/codec"
	"gcd/internal/scripttest"
)

// TestStopRefuses stops the real server with SIGTERM while 16 clients count without a pause, over
// each door, alone and in pipelines. Each of their calls has its number or is refused, or found
// nobody any more: none is left unknown, and the next start is where the numbers ended.
func TestStopRefuses(t *testing.T) {
	t.Parallel()
	binary := scripttest.Build(t, t.TempDir(), ".")
	for _, dispatch := range []string{"pool", "goroutine"} {
		t.Run(dispatch, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			p := startVictim(t, binary, data, dispatch)
			p.waitServing(t)
			var counted, refused, absent atomic.Int64
			enough := make(chan struct{})
			var once sync.Once
			var clients sync.WaitGroup
			for i := range 16 {
				clients.Go(func() {
					if err := countUntilRefused(t.Context(), p, i, &refused, &absent, func() {
						if counted.Add(1) == 2000 {
							once.Do(func() { close(enough) })
						}
					}); err != nil {
						t.Error(err)
						once.Do(func() { close(enough) })
					}
				})
			}
			select {
			case <-enough:
			case <-p.exited:
			case <-time.After(hang):
				t.Error("too few counts in a minute")
			}
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			ended(t, "the clients of a server that stops", &clients)
			receive(t, "the end of a server that stops", p.exited)
			if p.err != nil {
				t.Errorf("the server ended with %v\n%s", p.err, p.output())
			}
			if refused.Load() == 0 {
				t.Error("no call was refused: the server was stopped at no moment that matters")
			}
			t.Logf("%d counted, %d refused, %d found nobody", counted.Load(), refused.Load(), absent.Load())

			p = startVictim(t, binary, data, dispatch)
			p.waitServing(t)
			c, err := client.New(p.tcp, client.Options{Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if sum, err := c.Count(t.Context(), "orders"); err != nil || sum != uint64(counted.Load())+1 {
				t.Errorf("the next number is %d, %v; %d were handed out", sum, err, counted.Load())
			}
		})
	}
}

// countUntilRefused counts over the i-th kind of client until it is refused because the server
// stops, or finds nobody.
func countUntilRefused(ctx context.Context, p *victim, i int, refused, absent *atomic.Int64, counted func()) error {
	o, addr, calls := client.Options{Network: "tcp", Timeout: 30 * time.Second}, p.tcp, 1
	switch i % 4 {
	case 1:
		o, addr = client.Options{Network: "udp", Timeout: 30 * time.Second, Attempts: 1}, p.udp
	case 2:
		o.Network = "resp"
	case 3:
		o.Network, calls = "resp", 50
	}
	c, err := client.New(addr, o)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		pipeline := make([]*client.Call, calls)
		for i := range pipeline {
			pipeline[i] = c.CountAsync(ctx, "orders")
		}
		over := false
		for _, call := range pipeline {
			_, err := call.Result()
			var refusal *client.RefusedError
			switch {
			case err == nil:
				counted()
			case errors.As(err, &refusal) && refusal.Code == codec.CodeShuttingDown:
				refused.Add(1)
				over = true
			case errors.Is(err, client.ErrNotSent):
				absent.Add(1)
				over = true
			default:
				return err
			}
		}
		if over {
			return nil
		}
	}
}
