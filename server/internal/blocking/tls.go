package blocking

import (
	"errors"
	"os"
	"time"

	"gcd/server/internal/gate"
	"gcd/server/internal/secure"
	"gcd/server/internal/session"
)

// secure makes the connection one within TLS, of which the first bytes were read, and which begins
// anew. It returns false if there is no handshake in time.
func (c *conn) secure(said []byte) bool {
	o := &c.d.o
	c.tls = secure.Server(c.socket, said, o.TLS, o.WriteTimeout)
	c.deadline = c.came.Add(o.ReadTimeout)
	c.d.readUntil(c, c.deadline)
	if err := c.handshake(); err != nil {
		o.Gate.Happened(gate.BrokenHandshake, c.peer, err)
		c.over = true
		if !isTimeout(err) {
			c.linger() // so that it hears why not
		}
		return false
	}
	if chains := c.tls.State().VerifiedChains; len(chains) > 0 {
		c.peer.Certificate = chains[0][0]
	}
	c.nc, c.fresh, c.clock = c.tls, true, session.Unhurried
	c.message.Begin(o.Counter, &c.worker, c.peer, c.from)
	c.d.mu.Lock()
	c.least = time.Now().Add(o.FirstByte)
	c.d.mu.Unlock()
	return true
}

// errPanicked is the error of a handshake that ended in a panic.
var errPanicked = errors.New("panic")

func (c *conn) handshake() (err error) {
	defer func() {
		if with := recover(); with != nil {
			c.d.o.Gate.Panicked(c.peer, with)
			err = errPanicked
		}
	}()
	return c.tls.Handshake(turn{c})
}

// turn is the turn of a connection among the handshakes that compute at once.
type turn struct{ c *conn }

// Take waits for it in the order of those who wait, as long as the handshake may take. When the
// dispatch drains it waits no longer than for the first byte of one that has only just come.
func (t turn) Take() error {
	d := t.c.d
	late := time.NewTimer(time.Until(t.c.deadline))
	defer late.Stop()
	draining := d.draining
	for {
		select {
		case d.handshakes <- struct{}{}:
			return nil
		case <-late.C:
			return os.ErrDeadlineExceeded
		case <-d.aborting:
			return os.ErrDeadlineExceeded
		case <-draining:
			draining = nil
			d.mu.Lock()
			end := d.end.Add(d.o.FirstByte)
			d.mu.Unlock()
			if end.Before(t.c.deadline) {
				late.Reset(time.Until(end))
			}
		}
	}
}

// Give ends it.
func (t turn) Give() { <-t.c.d.handshakes }
