// Package blocking is the dispatch with a goroutine for each connection and each datagram. It is
// portable, and carries whatever is a net.Conn.
package blocking

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"gcd/server/internal/counter"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
)

// Listener is a *net.TCPListener, or one of a unix socket.
type Listener interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// Dispatcher serves sockets, and connections that another dispatcher has let in.
type Dispatcher struct {
	o          dispatch.Options
	listeners  []Listener
	udp        *net.UDPConn  // nil when off
	handshakes chan struct{} // has something for each that computes

	conns     sync.Pool // of *conn
	datagrams sync.Pool // of *datagram
	scratch   sync.Pool // of *[]byte, counter.MaxRead bytes each

	wg        sync.WaitGroup // accept, receive, connections, datagrams, and who calls Take
	open      chan struct{}  // closed by Open
	openOnce  sync.Once
	draining  chan struct{} // closed by Drain
	aborting  chan struct{} // closed by Abort
	abortOnce sync.Once

	// looking is of who looks at topics, or takes much while somebody asks for little: one at a
	// time, so that the others have processors, too.
	looking sync.Mutex

	mu   sync.Mutex
	live map[*conn]struct{}
	end  time.Time // set by Drain: from then on what has arrived is the last
}

// New takes over all sockets; udp may be nil. Until Open connections wait in the system's queue,
// and datagrams are dropped.
func New(o dispatch.Options, udp *net.UDPConn, listeners ...Listener) *Dispatcher {
	d := &Dispatcher{
		o: o, listeners: listeners, udp: udp,
		handshakes: make(chan struct{}, max(1, o.Handshakes)),
		open:       make(chan struct{}),
		draining:   make(chan struct{}),
		aborting:   make(chan struct{}),
		live:       make(map[*conn]struct{}),
	}
	d.conns.New = func() any { return newConn(d) }
	d.datagrams.New = func() any { return newDatagram(d) }
	d.scratch.New = func() any {
		b := make([]byte, counter.MaxRead)
		return &b
	}
	return d
}

// Open lets connections in, and takes datagrams.
func (d *Dispatcher) Open() { d.openOnce.Do(func() { close(d.open) }) }

// Run serves until Drain or Abort. When it returns every goroutine and socket of the dispatcher is
// gone.
func (d *Dispatcher) Run() {
	for _, l := range d.listeners {
		d.wg.Go(func() { d.accept(l) })
	}
	if d.udp != nil {
		d.wg.Go(d.receive)
	}
	<-d.draining
	d.wg.Wait()
	if d.udp != nil {
		d.udp.Close() // only now, for it carries the answers of the last requests
	}
}

// Drain makes Run end. For so long as rest it goes on to accept and to read; after that it looks
// once more at what has arrived, answers that and what the backend has, and closes. A second Drain
// can only make the time shorter.
func (d *Dispatcher) Drain(rest time.Duration) {
	d.mu.Lock() // so that whoever sets a deadline knows of the end, or is known here
	defer d.mu.Unlock()
	end := time.Now().Add(rest)
	if !d.end.IsZero() && !end.Before(d.end) {
		return
	}
	if d.end.IsZero() {
		close(d.draining)
	}
	d.end = end
	for c := range d.live {
		c.socket.SetReadDeadline(d.endOf(c))
	}
	for _, l := range d.listeners {
		l.SetDeadline(end)
	}
	if d.udp != nil {
		d.udp.SetReadDeadline(end)
	}
}

// endOf is when what has arrived from c is the last. It comes after Drain; d.mu is held.
func (d *Dispatcher) endOf(c *conn) time.Time {
	if d.end.Before(c.least) {
		return c.least
	}
	return d.end
}

// ended tells whether what has arrived from c is the last.
func (d *Dispatcher) ended(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.end.IsZero() && !time.Now().Before(d.endOf(c))
}

// Abort makes Run end as soon as nothing of it is inside the backend. Answers may be lost.
func (d *Dispatcher) Abort() {
	d.Drain(0)
	d.abortOnce.Do(func() {
		close(d.aborting)
		d.mu.Lock()
		for c := range d.live {
			c.socket.Close()
		}
		d.mu.Unlock()
		for _, l := range d.listeners {
			l.Close()
		}
		if d.udp != nil {
			d.udp.Close()
		}
	})
}

// Rounds asks nobody: the workers wait for one client each, and what they share is the backend.
func (d *Dispatcher) Rounds() <-chan struct{} { return make(chan struct{}) }

// pause waits before something that failed is tried again. It returns false when the dispatch is
// draining.
func (d *Dispatcher) pause(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.draining:
		return false
	}
}

// waitForRoom waits while so much is in flight that new connections and datagrams have to wait.
func (d *Dispatcher) waitForRoom() {
	for {
		room, _ := d.o.Gate.AtOnce(time.Since(d.o.Gate.Began))
		if room > 0 || !d.pause(gate.OverfullPause) {
			return
		}
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
