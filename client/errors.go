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

// The classes of a failed call, and the cause that is the client's own.
var (
	// ErrRefused means that the server said no: the request surely had no effect. RefusedError says
	// why.
	ErrRefused = errors.New("refused")
	// ErrNotSent means that no server got the request: it surely had no effect.
	ErrNotSent = errors.New("not sent")
	// ErrUnknown means that the request left and that no answer says what became of it: it may
	// have taken effect, over UDP once for each datagram.
	ErrUnknown = errors.New("outcome unknown")
	// ErrClosed is the cause of a failure after or by Close; the error has its class as well.
	ErrClosed = errors.New("client is closed")
)

// Refusals because of who asks. Each is ErrRefused as well, with a RefusedError, and asking again
// does not help.
var (
	// ErrNotAuthenticated means that the server wants to know who asks, and does not: there was no
	// token, or a wrong one, or no TLS.
	ErrNotAuthenticated = errors.New("not authenticated")
	// ErrNotPermitted means that who asks has no right to this.
	ErrNotPermitted = errors.New("not permitted")
)

// RefusedError is a refusal: the request surely had no effect. Code says why; Text may say more, in
// words. A call returns it wrapped, beside ErrRefused, so find it with errors.As.
type RefusedError = codec.RefusalError

// Retryable reports whether the call that failed with err may be made again and may then succeed:
// it surely had no effect, and what was in its way may pass. That is so when it was not sent, when
// the server refused it for a reason of the moment (it is full, loads, stops, has no room), and
// when a call that changes nothing got no answer. It is false for what is unknown, since counting
// again may count twice, for refusals that stay what they are, for a context that ended, for a
// client that is closed, and for errors that are not of this package.
func Retryable(err error) bool {
	var refusal *RefusedError
	var read *readError
	var wrong misuse
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, errors.ErrUnsupported), errors.As(err, &wrong),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, ErrRefused):
		return errors.As(err, &refusal) && passes(refusal.Code)
	}
	return errors.Is(err, ErrNotSent) || errors.As(err, &read)
}

// passes reports whether a refusal is for a reason of the moment.
func passes(code codec.Code) bool {
	switch code {
	case codec.CodeTooManyRequests, codec.CodeTooManyConns, codec.CodeTooManyConnsAddr, codec.CodeNoRoom,
		codec.CodeShuttingDown, codec.CodeNothingArrived, codec.CodeLoading, codec.CodeTooManyRefusals,
		codec.CodeStoppedAfterError:
		return true
	}
	return false
}

// misuse says what is wrong with a call that no server can carry out.
type misuse string

func (m misuse) Error() string { return string(m) }

// readError is the failure of a request that changes nothing.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// unsupported is the failure of a call that the network cannot carry.
func unsupported(network, what string) error {
	return notSent(fmt.Errorf("%s carries no %s: it needs RESP (Options.Network %q, or none): %w",
		network, what, "resp", errors.ErrUnsupported))
}

// withoutRESP is that failure where the server has shown that it has no RESP.
func withoutRESP(what string) error {
	return notSent(fmt.Errorf("the server has no RESP, and the counter protocol carries no %s: %w", what,
		errors.ErrUnsupported))
}

func notSent(cause error) error { return fmt.Errorf("%w: %w", ErrNotSent, cause) }

func unknown(cause error) error { return fmt.Errorf("%w: %w", ErrUnknown, cause) }

func refused(r codec.Reply) error { return known(&RefusedError{Code: r.Code, Text: r.Text}) }

// known is a refusal as errors.Is wants it.
func known(r *RefusedError) error {
	switch {
	case r.Code == codec.CodeNotPermitted:
		return &denial{r, ErrNotPermitted}
	case denied(r.Code):
		return &denial{r, ErrNotAuthenticated}
	}
	return r
}

// denied reports whether a refusal is because of who asks.
func denied(code codec.Code) bool {
	switch code {
	case codec.CodeNotAuthenticated, codec.CodeNotPermitted, codec.CodeTooManyFailures:
		return true
	}
	return false
}

// denial is a refusal because of who asks.
type denial struct {
	refusal *RefusedError
	kind    error
}

func (d *denial) Error() string { return d.refusal.Error() }

func (d *denial) Unwrap() []error { return []error{d.refusal, d.kind} }

// interrupted returns what ended ctx, nil while it has not ended. What the caller's context gave as
// its cause is given in words only: it may be the error of another call (an errgroup does that),
// whose class is not the class of this one.
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

// because returns what ended ctx if it ended, else what may be said of err: once ctx has ended, a
// socket's error is only the echo of it.
func because(ctx context.Context, err error) error {
	if cause := interrupted(ctx); cause != nil {
		return cause
	}
	return foreign(err)
}

// foreign returns the error of a connection, or of connecting. Where errors.Is or errors.As would
// find in it what this package says of a call, it is given in words only: what Options.Dial has
// made may fail by anything, also by the error of another call.
func foreign(err error) error {
	for _, ours := range []error{context.Canceled, context.DeadlineExceeded, ErrRefused, ErrNotSent, ErrUnknown,
		ErrClosed, ErrNotAuthenticated, ErrNotPermitted} {
		if errors.Is(err, ours) {
			return errors.New(err.Error())
		}
	}
	var refusal *RefusedError
	var partial *PartialError
	if errors.As(err, &refusal) || errors.As(err, &partial) {
		return errors.New(err.Error())
	}
	return err
}

// dialFailure returns why a socket could not be opened. The time-outs of a net.Dialer are of
// several kinds, some of which look like the end of the caller's context.
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
	return foreign(err)
}

var (
	// errNoConn is for a Dial that breaks its rules.
	errNoConn = errors.New("Options.Dial returned neither a connection nor an error")
	// errNoDeadline is for connections whose calls could wait for ever.
	errNoDeadline = errors.New("the connection takes no deadline")
)

// longAgo is a deadline that interrupts whatever waits on a socket.
func longAgo() time.Time { return time.Unix(1, 0) }

// requestError is the function of that name for the calls over c.transport.
func (c *Client) requestError(op codec.Op, topic string, err error) error {
	return requestError(c.addr, c.opts.Network, asked(op, topic), err)
}

// asked is a COUNT or a RESET in words.
func asked(op codec.Op, topic string) string {
	if op == codec.OpReset {
		return "RESET " + brief(topic)
	}
	return "COUNT " + brief(topic)
}

// requestError puts in front of err what was asked, and which server.
func requestError(addr, network, what string, err error) error {
	var refusal *RefusedError
	if errors.As(err, &refusal) {
		return fmt.Errorf("client: %s at %s (%s): %w: %w", what, addr, network, ErrRefused, err)
	}
	return fmt.Errorf("client: %s at %s (%s): %w", what, addr, network, err)
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
