package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gcd/codec"
)

// streamConn is a TCP connection with a goroutine of its own.
type streamConn struct {
	nc   *net.TCPConn
	peer netip.AddrPort

	// least, under goroutines.mu: it is not ended before, since it has only just come.
	least time.Time

	speaksRESP bool      // not one message, but RESP
	deadline   time.Time // of what is read
}

// accept runs until the dispatch has drained, and takes all who came before the end.
func (d *goroutines) accept() {
	defer d.wg.Done()
	defer d.tcp.Close()
	var failing backoff
	for {
		for d.s.overfull(time.Since(d.s.began)) && d.pause(overfullPause) {
		}
		nc, err := d.acceptOne()
		if err != nil {
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case isTimeout(err): // drain's
				d.lastCall()
				return
			}
			d.s.journal.happened(acceptError, netip.AddrPort{}, err)
			if acceptGoesOn(err) {
				continue
			}
			if !d.pause(failing.next()) {
				d.lastCall()
				return
			}
			continue
		}
		failing.reset()
		d.letIn(nc)
	}
}

// lastCall closes the door, and lets those in who have come by then.
func (d *goroutines) lastCall() {
	d.shut(d.tcp, closeDoor)
	if err := acceptQueued(d.tcp, d.letIn); err != nil {
		d.s.journal.happened(acceptError, netip.AddrPort{}, err)
	}
}

func (d *goroutines) letIn(nc *net.TCPConn) {
	d.s.accepted.Add(1)
	d.welcome(nc)
}

func (d *goroutines) acceptOne() (*net.TCPConn, error) {
	if d.s.beforeAccept != nil {
		if err := d.s.beforeAccept(); err != nil {
			return nil, err
		}
	}
	return d.tcp.AcceptTCP()
}

// acceptGoesOn tells whether an error of accept is about the one connection only, so that the next can be accepted at once.
func acceptGoesOn(err error) bool {
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR)
}

// welcome starts a goroutine for a new connection: to serve it if a place is free, else to refuse it.
func (d *goroutines) welcome(nc *net.TCPConn) {
	c := &streamConn{nc: nc, peer: nc.RemoteAddr().(*net.TCPAddr).AddrPort(), least: time.Now().Add(d.s.firstByte)}
	code := d.s.conns.acquire(c.peer.Addr())
	if code == 0 {
		d.start(c, func() { d.converse(c) }, func() { d.s.conns.release(c.peer.Addr()) })
		return
	}
	r := d.requests.Get().(*request)
	if d.s.conns.acquireLingering() {
		d.start(c, func() {
			d.refuseSurplus(c, r, code)
			d.recycle(r)
		}, d.s.conns.releaseLingering)
		return
	}
	// What was sent already says in which language to answer, and would else reset the connection.
	n, _ := look(nc, r.first[:])
	d.s.traffic.took(n)
	d.s.journal.refused(code, c.peer, r.first[:n])
	r.out = d.s.appendSurplus(r.out[:0], r.first[:n], code)
	n, _ = nc.Write(r.out) // does not block: the connection's buffer is empty
	d.s.traffic.gave(n)
	nc.CloseWrite()
	nc.Close()
	d.recycle(r)
}

// refuseSurplus tells c that it is too many, in the language that it speaks.
func (d *goroutines) refuseSurplus(c *streamConn, r *request, code codec.Code) {
	c.nc.SetReadDeadline(time.Now().Add(d.s.firstByte))
	n, _ := c.nc.Read(r.first[:])
	d.s.traffic.took(n)
	r.msg = r.first[:n]
	d.s.journal.refused(code, c.peer, r.msg)
	r.out = d.s.appendSurplus(r.out[:0], r.msg, code)
	if d.write(c, r.out) {
		d.linger(c)
	}
}

// shut closes a shared socket to whoever comes from now on.
func (d *goroutines) shut(c syscall.Conn, how func(fd int) error) {
	if err := apply(c, how); err != nil {
		d.s.log.Debug("a socket goes on to take what comes until it is closed", "error", err)
	}
}

// start runs serve in a goroutine of c's own, unless the dispatch was aborted, and release at c's
// end.
func (d *goroutines) start(c *streamConn, serve, release func()) {
	if !d.enter(c) {
		c.nc.Close()
		release()
		return
	}
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		defer release()
		defer d.leave(c)
		serve()
	}()
}

// enter makes c known to drain and abort; false means that it came too late.
func (d *goroutines) enter(c *streamConn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.aborting:
		return false
	default:
	}
	d.conns[c] = struct{}{}
	return true
}

func (d *goroutines) leave(c *streamConn) {
	c.nc.Close()
	d.mu.Lock()
	delete(d.conns, c)
	d.mu.Unlock()
}

// readUntil sets c's deadline for reading, or the end that drain has set if that is earlier.
func (d *goroutines) readUntil(c *streamConn, deadline time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.end.IsZero() {
		if end := d.endOf(c); deadline.IsZero() || end.Before(deadline) {
			deadline = end
		}
	}
	c.nc.SetReadDeadline(deadline)
}

// converse reads c's message, has it done and answers it.
func (d *goroutines) converse(c *streamConn) {
	r := d.requests.Get().(*request)
	admitted := false
	d.s.guard(c.peer, func() { admitted = d.ask(c, r) })
	if c.speaksRESP {
		first := bytes.Clone(r.msg)
		d.recycle(r)
		d.talk(c, first)
		return
	}
	if admitted {
		if !d.commit(r) {
			return // r is the backend's still
		}
		d.s.guard(c.peer, func() { d.answer(c, r) })
	}
	d.recycle(r)
}

// ask reads c's message into r and makes an operation of it that is admitted to the backend. What cannot become one is
// refused here, and ask returns false.
func (d *goroutines) ask(c *streamConn, r *request) bool {
	switch err := d.readMessage(c, r); {
	case err == errNothingArrived:
		d.refuse(c, r, codec.CodeNothingArrived, advice(codec.CodeNothingArrived))
		return false
	case errors.Is(err, net.ErrClosed): // by abort
		return false
	case err == errSilent:
		return false
	case c.speaksRESP:
		return false
	case err != nil:
		d.s.journal.broke(c.peer, r.msg, err)
		return false
	}
	if err := d.s.decode(r.msg, &r.ops[0]); err != nil {
		ref := refusal(err)
		d.refuse(c, r, ref.Code, ref.Text)
		return false
	}
	r.claim = claim{from: d.s.shares.of(c.peer.Addr()), clients: 1, requests: 1, bytes: len(r.msg)}
	now := time.Since(d.s.began)
	d.s.noteRates(now)
	d.s.askers.note(now, false)
	if !d.s.admit(r.claim) {
		d.refuse(c, r, codec.CodeTooManyRequests, advice(codec.CodeTooManyRequests))
		return false
	}
	return true
}

// errNothingArrived says that no whole message came before the read deadline.
var errNothingArrived = errors.New("server: no complete message in time")

// errSilent says that no byte came before the end.
var errSilent = errors.New("server: nothing was sent before the end")

// readMessage reads up to the message's end (ended) into r.msg, or until it shows that c speaks RESP.
func (d *goroutines) readMessage(c *streamConn, r *request) error {
	deadline := time.Now().Add(d.s.opts.ReadTimeout)
	c.deadline = deadline
	d.readUntil(c, deadline)
	buf := r.first[:]
	n := 0
	last := false // the settle time has passed, and what is read now is what came in it
	for {
		read := c.nc.Read
		if last {
			read = func(b []byte) (int, error) { return look(c.nc, b) }
		}
		m, err := read(buf[n:])
		d.s.traffic.took(m)
		n += m
		r.msg = buf[:n]
		drained := n < len(buf)
		closed := err == io.EOF
		if err != nil && !closed && !isTimeout(err) {
			return err
		}
		if n > 0 && d.s.speaksRESP(buf[0]) {
			c.speaksRESP = true
			return nil
		}
		quiet := isTimeout(err) && n > 0 && last
		if ended(r.msg, drained, closed, quiet) {
			return nil
		}
		now := time.Now()
		if isTimeout(err) && d.ended(c) {
			if last { // this was the last look
				return errSilent
			}
			last = true
			continue
		}
		if isTimeout(err) && !now.Before(deadline) {
			return errNothingArrived
		}
		if !drained {
			r.long = d.long.Get().(*[]byte)
			copy(*r.long, buf)
			buf = *r.long
		}
		// A timeout alone does not prove quiet, for this goroutine may have been late: the system is asked once more.
		if last = isTimeout(err); last {
			continue
		}
		if next := now.Add(d.s.opts.Settle); next.Before(deadline) {
			d.readUntil(c, next)
		} else {
			d.readUntil(c, deadline)
		}
	}
}

// answer sends the outcome of r.
func (d *goroutines) answer(c *streamConn, r *request) {
	op := &r.ops[0]
	if op.Err != nil {
		code, known := codeOf(op.Err)
		if !known {
			d.s.journal.happened(unknownOutcome, c.peer, op.Err)
			return
		}
		d.refuse(c, r, code, advice(code))
		return
	}
	r.out = appendAnswer(r.out[:0], op)
	if d.write(c, r.out) {
		d.s.answered.Add(1)
	}
}

func (d *goroutines) write(c *streamConn, b []byte) bool {
	return d.writeWithin(c, b, d.s.opts.WriteTimeout)
}

func (d *goroutines) writeWithin(c *streamConn, b []byte, patience time.Duration) bool {
	d.s.untaken.Add(1)
	defer d.s.untaken.Add(-1)
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	n, err := c.nc.Write(b)
	d.s.traffic.gave(n)
	if err != nil {
		d.s.journal.happened(lostAnswer, c.peer, err)
		return false
	}
	return true
}

// refuse tells c's client that and why its request, r, was not done, and waits a little for it to have read that: closing
// on bytes that were never read would reset the connection and could destroy the refusal.
func (d *goroutines) refuse(c *streamConn, r *request, code codec.Code, text string) {
	d.s.journal.refusedMessage(code, c.peer, r.msg)
	r.out = codec.AppendRefusal(r.out[:0], code, text)
	if d.write(c, r.out) {
		d.linger(c)
	}
}

// linger lets c's client read its last answer.
func (d *goroutines) linger(c *streamConn) {
	if c.nc.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(d.s.linger))
	n, _ := io.CopyN(io.Discard, c.nc, lingerBytes)
	d.s.traffic.took(int(n))
}
