package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/client"
	"gcd/codec"
	"gcd/server"
	"gcd/store"
)

// patience is for waits that must succeed: how long they take is not tested.
const patience = time.Minute

// patient is a context for calls that must end.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// gcdServer is a gcd server over sockets of its own.
type gcdServer struct {
	*server.Server
	st   *store.Store
	stop func() // planned, and once
}

// runServer runs a server of the store in dir, in memory where dir is "".
func runServer(t *testing.T, dir string, o server.Options) *gcdServer {
	t.Helper()
	st, err := store.Open(dir, store.Options{SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	o.TCP, o.Workers = "127.0.0.1:0", 2
	s, err := server.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	g := &gcdServer{Server: s, st: st}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	g.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Error("the server still serves, a minute after it was told to stop")
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(g.stop)
	return g
}

func eachDispatch(t *testing.T, test func(t *testing.T, o server.Options)) {
	for _, dispatch := range []server.Dispatch{server.Pool, server.Goroutine} {
		t.Run(string(dispatch), func(t *testing.T) {
			t.Parallel()
			test(t, server.Options{Dispatch: dispatch})
		})
	}
}

func newClient(t *testing.T, addr string, opts client.Options) *client.Client {
	t.Helper()
	opts.Timeout = patience
	c, err := client.New(addr, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Every call that there is counts at a server with RESP and at one without, each once.
func TestRealServer(t *testing.T) {
	t.Parallel()
	for _, noRESP := range []bool{false, true} {
		t.Run(fmt.Sprint("without RESP ", noRESP), func(t *testing.T) {
			t.Parallel()
			eachDispatch(t, func(t *testing.T, o server.Options) {
				o.NoRESP = noRESP
				s := runServer(t, "", o)
				c := newClient(t, s.TCPAddr().String(), client.Options{Logger: slog.New(slog.DiscardHandler)})
				work := func(context.Context) (string, error) { return "", nil }
				var mu sync.Mutex
				var values []uint64
				count := func(n uint64, err error) {
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
					}
					values = append(values, n)
				}
				var calls []*client.Call
				for range 50 {
					calls = append(calls, c.CountAsync(patient(t), "orders"))
				}
				var many sync.WaitGroup
				for range 50 {
					many.Go(func() {
						count(c.Count(patient(t), "orders"))
						n, _, err := client.Wrap(c, "orders", work)(patient(t))
						count(n, err)
						n, _, err = client.WrapAsync(c, "orders", work)(patient(t)).Result()
						count(n, err)
					})
				}
				for _, call := range calls {
					count(call.Result())
				}
				many.Wait()
				slices.Sort(values)
				for i, n := range values {
					if n != uint64(i+1) {
						t.Fatalf("the %d values are not 1 to %d: %d", len(values), len(values), values)
					}
				}
				if err := c.Reset(patient(t), "orders"); err != nil {
					t.Error(err)
				}
				if n, err := c.Count(patient(t), "orders"); n != 1 || err != nil {
					t.Errorf("after a reset: %d, %v", n, err)
				}
				err := c.Ping(patient(t))
				if errors.Is(err, errors.ErrUnsupported) != noRESP || !noRESP && err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A server that is full is met again later, over RESP, and nothing was counted before.
func TestRealServerThatIsFull(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxConns = 1
		s := runServer(t, "", o)
		first := newClient(t, s.TCPAddr().String(), client.Options{})
		if _, err := first.Count(patient(t), "orders"); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, s.TCPAddr().String(), client.Options{})
		_, err := c.Count(patient(t), "orders")
		var refused *client.RefusedError
		if !errors.As(err, &refused) || refused.Code != codec.CodeTooManyConns || !client.Retryable(err) {
			t.Errorf("got %v, want a refusal because the server is full", err)
		}
		first.Close()
		n, err := c.Count(patient(t), "orders")
		for client.Retryable(err) {
			n, err = c.Count(patient(t), "orders")
		}
		if n != 2 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if _, last, err := c.CountN(patient(t), "orders", 2); last != 4 || err != nil {
			t.Errorf("it is not over RESP: %d, %v", last, err)
		}
	})
}

// A server is stopped as planned and started anew, twice, while many count: what may be tried again
// is, and then each value comes once and none is missing, since no outcome is unknown.
func TestRealServerThatIsStartedAnew(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		dir := t.TempDir()
		var current atomic.Pointer[gcdServer]
		current.Store(runServer(t, dir, o))
		c := newClient(t, "the current one", client.Options{
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, current.Load().TCPAddr().String())
			},
		})
		const callers, calls = 8, 100
		values := make(chan uint64)
		var counting sync.WaitGroup
		for range callers {
			counting.Go(func() {
				for range calls {
					n, err := c.Count(patient(t), "orders")
					for client.Retryable(err) {
						n, err = c.Count(patient(t), "orders")
					}
					if err != nil {
						t.Error(err)
						return
					}
					values <- n
				}
			})
		}
		go func() {
			counting.Wait()
			close(values)
		}()
		seen := make([]bool, callers*calls+1)
		got := 0
		for n := range values {
			if n < 1 || n > callers*calls || seen[n] {
				t.Errorf("%d is not one of %d values that come once", n, callers*calls)
				break
			}
			seen[n] = true
			if got++; got == callers*calls/4 || got == callers*calls/2 {
				current.Load().stop() // while the others wait for answers, or to hand over theirs
				current.Store(runServer(t, dir, o))
			}
		}
		for range values {
		}
		if sum, err := c.Get(patient(t), "orders"); sum != callers*calls || err != nil {
			t.Errorf("the sum is %d, %v, want %d", sum, err, callers*calls)
		}
	})
}

// Two topics that are only ever counted together have the same sum in every answer, whoever counts
// them; and what is too much for one transaction is refused whole.
func TestRealServerCountsMany(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		s := runServer(t, t.TempDir(), o)
		var counting sync.WaitGroup
		const callers, calls = 4, 50
		for range callers {
			c := newClient(t, s.TCPAddr().String(), client.Options{})
			counting.Go(func() {
				for range calls {
					sums, err := c.CountMany(patient(t), "a", "b")
					if err != nil || len(sums) != 2 || sums[0] != sums[1] {
						t.Errorf("got %d, %v, want two equal sums", sums, err)
						return
					}
				}
			})
		}
		counting.Wait()
		c := newClient(t, s.TCPAddr().String(), client.Options{})
		if sum, err := c.Get(patient(t), "b"); sum != callers*calls || err != nil {
			t.Errorf("got %d, %v, want %d", sum, err, callers*calls)
		}

		topics := make([]string, 60_000)
		for i := range topics {
			topics[i] = fmt.Sprint("topic ", i)
		}
		sums, err := c.CountMany(patient(t), topics[:500]...)
		for i, sum := range sums {
			if sum != 1 {
				t.Fatalf("topic %d has %d", i, sum)
			}
		}
		if len(sums) != 500 || err != nil {
			t.Errorf("%d sums, %v", len(sums), err)
		}
		_, err = c.CountMany(patient(t), topics...)
		var refused *client.RefusedError
		if !errors.As(err, &refused) || refused.Code != codec.CodeMessageTooLong || client.Retryable(err) {
			t.Errorf("got %v, want a refusal because it is too much", err)
		}
		if sum, err := c.Get(patient(t), topics[0]); sum != 1 || err != nil {
			t.Errorf("got %d, %v: a part of what was refused was counted", sum, err)
		}
	})
}

// A server that takes few requests at once refuses a transaction of more for good, and no part of
// it is counted.
func TestRealServerThatTakesFewAtOnce(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		o.MaxInFlight = 100
		c := newClient(t, runServer(t, "", o).TCPAddr().String(), client.Options{})
		topics := make([]string, 101)
		for i := range topics {
			topics[i] = fmt.Sprint("topic ", i)
		}
		_, err := c.CountMany(patient(t), topics...)
		var refused *client.RefusedError
		if !errors.As(err, &refused) || refused.Code != codec.CodeMessageTooLong || client.Retryable(err) {
			t.Errorf("got %v, want a refusal because it is too much", err)
		}
		if sums, err := c.CountMany(patient(t), topics[:100]...); err != nil || sums[0] != 1 {
			t.Errorf("as many as it takes: %d, %v", sums, err)
		}
	})
}
