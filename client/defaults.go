package client

import (
	"context"
	"fmt"
	"log/slog"

	"gcd/codec"
)

// The functions of this file need no Client. They go to 127.0.0.1:5555, over RESP or what
// Options.Network says of a server without it, and count "default" if no topic is named. Each call
// opens a connection and closes it; whoever counts often wants a Client.

// Count adds one to the sum of the topic, or of "default", and returns the new sum. At most one
// topic can be named. Errors are those of Client.Count.
func Count(ctx context.Context, topic ...string) (uint64, error) {
	return countAt(ctx, codec.DefaultAddr, topic)
}

// Reset sets the sum of the topic, or of "default", to zero. At most one topic can be named. Errors
// are those of Client.Reset.
func Reset(ctx context.Context, topic ...string) error {
	return resetAt(ctx, codec.DefaultAddr, topic)
}

// WrapDefault is Wrap with Count of this package: it returns a function that runs fn, then counts
// the topic, or "default", and returns the sum and fn's result.
func WrapDefault[T any](fn func(context.Context) (T, error), topic ...string) func(context.Context) (uint64, T, error) {
	return wrap(fn, func(ctx context.Context) (uint64, error) { return Count(ctx, topic...) })
}

// WrapAsyncDefault is WrapAsync with Count of this package. The goroutine of a run ends when the
// handle is done: no one else waits for it.
func WrapAsyncDefault[T any](fn func(context.Context) (T, error), topic ...string) func(context.Context) *WrapCall[T] {
	stamped := WrapDefault(fn, topic...)
	return func(ctx context.Context) *WrapCall[T] {
		call := &WrapCall[T]{done: make(chan struct{})}
		go call.run(ctx, stamped)
		return call
	}
}

func countAt(ctx context.Context, addr string, topic []string) (uint64, error) {
	var sum uint64
	err := once(addr, topic, func(c *Client, topic string) (err error) {
		sum, err = c.Count(ctx, topic)
		return err
	})
	return sum, err
}

func resetAt(ctx context.Context, addr string, topic []string) error {
	return once(addr, topic, func(c *Client, topic string) error { return c.Reset(ctx, topic) })
}

// once makes one call with a client that lives no longer.
func once(addr string, topic []string, call func(c *Client, topic string) error) error {
	name := codec.DefaultTopic
	switch len(topic) {
	case 0:
	case 1:
		name = topic[0]
	default:
		wrong := misuse(fmt.Sprintf("%d topics were named, want one or none", len(topic)))
		return fmt.Errorf("client: %w", notSent(wrong))
	}
	c, err := New(addr, Options{Logger: slog.New(slog.DiscardHandler)}) // it has no later calls to speak of
	if err != nil {
		return fmt.Errorf("client: %w", notSent(err))
	}
	defer c.Close()
	return call(c, name)
}
