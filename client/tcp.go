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
)

// tcp carries each request on a connection of its own.
type tcp struct {
	addr    string
	timeout time.Duration
	dialer  net.Dialer
}

func newTCP(addr string, opts Options) *tcp {
	// A connection is too short-lived for keep-alives, and setting them up costs three system calls.
	return &tcp{addr: addr, timeout: opts.Timeout, dialer: net.Dialer{KeepAlive: -1}}
}

func (t *tcp) longest() int { return codec.MaxMessage }

func (t *tcp) close() {}

// exchange connects, sends, and reads to the end, in the time of one timeout. The server closes first, so that the waiting
// state of a closed connection stays with its port and does not use up the client's.
func (t *tcp) exchange(ctx context.Context, op codec.Op, msg []byte, _ int) (codec.Reply, error) {
	deadline := time.Now().Add(t.timeout)
	dialer := t.dialer
	dialer.Deadline = deadline
	conn, err := dialer.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return codec.Reply{}, notSent(dialFailure(ctx, err))
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return codec.Reply{}, notSent(err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo()) })
	defer stop()
	return t.converse(ctx, conn.(*net.TCPConn), op, msg)
}

// converse sends and reads on a connection that has its deadline.
func (t *tcp) converse(ctx context.Context, conn *net.TCPConn, op codec.Op, msg []byte) (codec.Reply, error) {
	written, writeErr := conn.Write(msg)
	if writeErr != nil && written > 0 {
		// An ordinary end would make the part that was sent look like a whole message with a shorter topic.
		conn.SetLinger(0)
	}

	// One byte more than the longest reply is enough to know that there was more. It is read even after a failed write: a
	// server that is over its limits refuses and closes without reading first.
	var buf [codec.MaxReply + 1]byte
	n, readErr := io.ReadFull(conn, buf[:])
	reply, parseErr := codec.ParseReply(buf[:n])
	ended := readErr == nil || readErr == io.EOF || readErr == io.ErrUnexpectedEOF
	ended = ended || reply.Op == codec.OpResetReply // it has one byte and needs no end, while half a sum looks like a sum

	switch {
	case parseErr == nil && reply.Op == codec.OpRefusal:
		// The code is all that matters, so it does not need the end that a reset connection lacks.
		return codec.Reply{}, refused(reply)
	case writeErr != nil && written == 0:
		return codec.Reply{}, notSent(because(ctx, writeErr))
	case writeErr != nil:
		return codec.Reply{}, unknown(fmt.Errorf("%d of %d bytes were sent: %w", written, len(msg), because(ctx, writeErr)))
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
