package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/store"
)

// ErrClosed is what Listen and Serve return after Shutdown.
var ErrClosed = errors.New("server: shut down")

// Server serves one Backend over TCP and UDP. Its methods may be called from any goroutine.
type Server struct {
	opts    Options
	backend Backend
	log     hclog.Logger
	journal journal

	conns         *connLimit
	refusals      *refusalLimit
	inFlight      atomic.Int64
	inFlightBytes atomic.Int64
	shares        *shares
	askers        askers
	began         time.Time
	held          atomic.Int64 // bytes that exchanges of RESP are charged for
	accepted      atomic.Uint64
	moving        atomic.Int64 // connections on their way to the loop that serves them
	datagrams     atomic.Uint64
	answered      atomic.Uint64
	traffic       traffic
	rates         rates
	resp          *respDoor
	backups       *backups
	untaken       atomic.Int64 // connections whose client has not taken its answers yet
	ending        atomic.Bool  // nothing that takes long is gone on with
	stopping      atomic.Bool  // Shutdown was called: what is not the backend's yet is refused

	// Where tests put faults and stretch time: parse is codec.ParseRequest, a non-nil beforeAccept
	// may fail an accept, linger, fullTime, sharedTime, firstByte, loadingTime, parting and hold are
	// the constants of alike names, and processors is runtime.GOMAXPROCS(0).
	parse        func([]byte) (codec.Request, error)
	beforeAccept func() error
	linger       time.Duration
	fullTime     time.Duration
	sharedTime   time.Duration
	firstByte    time.Duration
	loadingTime  time.Duration
	parting      time.Duration
	hold         time.Duration
	processors   int

	finished chan struct{}  // closed when Serve has nothing running any more
	tellers  sync.WaitGroup // who tells connections that the server is not there yet, or not any more

	mu       sync.Mutex
	tcp      *net.TCPListener // nil when off, and once the dispatcher took it
	udp      *net.UDPConn     // likewise
	tcpAddr  net.Addr
	udpAddr  net.Addr
	listens  bool
	dispatch dispatcher // from Serve on

	stopLoading func() // nil before AnswerLoading
	closed      bool   // Shutdown was called
}

// dispatcher carries requests from open sockets to the backend and answers back.
type dispatcher interface {
	// run serves until drain or abort; when it returns, every goroutine and socket of the dispatcher is gone.
	run()
	// drain makes run end. For so long as parting it goes on to accept and to read; after that it
	// looks once more at what has arrived, answers that and what the backend has, and closes. A
	// second drain can only make the time shorter.
	drain(parting time.Duration)
	// abort makes run end as soon as nothing of it is inside the backend. Answers may be lost.
	abort()
	// rounds returns a channel that gets as many values as it has room for: one when each worker
	// goes round once more.
	rounds() <-chan struct{}
}

// New makes a server. It opens no socket yet. A nil backend is to come by Use.
func New(backend Backend, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Server{
		opts:        o,
		backend:     backend,
		log:         o.Logger,
		journal:     journal{log: o.Logger, now: time.Now},
		conns:       newConnLimit(o.MaxConns, o.MaxConnsPerSource),
		refusals:    newRefusalLimit(o.RefusalRate),
		shares:      newShares(),
		began:       time.Now(),
		resp:        newRespDoor(),
		backups:     newBackups(),
		parse:       codec.ParseRequest,
		linger:      lingerTime,
		firstByte:   firstByteTime,
		loadingTime: loadingTime,
		fullTime:    fullTime,
		sharedTime:  sharedTime,
		parting:     partingTime,
		hold:        holdTime,
		processors:  runtime.GOMAXPROCS(0),
		finished:    make(chan struct{}),
	}, nil
}

// Use gives a server that was made without one its backend. It comes before Serve. Who comes in
// between is not told any more that the server is loading, and no datagram is dropped: all wait to
// be served.
func (s *Server) Use(backend Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backend = backend
	if s.stopLoading != nil {
		s.stopLoading()
	}
}

// Listen opens the sockets, so that TCPAddr and UDPAddr are known. Serve does it if nobody did.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listen()
}

func (s *Server) listen() error {
	if s.closed {
		return ErrClosed
	}
	if s.listens {
		return nil
	}
	if s.opts.TCP != "" {
		// What is set before the first connection is there goes for all of them.
		config := net.ListenConfig{Control: bequeath, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAlive, Interval: keepAlive / keepAliveProbes, Count: keepAliveProbes,
		}}
		l, err := config.Listen(context.Background(), network("tcp", s.opts.TCP), s.opts.TCP)
		if err != nil {
			return fmt.Errorf("server: cannot listen for TCP: %w", err)
		}
		s.tcp = l.(*net.TCPListener)
		s.tcpAddr = l.Addr()
	}
	if s.opts.UDP != "" {
		c, err := net.ListenPacket(network("udp", s.opts.UDP), s.opts.UDP)
		if err != nil {
			s.closeSockets()
			return fmt.Errorf("server: cannot listen for UDP: %w", err)
		}
		s.udp = c.(*net.UDPConn)
		pinSource(s.udp)
		s.widen(s.udp)
		s.udpAddr = c.LocalAddr()
	}
	s.listens = true
	return nil
}

// network keeps a server that was given an IPv4 address off IPv6: package net takes 0.0.0.0 for every address of both.
func network(name, addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().Is4() {
		return name + "4"
	}
	return name
}

func (s *Server) closeSockets() {
	if s.tcp != nil {
		s.tcp.Close()
		s.tcp = nil
	}
	if s.udp != nil {
		s.udp.Close()
		s.udp = nil
	}
}

// TCPAddr is where the server listens for TCP: nil before Listen, or if TCP is off.
func (s *Server) TCPAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tcpAddr
}

// UDPAddr is where the server listens for UDP: nil before Listen, or if UDP is off.
func (s *Server) UDPAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.udpAddr
}

// Serve serves until Shutdown, and then returns nil. It returns an error that wraps store.ErrFailed when the backend can
// acknowledge nothing any more. When it returns, no goroutine and no socket of the server is left.
func (s *Server) Serve() error {
	d, err := s.start()
	if err != nil {
		return err
	}
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		d.run()
	}()
	select {
	case <-ran:
	case <-s.backend.Failed():
		s.end()
		d.drain(0)
		impatient := time.AfterFunc(s.opts.WriteTimeout, d.abort)
		<-ran
		impatient.Stop()
	}
	s.tellers.Wait()
	close(s.finished)
	st := s.Stats()
	s.log.Info("stopped serving", "answered", st.Answered, "refused", st.Refused, "unknown", st.UnknownOutcomes)
	select {
	case <-s.backend.Failed():
		return fmt.Errorf("server: stopped serving: %w", store.ErrFailed)
	default:
		return nil
	}
}

// start gives the sockets to a dispatcher.
func (s *Server) start() (dispatcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return nil, err
	}
	if s.dispatch != nil {
		return nil, errors.New("server: Serve was called before")
	}
	if s.backend == nil {
		return nil, errors.New("server: Serve was called without a backend")
	}
	if s.stopLoading != nil {
		s.stopLoading()
	}
	kind := s.opts.Dispatch
	if kind == Pool && !havePool {
		s.log.Warn("this system has no readiness loops for dispatch: using goroutines", "wanted", Pool)
		kind = Goroutine
	}
	if kind == Pool {
		p, err := newPool(s, s.tcp, s.udp)
		if err != nil {
			return nil, err
		}
		s.dispatch = p
	} else {
		s.dispatch = newGoroutines(s, s.tcp, s.udp)
	}
	s.tcp, s.udp = nil, nil
	s.log.Info("serving", "tcp", addrText(s.tcpAddr), "udp", addrText(s.udpAddr), "dispatch", kind)
	return s.dispatch, nil
}

func addrText(a net.Addr) string {
	if a == nil {
		return "off"
	}
	return a.String()
}

// Shutdown stops taking requests, lets those be answered that the backend was given, and refuses
// all others: for a quarter of a second what arrives is still read, and told that the server is
// shutting down. Then it closes the doors and the connections, and waits until nothing is left. If
// ctx ends first, it drops what is left and returns ctx's error; Serve returns as soon as the
// backend lets go. The backend stays open.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	d, tcp, udp, stopLoading := s.dispatch, s.tcp, s.udp, s.stopLoading
	s.tcp, s.udp = nil, nil
	s.mu.Unlock()
	s.stopping.Store(true)
	s.end()
	if d == nil {
		if stopLoading != nil {
			stopLoading()
		}
		s.turnAway(tcp, udp, halfOf(ctx, s.loadingTime))
		s.tellers.Wait()
		return nil
	}
	d.drain(halfOf(ctx, s.parting))
	select {
	case <-s.finished:
		return nil
	case <-ctx.Done():
		waits := s.Waits()
		d.abort()
		return fmt.Errorf("server: shut down before everything was answered; it waited for %s: %w", waits, ctx.Err())
	}
}

// halfOf is a time, but at most half of what is left until ctx ends.
func halfOf(ctx context.Context, t time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(t, max(0, time.Until(deadline)/2))
	}
	return t
}

// Waits says in words what a shutdown waits for just now.
func (s *Server) Waits() string {
	var all []string
	add := func(n int64, one, many string) {
		if n == 1 {
			all = append(all, "1 "+one)
		} else if n > 1 {
			all = append(all, strconv.FormatInt(n, 10)+" "+many)
		}
	}
	add(s.untaken.Load(), "connection that does not take its answers", "connections that do not take their answers")
	add(s.inFlight.Load(), "request that the disk has not decided", "requests that the disk has not decided")
	add(int64(flag(s.backups.under.Load())), "backup", "backups")
	if n := s.conns.open(); len(all) == 0 && n > 0 {
		add(n, "connection that does not end", "connections that do not end")
	}
	if len(all) == 0 {
		return "its own end"
	}
	return strings.Join(all, ", ")
}

// end makes an end of what takes many steps: backups, and looks at all topics.
func (s *Server) end() {
	s.ending.Store(true)
	s.backups.end()
}

// guard runs a step of one client's handling. A panic in it is that client's end and nobody else's; guard returns false.
// Nothing that runs inside the backend is guarded: a panic there must end the process.
func (s *Server) guard(peer netip.AddrPort, step func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s.journal.happened(handlerPanic, peer, fmt.Sprintf("%v\n%s", p, debug.Stack()))
			ok = false
		}
	}()
	step()
	return true
}
