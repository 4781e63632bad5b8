package client

import (
	"context"
	"errors"

	"gcd/codec"
)

// errGoexit is what a WrapCall reports whose function ended its goroutine instead of returning.
var errGoexit = errors.New("the function called runtime.Goexit")

// Wrap returns a function that runs fn, then counts the topic, and returns the sum, fn's result and
// nil. So the sums order the ends of the runs: if one run ended before another was counted, its sum
// is smaller.
//
// When fn fails nothing is counted: its result and its error come back as they are, with the sum 0.
// When fn panics, the panic goes on to the caller and nothing is counted. When the count fails,
// fn's result comes back with the count's error and the sum 0; errors.Is and errors.As tell, as for
// Count, whether it may have been counted. fn is never run again.
//
// ctx is fn's context and the count's. fn may be quick or may block; no socket is held while it
// runs.
func Wrap[T any](c *Client, topic string,
	fn func(context.Context) (T, error)) func(context.Context) (uint64, T, error) {
	return wrap(fn, func(ctx context.Context) (uint64, error) { return c.Count(ctx, topic) })
}

func wrap[T any](fn func(context.Context) (T, error),
	count func(context.Context) (uint64, error)) func(context.Context) (uint64, T, error) {
	return func(ctx context.Context) (uint64, T, error) {
		result, err := fn(ctx)
		if err != nil {
			return 0, result, err
		}
		sum, err := count(ctx)
		return sum, result, err
	}
}

// WrapCall is the handle of a function that WrapAsync or WrapAsyncDefault runs. It is safe for many
// goroutines.
type WrapCall[T any] struct {
	done   chan struct{}
	sum    uint64 // sum, result and err are written before done is closed and read after
	result T
	err    error
}

// Done returns a channel that is closed when the function has returned and was counted, or one of
// the two has failed.
func (call *WrapCall[T]) Done() <-chan struct{} { return call.done }

// Result waits until Done is closed and returns what the function that Wrap returns would have
// returned.
func (call *WrapCall[T]) Result() (uint64, T, error) {
	<-call.done
	return call.sum, call.result, call.err
}

// run makes the call and closes done. A panic of the function ends the program, as in any
// goroutine.
func (call *WrapCall[T]) run(ctx context.Context, stamped func(context.Context) (uint64, T, error)) {
	call.err = notSent(errGoexit) // unless stamped returns
	defer close(call.done)
	call.sum, call.result, call.err = stamped(ctx)
}

// WrapAsync is Wrap for those who do not want to wait: the function that it returns starts fn on a
// goroutine of its own and gives a handle at once. Each run of fn has its goroutine, for fn may
// block; the count that follows queues as every other call does.
//
// The goroutines belong to the client: Close ends the contexts of the runs and waits until they
// have returned. After Close fn is not run at all and the handle reports a count that was not sent.
func WrapAsync[T any](c *Client, topic string, fn func(context.Context) (T, error)) func(context.Context) *WrapCall[T] {
	stamped := Wrap(c, topic, fn)
	return func(ctx context.Context) *WrapCall[T] {
		call := &WrapCall[T]{done: make(chan struct{})}
		if !c.enter() {
			call.err = c.requestError(codec.OpCount, topic, notSent(ErrClosed))
			close(call.done)
			return call
		}
		go func() {
			defer c.leave()
			ctx, release := c.bound(ctx)
			defer release()
			call.run(ctx, stamped)
		}()
		return call
	}
}
