package client

import (
	"container/list"
	"context"
	"sync"

	"gcd/codec"
)

// Call is the handle of an asynchronous Count or Reset. It is safe for many goroutines.
type Call struct {
	ctx   context.Context
	topic string

	// in Client.waiting, nil once a worker or a canceled context took the call out; guarded by
	// Client.mu
	place  *list.Element
	forget func() bool // takes back what was registered with ctx; set before place, and not changed

	op    codec.Op // here it costs no room: with it a command has 160 bytes
	ended bool     // guarded by mu
	mu    sync.Mutex
	done  chan struct{} // made when somebody asks for it
	sum   uint64        // sum and err are not changed once ended is true
	err   error
}

// Done returns a channel that is closed when the call has ended.
func (call *Call) Done() <-chan struct{} {
	call.mu.Lock()
	defer call.mu.Unlock()
	if call.done == nil {
		call.done = make(chan struct{})
		if call.ended {
			close(call.done)
		}
	}
	return call.done
}

// Result waits until the call has ended and returns what Count or Reset would have returned; the
// sum of a Reset is 0. The call ends with its context, so to stop waiting end that.
func (call *Call) Result() (uint64, error) {
	call.mu.Lock()
	ended := call.ended
	call.mu.Unlock()
	if !ended {
		<-call.Done()
	}
	return call.sum, call.err
}

// finish ends the call; it is called once.
func (call *Call) finish(sum uint64, err error) {
	call.mu.Lock()
	defer call.mu.Unlock()
	call.sum, call.err, call.ended = sum, err, true
	if call.done != nil {
		close(call.done)
	}
}

// CountAsync begins a Count and returns at once. Over RESP thousands of calls share the connection.
// Calls that find MaxInFlight others in flight wait in order, without a goroutine and without a
// bound on their number: one that waits costs its topic and some 200 bytes over RESP, 500
// otherwise. ctx governs the call, also while it waits.
func (c *Client) CountAsync(ctx context.Context, topic string) *Call {
	return c.begin(ctx, codec.OpCount, topic)
}

// ResetAsync begins a Reset and returns at once, as CountAsync does.
func (c *Client) ResetAsync(ctx context.Context, topic string) *Call {
	return c.begin(ctx, codec.OpReset, topic)
}

func (c *Client) begin(ctx context.Context, op codec.Op, topic string) *Call {
	if c.pipeline != nil {
		return &c.pipeline.begin(ctx, op, topic, 1, true).Call
	}
	call := &Call{ctx: ctx, op: op, topic: topic}
	c.adopt([]*Call{call})
	return call
}

// adopt has calls made over c.transport, in their order.
func (c *Client) adopt(calls []*Call) {
	for _, call := range calls {
		if !c.queue(call) {
			call.finish(0, c.requestError(call.op, call.topic, notSent(ErrClosed)))
		}
	}
}

// queue makes a call wait for a worker. It returns false when the client is closed.
func (c *Client) queue(call *Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	// AfterFunc runs abandon on a goroutine of its own, where it waits for c.mu if ctx has already
	// ended.
	call.forget = context.AfterFunc(call.ctx, func() { c.abandon(call) })
	call.place = c.waiting.PushBack(call)
	if c.workers < c.opts.MaxInFlight {
		c.workers++
		c.running.Add(1)
		go c.work()
	}
	return true
}

// nextWaiting takes the oldest waiting call out, nil if none waits. c.mu is held.
func (c *Client) nextWaiting() *Call {
	first := c.waiting.Front()
	if first == nil {
		return nil
	}
	call := c.waiting.Remove(first).(*Call)
	call.place = nil
	call.forget()
	return call
}

// abandon ends a call whose context ended, if it still waits. If it does not, a worker has it,
// which sees that for itself.
func (c *Client) abandon(call *Call) {
	c.mu.Lock()
	waits := call.place != nil
	if waits {
		c.waiting.Remove(call.place)
		call.place = nil
	}
	c.mu.Unlock()
	if waits {
		call.finish(0, c.requestError(call.op, call.topic, notSent(interrupted(call.ctx))))
	}
}

// work makes the calls that wait, one after the other, and ends when none is left.
func (c *Client) work() {
	defer c.leave()
	for {
		c.mu.Lock()
		call := c.nextWaiting()
		if call == nil {
			c.workers--
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		call.finish(c.overTransport(call.ctx, call.op, call.topic))
	}
}
