package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"gcd/codec"
	"gcd/internal/dial"
	"gcd/resp"
)

const (
	// maxBatch is how many bytes of commands are written at once, plus one command.
	maxBatch = 1 << 16
	// maxIdleBuffer is the size in bytes of the largest buffer for commands that is kept.
	maxIdleBuffer = 1 << 18
	// readSize is how many bytes of answers are read at once.
	readSize = 1 << 16

	// refusalSettle is how long the rest of a refusal is waited for that answers a PING.
	refusalSettle = time.Second

	firstPause = 10 * time.Millisecond
	maxPause   = time.Second
)

// nextPause is the pause between two attempts to connect, after the one that was before.
func nextPause(pause time.Duration) time.Duration {
	return min(max(2*pause, firstPause), maxPause)
}

// run makes connections as long as there are calls that need one, and writes their commands.
func (p *pipeline) run() {
	var pause time.Duration
	var ended time.Time // the last connection, or attempt to make one
	for p.awaitCall() {
		conn, err := p.connect(ended, pause)
		useful := false
		switch {
		case err == nil:
			useful = p.serve(conn)
		case p.fall != nil && !p.spoken && errors.Is(err, errOtherProtocol):
			p.fallFor(err)
			return // nothing waits here any more
		default:
			p.failWaiting(err)
		}
		ended = time.Now()
		if pause = nextPause(pause); useful {
			pause = 0
		}
	}
	p.failWaiting(notSent(ErrClosed))
}

// awaitCall waits until a call waits, and returns false when the pipeline is closed.
func (p *pipeline) awaitCall() bool {
	for p.life.Err() == nil {
		p.mu.Lock()
		for p.waiting.len() > 0 && p.waiting.oldest().stage == over {
			p.waiting.pop()
		}
		p.idle = p.waiting.len() == 0
		idle := p.idle
		p.mu.Unlock()
		if !idle {
			return true
		}
		select {
		case <-p.wake:
		case <-p.life.Done():
		}
	}
	return false
}

// connect returns a connection whose server has shown that it speaks RESP. The calls that wait for
// it wait no longer than the pipeline's timeout. The attempt begins when pause has passed since the
// last one ended, give or take, so that a server that comes back is not met by all its clients at
// once. An error has a class.
func (p *pipeline) connect(ended time.Time, pause time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(p.connectTimeout)
	if pause = min(pause, p.connectTimeout/2); pause > 0 {
		p.backOff(p.life, ended, pause/2+rand.N(pause/2+1))
	}
	ctx, cancel := context.WithDeadline(p.life, deadline)
	defer cancel()
	conn, err := p.way.open(ctx, new(net.Dialer), p.addr)
	if err != nil {
		return nil, notSent(dialFailure(p.life, err))
	}
	if err := conn.SetDeadline(deadline); err != nil {
		conn.Close()
		return nil, notSent(fmt.Errorf("%w: %w", errNoDeadline, because(p.life, err)))
	}
	stop := context.AfterFunc(p.life, func() { conn.SetDeadline(longAgo()) })
	defer stop()
	if err := p.greet(conn, deadline); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

// greet sends a PING, with the token before it if there is one, and reads the answers. Before that
// no call is in the connection's hands, so whatever is wrong with the server costs no call its
// outcome: it speaks something else, is full, wants another token, or was the kernel that accepted
// for a server that hangs. The connection has the deadline.
func (p *pipeline) greet(conn net.Conn, deadline time.Time) error {
	var buf [resp.MaxReplyLine]byte
	authenticated := p.token == ""
	greeting := "*1\r\n$4\r\nPING\r\n"
	if !authenticated {
		greeting = string(dial.AppendAuth(nil, p.token)) + greeting
	}
	// when that fails, reading says why, or brings a refusal that came first
	io.WriteString(conn, greeting)
	n := 0
	refuses := false
	var err error
	for err == nil && n < len(buf) {
		var m int
		m, err = conn.Read(buf[n:])
		n += m
		if n > 0 && codec.Op(buf[0]) == codec.OpRefusal { // it ends with the connection, if that ends
			if quiet := time.Now().Add(refusalSettle); !refuses && quiet.Before(deadline) {
				conn.SetReadDeadline(quiet)
			}
			refuses = true
			if p.life.Err() != nil { // its end may have set a deadline that was just moved
				break
			}
			continue
		}
		if dial.IsAlert(buf[:n]) {
			return notSent(dial.ErrWantsTLS)
		}
		if !authenticated {
			size, failed := dial.AuthReply(buf[:n])
			if failed != nil {
				return p.notAuthenticated(failed)
			}
			authenticated = size > 0
			n = copy(buf[:], buf[size:n])
		}
		r, size, bad := resp.ParseReply(buf[:n])
		switch {
		case !authenticated: // the answer to AUTH is not whole
		case bad == nil && size == 0:
		case bad == nil && r.Kind == '-':
			p.spoken = true
			return greeted(r)
		case bad == nil && size == n && r.Kind == '+' && string(r.Text) == "PONG":
			p.spoken = true
			return nil
		default:
			return notSent(fmt.Errorf("%w: it answered a PING with %q", errNoRESP, clip(buf[:n])))
		}
	}
	if refuses {
		return refusedPing(buf[:n])
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = timedOut("no answer to a PING within %v; does the server speak RESP?", p.connectTimeout)
	case n == 0 && err == io.EOF:
		err = errors.New("the server closed the connection on a PING: it stops, or wants TLS, or does not speak " +
			`RESP; then network "tcp" or "udp" does without`)
	}
	return notSent(because(p.life, err))
}

// notAuthenticated returns what an answer to AUTH means that is not OK.
func (p *pipeline) notAuthenticated(failed error) error {
	var refusal *RefusedError
	if errors.As(failed, &refusal) {
		p.spoken = true
		return known(refusal)
	}
	return notSent(fmt.Errorf("%w: %w", errNoRESP, failed))
}

// greeted returns what an error in answer to the first PING means. A server that cannot count just
// now, because its disk is full or has failed, is one to talk to all the same: it refuses counts
// and answers what reads.
func greeted(r resp.Reply) error {
	err := refusal(r.Text)
	var refused *RefusedError
	errors.As(err, &refused)
	if refused.Code == codec.CodeNoRoom || refused.Code == codec.CodeStoppedAfterError {
		return nil
	}
	return err
}

// refusedPing returns what it means that a PING was answered by a refusal of the counter protocol.
// One for a reason of the moment says nothing of RESP: a server that is full does not look at what
// it is sent.
func refusedPing(answer []byte) error {
	reply, bad := codec.ParseReply(answer)
	switch {
	case bad != nil:
		return notSent(fmt.Errorf("%w: it answered a PING with %q", errOtherProtocol, clip(answer)))
	case passes(reply.Code) || denied(reply.Code):
		return refused(reply)
	}
	return notSent(fmt.Errorf("%w: it refused a PING: %v", errOtherProtocol, reply.Code))
}

var (
	// errNoRESP says what to do about a server that has no RESP.
	errNoRESP = errors.New(`the server does not seem to speak RESP; network "tcp" or "udp" does without`)
	// errOtherProtocol is errNoRESP where the server has shown that it speaks the counter protocol.
	errOtherProtocol = fmt.Errorf("%w", errNoRESP)
)

// serve carries calls over conn until it ends. It returns whether the server answered any.
func (p *pipeline) serve(conn net.Conn) (useful bool) {
	stop := context.AfterFunc(p.life, func() { conn.Close() })
	defer stop()
	p.mu.Lock()
	p.conn, p.guarded, p.leaving, p.forgotten = conn, false, nil, nil
	p.mu.Unlock()

	r := reader{pipeline: p, conn: conn}
	gone := make(chan struct{})
	var cause error
	go func() {
		defer close(gone)
		cause = r.read()
		conn.Close()
	}()
	p.write(conn, gone)
	<-gone
	if p.leaving == nil || r.distrusted { // only the reader, which has ended, and this goroutine change it
		cause = unknown(because(p.life, cause))
	} else {
		cause = p.leaving
	}
	p.failInFlight(cause)
	return r.useful
}

// write writes the commands of calls until the connection ends, as many at a time as wait.
func (p *pipeline) write(conn net.Conn, gone <-chan struct{}) {
	var batch []*command
	var buf []byte
	for {
		if batch = p.take(batch[:0]); len(batch) == 0 {
			select {
			case <-p.wake:
				continue
			case <-gone:
				return
			}
		}
		buf = buf[:0]
		for _, cmd := range batch {
			buf = cmd.append(buf)
		}
		clear(batch)
		if n, err := conn.Write(buf); err != nil {
			if !tellsWritten(conn) {
				n = len(buf)
			}
			// Answers may still be there to be read, to what was written.
			p.putBack(len(buf) - n)
			<-gone
			return
		}
		if cap(buf) > maxIdleBuffer {
			buf = nil
		}
	}
}

// tellsWritten reports whether a failed Write of the connection says surely how many bytes may have
// left. Of those that Options.Dial made of something else nothing is known, and what may have left
// is never sent again.
func tellsWritten(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// take moves calls that wait into flight and appends them to batch: all if they are few, and none
// when nothing is to be done until wake says otherwise.
func (p *pipeline) take(batch []*command) []*command {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	leaves := p.leaving != nil || p.forgotten != nil
	for size := 0; !leaves && size < maxBatch && p.waiting.len() > 0 && p.inFlight.len() < p.most; {
		cmd := p.waiting.pop()
		if cmd.stage == over {
			continue
		}
		cmd.stage, cmd.since = inFlight, now
		p.inFlight.push(cmd)
		batch = append(batch, cmd)
		size += cmd.size()
	}
	p.idle = len(batch) == 0
	if !p.idle && !p.guarded {
		p.guarded = true
		p.conn.SetReadDeadline(now.Add(p.answerTimeout))
	}
	return batch
}

// putBack makes those commands wait again that are entirely among the last unsent bytes of what was
// to be written: the server has nothing of them.
func (p *pipeline) putBack(unsent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.inFlight.len() > 0 {
		cmd := p.inFlight.unpush()
		if unsent -= cmd.size(); unsent < 0 {
			p.inFlight.push(cmd)
			return
		}
		if cmd.stage != over {
			cmd.stage = waiting
			p.waiting.unpop(cmd)
		}
	}
	p.conn.Close() // there is no answer to wait for
}

// size is the number of bytes that append appends.
func (cmd *command) size() int {
	if cmd.ask != nil {
		return len(cmd.ask.wire)
	}
	size := len("*2\r\n$9\r\nGCD.COUNT\r\n$\r\n\r\n") + digits(uint64(len(cmd.topic))) + len(cmd.topic)
	if cmd.n != 1 {
		n := digits(cmd.n)
		size += len("$\r\n\r\n") + digits(uint64(n)) + n
	}
	return size
}

// append appends the command as it goes over the wire. GCD.COUNT has INCR's meaning without its
// bound of 2^63−1: it answers with a string.
func (cmd *command) append(b []byte) []byte {
	switch {
	case cmd.ask != nil:
		return append(b, cmd.ask.wire...)
	case cmd.op == codec.OpReset:
		b = append(b, "*2\r\n$9\r\nGCD.RESET\r\n$"...)
	case cmd.n == 1:
		b = append(b, "*2\r\n$9\r\nGCD.COUNT\r\n$"...)
	default:
		b = append(b, "*3\r\n$9\r\nGCD.COUNT\r\n$"...)
	}
	b = strconv.AppendInt(b, int64(len(cmd.topic)), 10)
	b = append(b, "\r\n"...)
	b = append(b, cmd.topic...)
	b = append(b, "\r\n"...)
	if cmd.n != 1 {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(digits(cmd.n)), 10)
		b = append(b, "\r\n"...)
		b = strconv.AppendUint(b, cmd.n, 10)
		b = append(b, "\r\n"...)
	}
	return b
}

// digits is how many decimal digits n has.
func digits(n uint64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
