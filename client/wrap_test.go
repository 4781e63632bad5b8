package client

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"

	"gcd/internal/servertest"
)

// errWork is how the wrapped functions of these tests fail.
var errWork = errors.New("work failed")

// countingServer tells each topic and answers 3.
func countingServer(t *testing.T) (addr string, topics chan string) {
	topics = make(chan string, 100)
	return servertest.TCP(t, func(conn *net.TCPConn) {
		msg := read(conn)
		topics <- msg[1:]
		io.WriteString(conn, "\x80\x03")
	}), topics
}

// Wrap and WrapAsync do the same.
func eachWrap(t *testing.T, test func(t *testing.T, wrap wrapper)) {
	for name, w := range map[string]wrapper{
		"Wrap": Wrap[string],
		"WrapAsync": func(c *Client, topic string,
			fn func(context.Context) (string, error)) func(context.Context) (uint64, string, error) {
			stamped := WrapAsync(c, topic, fn)
			return func(ctx context.Context) (uint64, string, error) { return stamped(ctx).Result() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

type wrapper func(*Client, string, func(context.Context) (string, error)) func(context.Context) (uint64, string, error)

func TestWrapCountsAfterTheFunction(t *testing.T) {
	t.Parallel()
	eachWrap(t, func(t *testing.T, wrap wrapper) {
		addr, topics := countingServer(t)
		c := newClient(t, addr, Options{Network: "tcp"})
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "value")
		stamped := wrap(c, "orders", func(ctx context.Context) (string, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("the function got another context")
			}
			if len(topics) > 0 {
				t.Error("counted before the function returned")
			}
			return "result", nil
		})
		for range 2 {
			sum, result, err := stamped(ctx)
			wantSum(t, sum, err, 3)
			if result != "result" {
				t.Errorf("result %q", result)
			}
			if topic := receive(t, topics); topic != "orders" {
				t.Errorf("counted %q", topic)
			}
		}
	})
}

func TestWrapFunctionFails(t *testing.T) {
	t.Parallel()
	eachWrap(t, func(t *testing.T, wrap wrapper) {
		addr, topics := countingServer(t)
		c := newClient(t, addr, Options{Network: "tcp"})
		sum, result, err := wrap(c, "orders", func(context.Context) (string, error) {
			return "half", errWork
		})(patient(t))
		if sum != 0 || result != "half" || err != errWork {
			t.Errorf("got %d, %q, %v", sum, result, err)
		}
		closeClient(t, c)
		if len(topics) > 0 {
			t.Error("counted")
		}
	})
}

func TestWrapCountFails(t *testing.T) {
	t.Parallel()
	eachWrap(t, func(t *testing.T, wrap wrapper) {
		for answer, class := range map[string]string{"\xff\x08": "refused", "": "unknown"} {
			runs := 0
			c := newClient(t, servertest.TCP(t, answering(answer)), Options{Network: "tcp"})
			sum, result, err := wrap(c, "orders", func(context.Context) (string, error) {
				runs++
				return "result", nil
			})(patient(t))
			if sum != 0 || result != "result" || runs != 1 {
				t.Errorf("got %d, %q after %d runs", sum, result, runs)
			}
			wantClass(t, err, class)
		}
	})
}

func TestWrapPanic(t *testing.T) {
	t.Parallel()
	addr, topics := countingServer(t)
	c := newClient(t, addr, Options{Network: "tcp"})
	func() {
		defer func() {
			if got := recover(); got != errWork {
				t.Errorf("recovered %v", got)
			}
		}()
		Wrap(c, "orders", func(context.Context) (int, error) { panic(errWork) })(patient(t))
	}()
	closeClient(t, c)
	if len(topics) > 0 {
		t.Error("counted")
	}
}

func TestWrapAsyncDoesNotWait(t *testing.T) {
	t.Parallel()
	addr, topics := countingServer(t)
	c := newClient(t, addr, Options{Network: "tcp", MaxInFlight: 1})
	// More runs than calls may be in flight, and the first ends last.
	const runs = 10
	work := make([]chan int, runs)
	var calls []*WrapCall[int]
	for i := range work {
		work[i] = make(chan int)
		stamped := WrapAsync(c, "orders", func(context.Context) (int, error) { return <-work[i], nil })
		calls = append(calls, stamped(patient(t)))
	}
	for i := runs - 1; i >= 0; i-- {
		select {
		case <-calls[i].Done():
			t.Error("done before the function returned")
		default:
		}
		work[i] <- i
		receive(t, calls[i].Done())
		sum, result, err := calls[i].Result()
		wantSum(t, sum, err, 3)
		if result != i {
			t.Errorf("result %d, want %d", result, i)
		}
	}
	if len(topics) != runs {
		t.Errorf("%d counts", len(topics))
	}
}

func TestWrapAsyncGoexit(t *testing.T) {
	t.Parallel()
	addr, topics := countingServer(t)
	c := newClient(t, addr, Options{Network: "tcp"})
	call := WrapAsync(c, "orders", func(context.Context) (int, error) {
		runtime.Goexit()
		return 1, nil
	})(patient(t))
	receive(t, call.Done())
	_, _, err := call.Result()
	wantClass(t, err, "not sent")
	closeClient(t, c)
	if len(topics) > 0 {
		t.Error("counted")
	}
}

func TestWrapAsyncAndClose(t *testing.T) {
	t.Parallel()
	addr, topics := countingServer(t)
	c := newClient(t, addr, Options{Network: "tcp"})
	started := make(chan struct{})
	stamped := WrapAsync(c, "orders", func(ctx context.Context) (string, error) {
		close(started)
		<-ctx.Done()
		return "interrupted", nil
	})
	call := stamped(patient(t))
	receive(t, started)
	closeClient(t, c)
	select {
	case <-call.Done():
	default:
		t.Fatal("a function runs on after Close")
	}
	_, result, err := call.Result()
	wantClass(t, err, "not sent")
	if result != "interrupted" || !errors.Is(err, ErrClosed) {
		t.Errorf("got %q, %v", result, err)
	}

	call = stamped(patient(t)) // closing started twice would panic
	receive(t, call.Done())
	_, result, err = call.Result()
	wantClass(t, err, "not sent")
	if result != "" || !errors.Is(err, ErrClosed) {
		t.Errorf("got %q, %v", result, err)
	}
	if len(topics) > 0 {
		t.Error("counted")
	}
}
