package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"gcd/codec"
	"gcd/internal/dial"
)

// tcp carries each request on a connection of its own.
type tcp struct {
	addr    string
	timeout time.Duration
	settle  time.Duration // 0: an answer ends with its connection
	dialer  net.Dialer
	way
}

func newTCP(addr string, opts Options) *tcp {
	// A connection is too short-lived for keep-alives, and setting them up costs three system
	// calls.
	dialer := net.Dialer{KeepAlive: -1}
	return &tcp{addr: addr, timeout: opts.Timeout, settle: opts.Settle, dialer: dialer, way: way{opts.Dial, opts.TLS}}
}

func (t *tcp) longest() int { return codec.MaxMessage }

func (t *tcp) close() {}

// roundTrip connects, sends, and reads to the end, in the time of one timeout. The server closes
// first, so that the waiting state of a closed connection stays with its port and does not use up
// the client's.
func (t *tcp) roundTrip(ctx context.Context, op codec.Op, msg []byte, _ int) (codec.Reply, error) {
	deadline := time.Now().Add(t.timeout)
	conn, err := t.connect(ctx, deadline)
	if err != nil {
		return codec.Reply{}, notSent(dialFailure(ctx, err))
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return codec.Reply{}, notSent(fmt.Errorf("%w: %w", errNoDeadline, because(ctx, err)))
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo()) })
	defer stop()
	return t.roundTripOver(ctx, conn, op, msg)
}

func (t *tcp) connect(ctx context.Context, deadline time.Time) (net.Conn, error) {
	dialer := t.dialer
	dialer.Deadline = deadline
	if t.dial != nil || t.secure != nil { // a dialer's deadline is cheaper, and enough without these
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	return t.open(ctx, &dialer, t.addr)
}

// breakOff ends a connection of which a message was sent in part: an ordinary end would make that
// part look like a whole message with a shorter topic. So it ends in a reset, and over TLS without
// the word that it ends.
func breakOff(conn net.Conn) {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	if lingers, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		lingers.SetLinger(0)
	}
	conn.Close()
}

// roundTripOver sends and reads on a connection that has its deadline.
func (t *tcp) roundTripOver(ctx context.Context, conn net.Conn, op codec.Op, msg []byte) (codec.Reply, error) {
	written, writeErr := conn.Write(msg)
	left := written > 0 || !tellsWritten(conn) // perhaps only, where that is not known
	if writeErr != nil && left {
		defer breakOff(conn)
	}

	// One byte more than the longest reply is enough to know that there was more. It is read even
	// after a failed write: a server that is over its limits refuses and closes without reading
	// first.
	var buf [codec.MaxReply + 1]byte
	n, settled, readErr := t.read(ctx, conn, buf[:])
	reply, parseErr := codec.ParseReply(buf[:n])
	ended := settled || readErr == nil || readErr == io.EOF
	// it has one byte and needs no end, while half a sum looks like a sum
	ended = ended || reply.Op == codec.OpResetReply

	switch {
	case parseErr == nil && reply.Op == codec.OpRefusal:
		// The code is all that matters, so it does not need the end that a reset connection lacks.
		return codec.Reply{}, refused(reply)
	case parseErr != nil && dial.IsAlert(buf[:n]):
		return codec.Reply{}, notSent(dial.ErrWantsTLS)
	case dial.RefusedCertificate(readErr):
		return codec.Reply{}, notSent(because(ctx, readErr))
	case writeErr != nil && !left:
		return codec.Reply{}, notSent(because(ctx, writeErr))
	case writeErr != nil:
		return codec.Reply{}, unknown(fmt.Errorf("%d of %d bytes were sent: %w",
			written, len(msg), because(ctx, writeErr)))
	case !ended && errors.Is(readErr, os.ErrDeadlineExceeded):
		return codec.Reply{}, unknown(because(ctx, timedOut("no whole answer within %v", t.timeout)))
	case !ended:
		return codec.Reply{}, unknown(because(ctx, readErr))
	case n == 0:
		return codec.Reply{}, unknown(errors.New("the server closed the connection without an answer"))
	case parseErr != nil:
		return codec.Reply{}, unknown(parseErr)
	case reply.Op != op+128:
		return codec.Reply{}, unknown(fmt.Errorf("the answer has opcode %d, want %d", reply.Op, op+128))
	}
	return reply, nil
}

// read reads until the connection ends, buf is full, or, if Options.Settle says so, an answer
// is there and nothing follows it for the settle time; settled then says so.
func (t *tcp) read(ctx context.Context, conn net.Conn, buf []byte) (n int, settled bool, err error) {
	latest := time.Now().Add(t.timeout).Add(t.settle)
	for n < len(buf) && err == nil {
		var m int
		m, err = conn.Read(buf[n:])
		n += m
		if t.settle == 0 || m == 0 {
			continue
		}
		if _, bad := codec.ParseReply(buf[:n]); bad != nil {
			continue
		}
		// There is an answer: so the call's own deadline may be passed, but by one settle time at
		// most.
		if quiet := time.Now().Add(t.settle); quiet.Before(latest) {
			conn.SetReadDeadline(quiet)
		} else {
			return n, false, os.ErrDeadlineExceeded
		}
		if ctx.Err() != nil { // its end may have set a deadline that was just moved
			return n, false, os.ErrDeadlineExceeded
		}
		m, err = conn.Read(buf[n:])
		n += m
		if m == 0 && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			return n, true, err
		}
	}
	return n, false, err
}
