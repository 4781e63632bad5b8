package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// eachNetwork runs a test over TCP and UDP. The server tells each request's topic and answers when
// it gets an answer for it; "" is silence until the client gives up.
func eachNetwork(t *testing.T, test func(t *testing.T, s *manualServer)) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := &manualServer{network: network, arrived: make(chan held, 100_000)}
			if network == "tcp" {
				s.addr = servertest.TCP(t, func(conn *net.TCPConn) {
					msg := read(conn)
					if msg == "" {
						return // one that gave up before it sent anything
					}
					answered := make(chan struct{})
					s.arrived <- held{msg[1:], func(answer string) {
						io.WriteString(conn, answer)
						close(answered)
					}}
					gone := make(chan struct{})
					go func() {
						defer close(gone)
						io.Copy(io.Discard, conn)
					}()
					select {
					case <-answered:
						conn.Close()
					case <-gone:
					}
					receive(t, gone)
				})
			} else {
				s.addr = servertest.UDP(t, func(r servertest.Datagram) { s.arrived <- held{r.Bytes[1:], r.Reply} })
			}
			test(t, s)
		})
	}
}

// manualServer answers when the test says so.
type manualServer struct {
	network, addr string
	arrived       chan held
}

type held struct {
	topic  string
	answer func(string)
}

func (s *manualServer) client(t *testing.T, opts Options) *Client {
	opts.Network = s.network
	return newClient(t, s.addr, opts)
}

func TestCancelInFlight(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{})
		ctx, cancel := context.WithCancel(patient(t))
		result := make(chan error, 1)
		go func() {
			_, err := c.Count(ctx, "orders")
			result <- err
		}()
		receive(t, s.arrived)
		cancel()
		err := receive(t, result)
		wantClass(t, err, "unknown")
		if !errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestDeadlineInFlight(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{})
		for wait := impatience; ; wait *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			err := c.Reset(ctx, "orders")
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			// a busy machine may not connect and send in time
			if errors.Is(err, ErrNotSent) && wait < servertest.Patience {
				continue
			}
			wantClass(t, err, "unknown")
			return
		}
	})
}

func TestContextThatHasEnded(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{})
		canceled, cancel := context.WithCancel(patient(t))
		cancel()
		expired, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
		defer cancel()
		for ctx, want := range map[context.Context]error{
			canceled: context.Canceled, expired: context.DeadlineExceeded,
		} {
			_, err := c.Count(ctx, "orders")
			wantClass(t, err, "not sent")
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			_, err = outcome(t, c.CountAsync(ctx, "orders"))
			wantClass(t, err, "not sent")
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		if len(s.arrived) > 0 {
			t.Error("something was sent")
		}
	})
}

// A context's cause may be the failure of another call, with the class of that.
func TestCauseOfContextIsNoClass(t *testing.T) {
	t.Parallel()
	c := newClient(t, servertest.TCP(t, func(*net.TCPConn) {}), Options{Network: "tcp"})
	for _, cause := range []error{unknown(io.EOF), fmt.Errorf("other: %w", &RefusedError{Code: 8})} {
		ctx, cancel := context.WithCancelCause(patient(t))
		cancel(cause)
		_, err := c.Count(ctx, "orders")
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// With one slot the second call reaches the server only after the first has ended.
func TestQueue(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{MaxInFlight: 1})
		first := c.CountAsync(t.Context(), "first")
		inFlight := receive(t, s.arrived)

		// A synchronous call that waits for the slot, and one that gives up.
		second := make(chan error, 1)
		go func() {
			sum, err := c.Count(patient(t), "second")
			wantSum(t, sum, err, 2)
			second <- nil
		}()
		ctx, cancel := context.WithCancel(patient(t))
		third := make(chan error, 1)
		go func() {
			_, err := c.Count(ctx, "third")
			third <- err
		}()
		cancel()
		err := receive(t, third)
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		// An asynchronous call that gives up in the queue, while the only worker is busy.
		ctx, cancel = context.WithCancel(patient(t))
		fourth := c.CountAsync(ctx, "fourth")
		cancel()
		_, err = outcome(t, fourth)
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		c.mu.Lock()
		if c.waiting.Len() != 0 {
			t.Error("a call that was given up still waits")
		}
		c.mu.Unlock()

		if inFlight.topic != "first" || len(s.arrived) != 0 {
			t.Errorf("%q is in flight and %d beside it", inFlight.topic, len(s.arrived))
		}
		inFlight.answer("\x80\x01")
		sum, err := outcome(t, first)
		wantSum(t, sum, err, 1)
		inFlight = receive(t, s.arrived)
		inFlight.answer("\x80\x02")
		receive(t, second)
		if inFlight.topic != "second" {
			t.Errorf("%q arrived", inFlight.topic)
		}
	})
}

func TestDeadlineInTheQueue(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{MaxInFlight: 1})
		c.CountAsync(t.Context(), "in flight")
		receive(t, s.arrived)
		ctx, cancel := context.WithTimeout(t.Context(), impatience)
		defer cancel()
		_, err := c.Count(ctx, "orders")
		wantClass(t, err, "not sent")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestManyCallersOfOneClient(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var sum, inFlight, most int
			next := func() string {
				mu.Lock()
				defer mu.Unlock()
				sum++
				return string([]byte{0x80, byte(sum >> 8), byte(sum)})
			}
			addr := ""
			if network == "udp" {
				addr = servertest.UDP(t, func(r servertest.Datagram) { r.Reply(next()) })
			} else {
				addr = servertest.TCP(t, func(conn *net.TCPConn) {
					mu.Lock()
					inFlight++
					most = max(most, inFlight)
					mu.Unlock()
					read(conn)
					answer := next()
					mu.Lock()
					inFlight--
					mu.Unlock()
					io.WriteString(conn, answer)
				})
			}
			c := newClient(t, addr, Options{Network: network, MaxInFlight: 3})
			const callers, calls = 20, 20
			seen := make([]bool, callers*calls+1)
			var running sync.WaitGroup
			for range callers {
				running.Go(func() {
					for range calls {
						n, err := c.Count(patient(t), "orders")
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if seen[n] {
							t.Errorf("%d twice", n)
						}
						seen[n] = true
						mu.Unlock()
					}
				})
			}
			ended(t, &running)
			mu.Lock()
			defer mu.Unlock()
			if most > 3 {
				t.Errorf("%d calls in flight, want at most 3", most)
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{MaxInFlight: 1})
		results := make(chan error, 1)
		go func() {
			_, err := c.Count(patient(t), "in flight")
			results <- err
		}()
		receive(t, s.arrived)
		queued := []*Call{c.CountAsync(t.Context(), "queued"), c.ResetAsync(t.Context(), "queued")}

		var closing sync.WaitGroup
		for range 2 {
			closing.Go(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		ended(t, &closing)
		err := receive(t, results)
		wantClass(t, err, "unknown")
		late := c.CountAsync(t.Context(), "late")
		errs := []error{err, c.Reset(patient(t), "late")}
		for _, call := range append(queued, late) {
			select {
			case <-call.Done():
			default:
				t.Error("a call goes on after Close")
			}
			_, err := outcome(t, call)
			errs = append(errs, err)
		}
		for i, err := range errs {
			if !errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if i > 0 {
				wantClass(t, err, "not sent")
			}
		}
		if len(s.arrived) > 0 {
			t.Error("a call was sent by or after Close")
		}
		if c.Close() != nil {
			t.Error("a second Close fails")
		}
		if u, ok := c.transport.(*udp); ok && len(u.sockets.idle) > 0 {
			t.Error("sockets are open after Close")
		}
	})
}

// The end of the client's life reaches the contexts of its calls in its own time. A call that gets
// a slot in between is not sent.
func TestNothingIsSentOnceTheClientCloses(t *testing.T) {
	t.Parallel()
	eachNetwork(t, func(t *testing.T, s *manualServer) {
		c := s.client(t, Options{MaxInFlight: 1})
		c.end(ErrClosed)
		for range 100 {
			_, err := c.Count(patient(t), "orders")
			wantClass(t, err, "not sent")
			if !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
		if len(s.arrived) > 0 {
			t.Error("a call was sent")
		}
	})
}
