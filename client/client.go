package client

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"gcd/codec"
	"gcd/internal/dial"
)

// Client counts at one server. New makes one; it is safe for many goroutines and has to be closed.
//
// Its goroutines are the two that write and read while there is a connection over RESP, or else the
// workers of asynchronous calls, at most MaxInFlight; and one for each function that WrapAsync
// runs. Close waits for all of them.
type Client struct {
	addr string
	opts Options // of transport if there is one, else of pipeline

	pipeline  *pipeline // carries the calls over RESP; nil where Network says that there is none
	transport transport // carries the calls that no pipeline does; nil where Network says "resp"

	// life ends with Close, by the cause ErrClosed, and takes every call with it.
	life context.Context
	end  context.CancelCauseFunc

	slots chan struct{} // holds one element for each call in flight

	mu      sync.Mutex
	closed  bool
	waiting *list.List // of *Call: the asynchronous calls that no worker has taken yet, oldest first
	workers int
	running sync.WaitGroup // calls and goroutines that Close waits for; grows only while closed is false
}

// transport carries one request and its answer.
type transport interface {
	// roundTrip sends msg, a request with opcode op, as at most attempts datagrams where the
	// transport has datagrams. It returns a reply with opcode op + 128, or an error of one of the
	// three classes.
	roundTrip(ctx context.Context, op codec.Op, msg []byte, attempts int) (codec.Reply, error)
	// close releases what the transport keeps between calls. No call is in flight then, nor comes
	// later.
	close()
	// longest is the size in bytes of the longest request.
	longest() int
}

// New returns a client of the server at addr: host:port, or unix:PATH for a unix socket, or what
// Options.Dial makes of it; "" means 127.0.0.1:5555. It sends nothing and does not look for the
// server yet. An error means that addr or an option makes no sense.
func New(addr string, opts Options) (*Client, error) {
	if addr == "" {
		addr = codec.DefaultAddr
	}
	if opts.Dial == nil {
		if err := checkAddr(addr); err != nil {
			return nil, err
		}
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	if network, _ := dial.Split(addr); network == "unix" && opts.Network == "udp" {
		return nil, fmt.Errorf(`client: %s is a socket of connections, and network "udp" has none`, addr)
	}
	if opts.TLS != nil {
		config, err := dial.Config(opts.TLS, addr)
		if err != nil {
			return nil, fmt.Errorf("client: TLS without a ServerName: %w", err)
		}
		opts.TLS = config
	}
	c := &Client{addr: addr, waiting: list.New()}
	if opts.Token != "" { // which only RESP carries
		opts.Network = "resp"
	}
	switch opts.Network {
	case "", "tcp":
		c.opts = opts.over("tcp")
		c.transport = newTCP(addr, c.opts)
	case "udp":
		c.opts = opts.over("udp")
		c.transport = newUDP(addr, c.opts)
	case "resp":
		c.opts = opts.over("resp")
	}
	switch opts.Network {
	case "":
		c.pipeline = newPipeline(addr, opts.over("resp"))
		c.pipeline.fall = c.adopt
	case "resp":
		c.pipeline = newPipeline(addr, c.opts)
	}
	c.slots = make(chan struct{}, c.opts.MaxInFlight)
	c.life, c.end = context.WithCancelCause(context.Background())
	return c, nil
}

// Count adds one to the topic's sum and returns the new sum. The topic is UTF-8 of at most 65,535
// bytes, 65,506 over UDP, and may be empty. The package documentation tells what the errors mean.
func (c *Client) Count(ctx context.Context, topic string) (uint64, error) {
	return c.request(ctx, codec.OpCount, topic)
}

// Reset sets the topic's sum to zero. Topics and errors are those of Count.
func (c *Client) Reset(ctx context.Context, topic string) error {
	_, err := c.request(ctx, codec.OpReset, topic)
	return err
}

// Close ends every call: those that wait fail as not sent, those in flight as not sent or unknown,
// each with ErrClosed as its cause. It ends the contexts of the functions that WrapAsync runs,
// waits for all of them and for all calls, and closes the sockets. Later calls fail as not sent.
// Close may be called again and always returns nil. A function that WrapAsync runs must not call
// it.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	var waiting []*Call
	for call := c.nextWaiting(); call != nil; call = c.nextWaiting() {
		waiting = append(waiting, call)
	}
	c.mu.Unlock()

	c.end(ErrClosed)
	for _, call := range waiting {
		call.finish(0, c.requestError(call.op, call.topic, notSent(ErrClosed)))
	}
	if c.pipeline != nil {
		c.pipeline.close()
	}
	c.running.Wait()
	if c.transport != nil {
		c.transport.close()
	}
	return nil
}

// enter makes Close wait until leave is called. It returns false when the client is closed.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}

func (c *Client) leave() { c.running.Done() }

// bound returns a context that ends with ctx and with the client; release must be called.
func (c *Client) bound(ctx context.Context) (bound context.Context, release func()) {
	bound, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(ErrClosed) })
	return bound, func() {
		stop()
		cancel(nil)
	}
}

// request makes one COUNT or RESET. The sum is 0 for a RESET.
func (c *Client) request(ctx context.Context, op codec.Op, topic string) (uint64, error) {
	if c.pipeline != nil {
		return c.pipeline.do(ctx, op, topic, 1)
	}
	return c.overTransport(ctx, op, topic)
}

// overTransport makes one call over c.transport, from the check of the topic to the error's last
// word.
func (c *Client) overTransport(ctx context.Context, op codec.Op, topic string) (uint64, error) {
	sum, err := c.try(ctx, op, topic)
	if err != nil {
		return 0, c.requestError(op, topic, err)
	}
	return sum, nil
}

func (c *Client) try(ctx context.Context, op codec.Op, topic string) (uint64, error) {
	// Nothing is allocated for a topic that is too long.
	if longest := c.transport.longest(); len(topic) >= longest {
		return 0, tooLong(c.opts.Network, longest-1, len(topic))
	}
	msg, err := codec.AppendRequest(make([]byte, 0, 1+len(topic)), op, topic)
	if err != nil {
		return 0, err // it wraps a refusal
	}
	if !c.enter() {
		return 0, notSent(ErrClosed)
	}
	defer c.leave()
	ctx, release := c.bound(ctx)
	defer release()

	select { // those who wait to send into a channel do so in the order in which they came
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, notSent(interrupted(ctx))
	}
	defer func() { <-c.slots }()
	if c.life.Err() != nil { // the slot may be that of a call which Close has ended, before ctx was told
		return 0, notSent(ErrClosed)
	}

	attempts := c.opts.Attempts
	if op == codec.OpReset {
		attempts = c.opts.ResetAttempts
	}
	reply, err := c.transport.roundTrip(ctx, op, msg, attempts)
	return reply.Sum, err
}
