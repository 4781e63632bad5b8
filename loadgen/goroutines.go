package loadgen

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// longestSleep bounds how late a goroutine that waits for its next request's time learns of the
// end.
const longestSleep = 100 * time.Millisecond

// goroutines drives connections from a goroutine for each: where there are no loops.
type goroutines struct {
	clients []*client
}

// client is one connection of a goroutine.
type client struct {
	lane
	inFlight
	to     *peer
	conn   net.Conn // nil: none
	out    []byte
	buffer []byte // its beginning may be the beginning of an answer
	part   int    // bytes of it
}

func newGoroutines(ln lane, clients int, to *peer) (driver, error) {
	g := &goroutines{clients: make([]*client, clients)}
	for i := range g.clients {
		c := &client{lane: ln, to: to, buffer: make([]byte, 4*longAnswer)}
		c.topics = newTopics(&ln.run.Options, ln.topics.thread, i, &ln.run.next)
		g.clients[i] = c
	}
	return g, nil
}

func (g *goroutines) open() error {
	for _, c := range g.clients {
		if c.run.door.perRequest() {
			continue
		}
		if err := c.connect(); err != nil {
			return err
		}
	}
	return nil
}

func (g *goroutines) close() {
	for _, c := range g.clients {
		c.hangUp()
	}
}

func (g *goroutines) drive() {
	var running sync.WaitGroup
	for _, c := range g.clients {
		running.Go(c.drive)
	}
	running.Wait()
}

func (c *client) drive() {
	for {
		var wait int64
		c.out, wait = c.begin(&c.inFlight, c.out[:0], c.run.now())
		switch {
		case wait < 0:
			return
		case wait > 0:
			time.Sleep(min(time.Duration(wait), longestSleep))
			continue
		}
		if class, err := c.ask(); err != nil {
			c.fail(&c.inFlight, class, err)
			c.hangUp()
		}
		if c.run.door.perRequest() {
			c.hangUp()
		}
		if c.troubled {
			time.Sleep(pause)
		}
	}
}

func (c *client) connect() error {
	var err error
	if c.run.Network == UDP {
		c.conn, err = net.DialTimeout("udp", c.to.addr, c.run.Timeout)
	} else {
		c.conn, err = c.to.open(context.Background(), c.run.Timeout)
	}
	return err
}

func (c *client) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
	c.part = 0
	c.ended()
}

// ask sends the requests of an exchange and takes all answers. After an error the connection is of
// no more use.
func (c *client) ask() (class, error) {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return notSent, err
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(c.run.Timeout)); err != nil {
		return notSent, err
	}
	if n, err := c.conn.Write(c.out); err != nil {
		if n == 0 && c.to.secure == nil { // TLS may have sent what it does not count
			return notSent, err
		}
		return unknown, err
	}
	for !c.done() {
		if c.part == len(c.buffer) {
			return unknown, errTwoAnswers
		}
		n, err := c.conn.Read(c.buffer[c.part:])
		now := c.run.now()
		data, whole := c.buffer[:c.part+n], c.run.Network == UDP
		var timeout net.Error
		switch {
		case err == io.EOF && c.run.door.untilEnd(data):
			whole = true
		case err == io.EOF:
			return unknown, errNoAnswer
		case errors.Is(err, syscall.ECONNREFUSED) && c.run.Network == UDP:
			return notSent, err // the system says that nobody listens there
		case errors.As(err, &timeout) && timeout.Timeout():
			return unknown, c.run.timedOut()
		case err != nil:
			return unknown, err
		case c.run.door.untilEnd(data):
			c.part = len(data)
			continue
		}
		rest, err := c.receive(&c.inFlight, data, whole, now)
		if err != nil {
			return classOf(err), err
		}
		c.part = copy(c.buffer, rest)
	}
	return 0, nil
}
