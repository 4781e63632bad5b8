package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"gcd/codec"
)

// udp carries each request as one datagram, or as several while no answer comes.
type udp struct {
	timeout time.Duration // of one attempt
	sockets *sockets
}

func newUDP(addr string, opts Options) *udp {
	return &udp{timeout: opts.Timeout, sockets: newSockets(addr, opts.AnyPort)}
}

func (u *udp) longest() int { return codec.MaxDatagram }

func (u *udp) close() { u.sockets.close() }

func (u *udp) roundTrip(ctx context.Context, op codec.Op, msg []byte, attempts int) (codec.Reply, error) {
	s, err := u.sockets.take(ctx)
	if err != nil {
		return codec.Reply{}, notSent(dialFailure(ctx, err))
	}
	stop := context.AfterFunc(ctx, func() { s.conn.SetDeadline(longAgo()) })
	x := udpCall{socket: s, op: op, msg: msg}
	reply, err := x.run(ctx, attempts, u.timeout)
	// When stop comes too late its function may set the deadline at any later time: such a socket
	// has had its last call.
	stopped := stop()
	u.sockets.put(s, stopped && x.allAnswered())
	if x.sent > 0 && !x.answered && x.refusal == nil {
		u.sockets.mistrust()
	}
	return reply, err
}

// udpCall is one call on one socket. Every datagram that the socket receives in it, as far as it is
// an answer at all, answers one of the datagrams sent in it, for sockets.take vouches that nothing
// older is under way.
type udpCall struct {
	socket *socket
	op     codec.Op
	msg    []byte

	sent     int   // datagrams
	void     int   // of those: refused, or turned away because nobody listens; they surely had no effect
	refusal  error // the last refusal
	absent   error // the last report that nobody listens
	answered bool
	stray    bool // something arrived that is no answer to anything sent
	buf      [codec.MaxReply + 1]byte
}

// allAnswered reports whether everything sent was answered, once each, and nothing else arrived.
func (x *udpCall) allAnswered() bool {
	got := x.void
	if x.answered {
		got++
	}
	return !x.stray && got == x.sent
}

// run sends until an answer comes, at most attempts times.
func (x *udpCall) run(ctx context.Context, attempts int, timeout time.Duration) (codec.Reply, error) {
	// The order matters twice: a context that ends after a check sets the deadline after us; and
	// the wait begins when the datagram is out, however long the scheduler took.
	conn := x.socket.conn
	for range attempts {
		conn.SetWriteDeadline(time.Now().Add(localTimeout))
		if err := interrupted(ctx); err != nil {
			return x.failed(err)
		}
		// Where an earlier datagram was sent its answer is still worth waiting for.
		if err := x.send(); err != nil && x.sent == 0 {
			return x.failed(because(ctx, err))
		}
		conn.SetReadDeadline(time.Now().Add(timeout))
		if err := interrupted(ctx); err != nil {
			return x.failed(err)
		}
		reply, err := x.listen()
		if err == nil {
			return reply, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return x.failed(err)
		}
		if x.refusal != nil {
			break // another datagram would only be one more whose outcome is unknown
		}
	}
	return x.failed(because(ctx, timedOut("no answer to %d datagrams, %v after the last", x.sent, timeout)))
}

// failed returns the error of a call without an answer: cause, in the class that the datagrams'
// fates allow.
func (x *udpCall) failed(cause error) (codec.Reply, error) {
	switch {
	case x.void < x.sent && x.refusal != nil:
		// The refusal is given in words only: errors.As must not find it where something may have
		// been counted.
		cause = fmt.Errorf("%d of %d datagrams had no effect (%v), there is no answer to the others: %w",
			x.void, x.sent, x.refusal, cause)
		return codec.Reply{}, unknown(cause)
	case x.void < x.sent:
		return codec.Reply{}, unknown(cause)
	case x.refusal != nil:
		return codec.Reply{}, x.refusal
	case x.absent != nil:
		return codec.Reply{}, notSent(fmt.Errorf("%w: %w", x.absent, cause))
	}
	return codec.Reply{}, notSent(cause)
}

// send sends the message once more.
func (x *udpCall) send() error {
	err := x.socket.send(x.msg)
	if errors.Is(err, syscall.ECONNREFUSED) {
		// That was the report on an earlier datagram; this one was not sent.
		x.turnedAway(err)
		err = x.socket.send(x.msg)
	}
	if err == nil {
		x.sent++
	}
	return err
}

// listen waits for an answer until the socket's deadline. A refusal ends the wait when it leaves no
// hope.
func (x *udpCall) listen() (codec.Reply, error) {
	for {
		n, err := x.socket.receive(x.buf[:])
		if errors.Is(err, syscall.ECONNREFUSED) {
			x.turnedAway(err)
			continue
		}
		if err != nil {
			return codec.Reply{}, err
		}
		reply, err := codec.ParseReply(x.buf[:n])
		switch {
		case err == nil && reply.Op == x.op+128:
			x.answered = true
			return reply, nil
		case err == nil && reply.Op == codec.OpRefusal && x.void < x.sent:
			x.void++
			x.refusal = refused(reply)
			if x.void == x.sent {
				return codec.Reply{}, x.refusal
			}
		default:
			x.stray = true
		}
	}
}

// turnedAway takes note that one of the datagrams sent found nobody listening.
func (x *udpCall) turnedAway(err error) {
	if x.void == x.sent {
		x.stray = true // it is about nothing that was sent in this call
		return
	}
	x.void++
	x.absent = err
}
