// Package secure is TLS over a connection from which something was read already.
package secure

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// ErrTruncated says that a connection has ended without the word of TLS that nothing more follows:
// whoever is on the way between may have cut off what did.
var ErrTruncated = errors.New("tls: the connection ended without close_notify")

// errOld is for a configuration that allows more than this package does.
var errOld = errors.New("tls: the client offers nothing newer than TLS 1.2, and 1.3 is the least")

// Turns bound how many handshakes compute at once. A handshake has its turn from when a whole
// record of it is there until it waits for the client again.
type Turns interface {
	// Take waits for a turn. It returns an error if there is no time left to wait.
	Take() error
	// Give ends the turn.
	Give()
}

// Conn is TLS over a connection. One goroutine at a time uses it, but for its deadlines, which are
// those of the connection below.
type Conn struct {
	tls    *tls.Conn
	wire   *wire
	spoilt bool // a write has failed
}

// Server makes one of which the first bytes, said, were read before. The connection below is not to
// be read or written any more, but may be closed. What TLS has to send itself may take
// writeTimeout.
func Server(below net.Conn, said []byte, config *tls.Config, writeTimeout time.Duration) *Conn {
	w := &wire{Conn: below, said: bytes.Clone(said), writeTimeout: writeTimeout}
	return &Conn{tls: tls.Server(w, config), wire: w}
}

// Handshake does it, until the read deadline of the connection below.
func (c *Conn) Handshake(turns Turns) error {
	c.wire.turns = turns
	err := c.tls.Handshake()
	c.wire.give()
	c.wire.turns = nil
	if err == nil && c.tls.ConnectionState().Version < tls.VersionTLS13 {
		err = errOld
	}
	return err
}

// State is what was agreed on.
func (c *Conn) State() tls.ConnectionState { return c.tls.ConnectionState() }

// Read reads all that is there, of as many records as b has room for, and waits only for the first.
// Its error is io.EOF only where the client has said that nothing more follows.
func (c *Conn) Read(b []byte) (n int, err error) {
	n, err = c.read(b)
	if n == 0 {
		return 0, err
	}
	c.wire.dry = true
	for err == nil && n < len(b) {
		var more int
		more, err = c.read(b[n:])
		n += more
	}
	c.wire.dry = false
	return n, nil // an error that lasts comes again
}

func (c *Conn) read(b []byte) (int, error) {
	n, err := c.tls.Read(b)
	if err == io.EOF && c.wire.ended {
		err = ErrTruncated
	}
	return n, err
}

// ReadAvailable reads what is there already, and waits for nothing: os.ErrDeadlineExceeded says
// that nothing is.
func (c *Conn) ReadAvailable(b []byte) (int, error) {
	c.wire.atOnce = true
	defer func() { c.wire.atOnce = false }()
	return c.Read(b)
}

// HalfRecord tells whether the last that was read ended within a record, so that more is to come.
func (c *Conn) HalfRecord() bool { return c.wire.records.within() }

// Write writes all of b. After an error nothing more can be written.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.wire.timed = true
	n, err = c.tls.Write(b)
	c.wire.timed = false
	c.spoilt = c.spoilt || err != nil
	return n, err
}

// CloseWrite says that nothing more follows.
func (c *Conn) CloseWrite() error {
	half, is := c.wire.Conn.(interface{ CloseWrite() error })
	if !is || c.spoilt {
		return net.ErrClosed
	}
	c.wire.timed = true
	return errors.Join(c.tls.CloseWrite(), half.CloseWrite())
}

// Close says that nothing more follows, if it can, and closes the connection below.
func (c *Conn) Close() error {
	if c.spoilt {
		return c.wire.Conn.Close()
	}
	c.wire.timed = true
	return c.tls.Close()
}

// LocalAddr is that of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.wire.LocalAddr() }

// RemoteAddr likewise.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// SetDeadline sets both.
func (c *Conn) SetDeadline(t time.Time) error { return c.wire.SetDeadline(t) }

// SetReadDeadline sets that of the connection below.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.wire.SetReadDeadline(t) }

// SetWriteDeadline likewise. A write that it ends is the last.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.wire.SetWriteDeadline(t) }

var errDry = os.ErrDeadlineExceeded // for which TLS can read on later
