package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"gcd/codec"
)

// The classes of a failed call that are no refusal, and the cause that is the client's own.
var (
	// ErrNotSent means that no server got the request: it surely had no effect.
	ErrNotSent = errors.New("not sent")
	// ErrUnknown means that the request left and that no answer tells what became of it: it may have taken effect, over UDP
	// once for each datagram.
	ErrUnknown = errors.New("outcome unknown")
	// ErrClosed is the cause of a failure after or by Close; the class stands beside it.
	ErrClosed = errors.New("client is closed")
)

// RefusedError is a refusal: the request surely had no effect. Code says why; Text may say more, in words. A call returns it
// wrapped, so find it with errors.As.
type RefusedError = codec.RefusalError

func notSent(cause error) error { return fmt.Errorf("%w: %w", ErrNotSent, cause) }

func unknown(cause error) error { return fmt.Errorf("%w: %w", ErrUnknown, cause) }

func refused(r codec.Reply) error { return &RefusedError{Code: r.Code, Text: r.Text} }

// interrupted returns what ended ctx, nil while it has not ended. What the caller's context gave as its cause is told in
// words only: it may be the error of another call (an errgroup does that), whose class is not the class of this one.
func interrupted(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case err == nil || err == cause:
		return err
	case cause == ErrClosed:
		return cause // that ctx was canceled to say so is our own affair
	}
	return fmt.Errorf("%w: %v", err, cause)
}

// because returns what ended ctx if it ended, else err: once ctx has ended, a socket's error is only the echo of it.
func because(ctx context.Context, err error) error {
	if cause := interrupted(ctx); cause != nil {
		return cause
	}
	return err
}

// dialFailure returns why a socket could not be opened. The time-outs of a net.Dialer are of several kinds, some of which
// look like the end of the caller's context.
func dialFailure(ctx context.Context, err error) error {
	if cause := interrupted(ctx); cause != nil {
		return cause
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded // the dialer saw it a moment before ctx does
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return timedOut("%v", err)
	}
	return err
}

// longAgo is a deadline that interrupts whatever waits on a socket.
func longAgo() time.Time { return time.Unix(1, 0) }

// requestError is the function of that name for the calls over c.transport.
func (c *Client) requestError(op codec.Op, topic string, err error) error {
	return requestError(c.addr, c.opts.Network, op, topic, err)
}

// requestError puts in front of err what was asked and of whom.
func requestError(addr, network string, op codec.Op, topic string, err error) error {
	what := "COUNT"
	if op == codec.OpReset {
		what = "RESET"
	}
	var refusal *RefusedError
	if errors.As(err, &refusal) {
		return fmt.Errorf("client: %s %s at %s (%s): refused: %w", what, brief(topic), addr, network, err)
	}
	return fmt.Errorf("client: %s %s at %s (%s): %w", what, brief(topic), addr, network, err)
}

// brief quotes a topic for a message, cut to 64 bytes.
func brief(topic string) string {
	const most = 64
	if len(topic) <= most {
		return fmt.Sprintf("%q", topic)
	}
	return fmt.Sprintf("%q… (%d bytes)", topic[:most], len(topic))
}

// timedOut is the cause when the client's own patience ended.
func timedOut(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), os.ErrDeadlineExceeded)
}

// tooLong refuses a topic of size bytes before anything is sent.
func tooLong(network string, most, size int) error {
	return &RefusedError{
		Code: codec.CodeMessageTooLong,
		Text: fmt.Sprintf("a topic over %s has at most %d bytes, this one has %d", network, most, size),
	}
}
