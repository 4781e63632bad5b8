package server

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const havePool = true

// The stages of a pool's life.
const (
	serving  = 0
	draining = 1 // it goes on, for a moment
	parting  = 2 // what has arrived by now is the last
	aborting = 3
)

// pool is the dispatch by readiness loops. All loops serve the same two sockets.
type pool struct {
	s        *Server
	listener int // -1 when off
	packets  int // likewise
	watch    *watch
	loops    []*loop
	homes    []*loop // those that have conversations
	stage    atomic.Int32
	lent     sync.WaitGroup // who writes to lent streams
	lastCall sync.Once      // of the loop that shuts the doors

	mu     sync.Mutex
	closed bool        // everything is, so the descriptors may be somebody else's
	clock  *time.Timer // ends draining; nil before
}

// newPool takes over both sockets, either of which may be nil, unless it fails.
func newPool(s *Server, tcp *net.TCPListener, udp *net.UDPConn) (dispatcher, error) {
	p := &pool{s: s, listener: -1, packets: -1}
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

func (p *pool) open(tcp *net.TCPListener, udp *net.UDPConn) (err error) {
	if tcp != nil {
		if p.listener, err = duplicate(tcp); err != nil {
			return err
		}
	}
	if udp != nil {
		if p.packets, err = duplicate(udp); err != nil {
			return err
		}
	}
	if p.watch, err = newWatch(p.listener, p.packets); err != nil {
		return err
	}
	for range p.s.opts.Workers {
		l, err := newLoop(p)
		if err != nil {
			return err
		}
		p.loops = append(p.loops, l)
	}
	p.homes = p.loops[:max(1, min(len(p.loops), p.s.processors-1))]
	for _, l := range p.homes {
		l.isHome = true
	}
	return p.watch.begin(p.loops)
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

func (p *pool) run() {
	var wg sync.WaitGroup
	for _, l := range p.loops {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l.run()
		}()
	}
	wg.Wait()
	p.lent.Wait()
	p.close()
}

// close frees everything once no loop runs.
func (p *pool) close() {
	for _, l := range p.loops {
		l.close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.clock != nil {
		p.clock.Stop()
	}
	if p.watch != nil {
		p.watch.close()
	}
	for _, fd := range []int{p.listener, p.packets} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (p *pool) drain(rest time.Duration) {
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

func (p *pool) abort() { p.enter(aborting) }

// enter moves the pool on to a later stage, and tells the loops.
func (p *pool) enter(stage int32) {
	p.mu.Lock()
	if p.stage.Load() < stage {
		p.stage.Store(stage)
	}
	if !p.closed && stage >= parting {
		p.watch.drain()
	}
	if !p.closed && stage == aborting && p.listener >= 0 {
		_ = unix.Shutdown(p.listener, unix.SHUT_RDWR) // at once, although the loops hold the socket until they end
	}
	p.mu.Unlock()
	for _, l := range p.loops {
		l.mail.wake()
	}
}
