package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"gcd/store"
)

// goroutines is the dispatch with one goroutine for each connection and each datagram.
type goroutines struct {
	s   *Server
	tcp *net.TCPListener // nil when off
	udp *net.UDPConn     // likewise

	requests sync.Pool // of *request
	long     sync.Pool // of *[]byte, maxRead bytes each

	wg        sync.WaitGroup // accept, receive, connections, datagrams
	draining  chan struct{}  // closed by drain
	aborting  chan struct{}  // closed by abort
	abortOnce sync.Once

	// looking is of who looks at topics, or takes much while somebody asks for little: one at a
	// time, so that the others have processors, too.
	looking sync.Mutex

	mu    sync.Mutex
	conns map[*streamConn]struct{}
	end   time.Time // set by drain: from then on what has arrived is the last
}

func newGoroutines(s *Server, tcp *net.TCPListener, udp *net.UDPConn) *goroutines {
	d := &goroutines{
		s: s, tcp: tcp, udp: udp,
		draining: make(chan struct{}),
		aborting: make(chan struct{}),
		conns:    make(map[*streamConn]struct{}),
	}
	d.requests.New = func() any { return newRequest(s) }
	d.long.New = func() any {
		b := make([]byte, maxRead)
		return &b
	}
	return d
}

func (d *goroutines) run() {
	if d.tcp != nil {
		d.wg.Add(1)
		go d.accept()
	}
	if d.udp != nil {
		d.wg.Add(1)
		go d.receive()
	}
	<-d.draining
	d.wg.Wait()
	if d.udp != nil {
		d.udp.Close() // only now, for it carries the answers of the last requests
	}
}

func (d *goroutines) drain(parting time.Duration) {
	d.mu.Lock() // so that whoever sets a deadline knows of the end, or is known here
	defer d.mu.Unlock()
	end := time.Now().Add(parting)
	if !d.end.IsZero() && !end.Before(d.end) {
		return
	}
	if d.end.IsZero() {
		close(d.draining)
	}
	d.end = end
	for c := range d.conns {
		c.nc.SetReadDeadline(d.endOf(c))
	}
	if d.tcp != nil {
		d.tcp.SetDeadline(end)
	}
	if d.udp != nil {
		d.udp.SetReadDeadline(end)
	}
}

// endOf is when what has arrived from c is the last. It comes behind drain; d.mu is held.
func (d *goroutines) endOf(c *streamConn) time.Time {
	if d.end.Before(c.least) {
		return c.least
	}
	return d.end
}

// ended tells whether what has arrived from c is the last.
func (d *goroutines) ended(c *streamConn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.end.IsZero() && !time.Now().Before(d.endOf(c))
}

func (d *goroutines) abort() {
	d.drain(0)
	d.abortOnce.Do(func() {
		close(d.aborting)
		d.mu.Lock()
		for c := range d.conns {
			c.nc.Close()
		}
		d.mu.Unlock()
		if d.tcp != nil {
			d.tcp.Close()
		}
		if d.udp != nil {
			d.udp.Close()
		}
	})
}

// rounds asks nobody: the workers wait for one client each, and what they share is the backend.
func (d *goroutines) rounds() <-chan struct{} { return make(chan struct{}) }

// pause waits before something that failed is tried again. It returns false when the dispatch is draining.
func (d *goroutines) pause(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.draining:
		return false
	}
}

// request is one operation on its way to the backend and back. It is used again unless it was abandoned.
type request struct {
	ops   [1]store.Op
	group store.Group
	done  chan struct{}   // gets one value for each submission
	claim claim           // while it is admitted
	msg   []byte          // in first, *long or own
	first [firstRead]byte // TCP
	long  *[]byte         // TCP, if first was too short
	own   []byte          // UDP
	out   []byte
}

func newRequest(s *Server) *request {
	r := &request{done: make(chan struct{}, 1)}
	r.group.Done = func(*store.Group) {
		s.done(r.claim)
		r.done <- struct{}{} // has room: one submission at a time
	}
	return r
}

// recycle gives back what may be used again.
func (d *goroutines) recycle(r *request) {
	if r.long != nil {
		d.long.Put(r.long)
		r.long = nil
	}
	r.msg = nil
	r.ops[0] = store.Op{}
	d.requests.Put(r)
}

// commit gives r's operation to the backend and waits for the outcome. It returns false if the dispatch was aborted
// before: then r stays the backend's.
func (d *goroutines) commit(r *request) bool {
	r.group.Ops = r.ops[:]
	d.s.backend.Submit(&r.group)
	select {
	case <-r.done:
		return true
	case <-d.aborting:
		return false
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
