package loop

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gcd/server/internal/dispatch"
)

// Have says that this system has readiness loops.
const Have = true

// Options configures a pool.
type Options struct {
	dispatch.Options
	Workers    int // loops
	Processors int // that there are for them
	// Secure serves connections within TLS, which loops cannot. It may be called until Run returns,
	// and waits for nothing.
	Secure func(dispatch.Taken)
}

// The stages of a pool's life.
const (
	serving  = 0
	draining = 1 // it goes on, for a moment
	parting  = 2 // what has arrived by now is the last
	aborting = 3
)

// Pool is a number of loops that serve the same two sockets.
type Pool struct {
	o         Options
	listener  int // -1 when off
	datagrams int // likewise
	lease     *lease
	loops     []*loop
	homes     []*loop // those that have conversations
	stage     atomic.Int32
	isOpen    atomic.Bool
	detached  sync.WaitGroup // who has a connection to himself
	lastCall  sync.Once      // of the loop that shuts the doors

	mu     sync.Mutex
	closed bool        // everything is, so the descriptors may be somebody else's
	clock  *time.Timer // ends draining; nil before
}

// New takes over both sockets, either of which may be nil, unless it fails. Until Open connections
// wait in the system's queue, and datagrams are dropped.
func New(o Options, tcp *net.TCPListener, udp *net.UDPConn) (*Pool, error) {
	p := &Pool{o: o, listener: -1, datagrams: -1}
	err := p.open(tcp, udp)
	if err != nil {
		p.close()
		return nil, err
	}
	// From here on the pool's own descriptors hold the sockets, away from the runtime's poller.
	if tcp != nil {
		tcp.Close()
	}
	if udp != nil {
		udp.Close()
	}
	return p, nil
}

func (p *Pool) open(tcp *net.TCPListener, udp *net.UDPConn) (err error) {
	if tcp != nil {
		if p.listener, err = duplicate(tcp); err != nil {
			return err
		}
	}
	if udp != nil {
		if p.datagrams, err = duplicate(udp); err != nil {
			return err
		}
	}
	if p.lease, err = newLease(p.listener, p.datagrams); err != nil {
		return err
	}
	for range p.o.Workers {
		l, err := newLoop(p)
		if err != nil {
			return err
		}
		p.loops = append(p.loops, l)
	}
	p.homes = p.loops[:max(1, min(len(p.loops), p.o.Processors-1))]
	for _, l := range p.homes {
		l.isHome = true
	}
	p.lease.shut = true
	return p.lease.begin(p.loops)
}

// duplicate makes a descriptor of the caller's own for c's socket.
func duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(from uintptr) {
		fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	if dupErr != nil {
		return -1, fmt.Errorf("server: cannot duplicate a socket: %w", os.NewSyscallError("fcntl", dupErr))
	}
	return fd, nil
}

// Run serves until Drain or Abort. When it returns every goroutine and socket of the pool is gone.
func (p *Pool) Run() {
	var wg sync.WaitGroup
	for _, l := range p.loops {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l.run()
		}()
	}
	wg.Wait()
	p.detached.Wait()
	p.close()
}

// close frees everything once no loop runs.
func (p *Pool) close() {
	for _, l := range p.loops {
		l.close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.clock != nil {
		p.clock.Stop()
	}
	if p.lease != nil {
		p.lease.close()
	}
	for _, fd := range []int{p.listener, p.datagrams} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Open lets connections in, and takes datagrams.
func (p *Pool) Open() {
	p.isOpen.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.lease.open()
	}
}

// Drain makes Run end. For so long as rest it goes on to accept and to read; after that it looks
// once more at what has arrived, answers that and what the backend has, and closes. A second Drain
// can only make the time shorter.
func (p *Pool) Drain(rest time.Duration) {
	if rest <= 0 {
		p.enter(parting)
		return
	}
	p.enter(draining)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clock == nil && !p.closed {
		p.clock = time.AfterFunc(rest, func() { p.enter(parting) })
	}
}

// Abort makes Run end as soon as nothing of it is inside the backend. Answers may be lost.
func (p *Pool) Abort() { p.enter(aborting) }

// enter moves the pool on to a later stage, and tells the loops.
func (p *Pool) enter(stage int32) {
	p.mu.Lock()
	if p.stage.Load() < stage {
		p.stage.Store(stage)
	}
	if !p.closed && stage >= parting {
		p.lease.drain()
	}
	if !p.closed && stage == aborting && p.listener >= 0 {
		_ = unix.Shutdown(p.listener, unix.SHUT_RDWR) // at once, although the loops hold the socket until they end
	}
	p.mu.Unlock()
	for _, l := range p.loops {
		l.completions.wake()
	}
}

// Rounds returns a channel that gets as many values as it has room for: one when each loop goes
// round once more.
func (p *Pool) Rounds() <-chan struct{} {
	came := make(chan struct{}, len(p.loops))
	for _, l := range p.loops {
		if !l.completions.put(round(came)) {
			came <- struct{}{} // its loop is through
		}
	}
	return came
}

// round is what a loop goes on with in the turn in which it finds it.
type round chan<- struct{}

func (r round) advance() { r <- struct{}{} } // has room

func (r round) drop() { r.advance() }
