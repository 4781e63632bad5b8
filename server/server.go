package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/server/internal/blocking"
	"gcd/server/internal/counter"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/loop"
	"gcd/server/internal/redis"
	"gcd/server/internal/socket"
	"gcd/store/core"
)

// ErrClosed is what Listen and Serve return after Shutdown.
var ErrClosed = errors.New("server: shut down")

// MaxLingering is how many connections beyond Options.MaxConns, and no more than that, are open at
// once only to hear that they are too many.
const MaxLingering = gate.MaxLingering

// Stats is what a server has done since it was made.
type Stats = gate.Stats

// Server serves one Backend over TCP and UDP. Its methods may be called from any goroutine.
type Server struct {
	opts    Options
	log     hclog.Logger
	gate    *gate.Gate
	counter counter.Protocol
	redis   *redis.Door
	backend atomic.Pointer[Backend] // absent while the counters are loaded

	// What tests stretch, shorten or replace, before Listen.
	beforeAccept func() error // a non-nil one may fail an accept
	firstByte    time.Duration
	linger       time.Duration
	parting      time.Duration
	hold         time.Duration
	processors   int

	ran chan struct{} // closed when nothing of the doors runs any more

	mu      sync.Mutex
	tcp     *net.TCPListener // nil when off, and once a door took it
	udp     *net.UDPConn     // likewise
	unix    *socket.Unix     // likewise
	tcpAddr net.Addr
	udpAddr net.Addr
	listens bool
	doors   []door // none before they are started
	served  bool   // Serve was called
	holding *time.Timer
	closed  bool // Shutdown was called
}

// door carries requests from open sockets to the backend, and answers back.
type door interface {
	// Run serves until Drain or Abort; when it returns, every goroutine and socket of the door is
	// gone.
	Run()
	// Open lets clients in. Before, connections wait in the system's queue, and datagrams are
	// dropped.
	Open()
	// Drain makes Run end. For so long as rest it goes on to accept and to read; after that it
	// looks once more at what has arrived, answers that and what the backend has, and closes. A
	// second Drain can only make the time shorter.
	Drain(rest time.Duration)
	// Abort makes Run end as soon as nothing of it is inside the backend. Answers may be lost.
	Abort()
	// Rounds returns a channel that gets as many values as it has room for: one when each worker
	// goes round once more.
	Rounds() <-chan struct{}
}

const (
	// firstByteTime is how long a connection that is too many may say nothing before it is refused
	// in the words of the protocol and not in those of RESP; and how long at least any connection
	// has for its first byte, also when the server stops just then.
	firstByteTime = 100 * time.Millisecond
	// lingerTime is how long a client has to have read the last that it was told.
	lingerTime = time.Second
	// partingTime is how long a server that stops goes on to read, so that whoever asks then is
	// told, and does not wonder what became of it.
	partingTime = 250 * time.Millisecond
	// holdTime is how long nobody is told anything while the server loads its counters, from when
	// the sockets are open. Connections wait, with what they have sent, and are served when the
	// counters are there, which takes a new directory some milliseconds; datagrams are dropped,
	// since their clients send again, and each that was kept would count.
	holdTime = time.Second
	// handshakesAtOnce is how many handshakes of TLS compute at once, for each processor: what
	// costs most of all that a client may ask for.
	handshakesAtOnce = 4
)

// New makes a server. It opens no socket yet. A nil backend is to come by Use.
func New(backend Backend, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: o,
		log:  o.Logger,
		gate: gate.New(gate.Options{
			MaxConns: o.MaxConns, MaxConnsPerSource: o.MaxConnsPerSource, MaxInFlight: o.MaxInFlight,
			MaxInFlightBytes: o.MaxInFlightBytes, RefusalRate: o.RefusalRate, Logger: o.Logger,
			Rules: o.Rules, Audit: o.Audit,
		}),
		linger:     lingerTime,
		firstByte:  firstByteTime,
		parting:    partingTime,
		hold:       holdTime,
		processors: runtime.GOMAXPROCS(0),
		ran:        make(chan struct{}),
	}
	s.counter = counter.Protocol{Gate: s.gate, Parse: codec.ParseRequest}
	s.redis = redis.NewDoor(redis.Options{
		Gate: s.gate, Backend: func() redis.Backend { return s.backing() }, Version: o.Version,
		Port: s.tcpPort, Unix: o.Unix,
		Settings: s.settings, Backup: o.Backup, AllowBackup: o.AllowBackup, WriteTimeout: o.WriteTimeout,
		KeepAlive: socket.KeepAlive, Logger: o.Logger,
	})
	if backend != nil {
		s.backend.Store(&backend)
	}
	return s, nil
}

// backing is the backend, or one without counters while they are loaded.
func (s *Server) backing() Backend {
	if b := s.backend.Load(); b != nil {
		return *b
	}
	return unloaded{}
}

// AnswerLoading opens the sockets of a server that has no backend yet. For a second who comes
// waits; after that he is told that the counters are loaded (code 14, or LOADING to a client of
// RESP, who is answered nevertheless what needs no counters), until Use.
func (s *Server) AnswerLoading() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return err
	}
	if s.doors != nil || s.backend.Load() != nil {
		return nil
	}
	if err := s.start(false); err != nil {
		return err
	}
	s.gate.Refusing.Store(uint32(codec.CodeLoading)) // nobody is in yet
	s.holding = time.AfterFunc(s.hold, func() {
		s.log.Info("loading: clients are told to try again", "tcp", addrText(s.TCPAddr()))
		s.open()
	})
	return nil
}

// Use gives a server that was made without one its backend, and it serves who has waited.
func (s *Server) Use(backend Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backend.Store(&backend)
	if s.doors != nil && !s.closed {
		s.gate.Refusing.Store(0)
		s.openDoors()
	}
}

func (s *Server) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openDoors()
}

func (s *Server) openDoors() {
	if s.holding != nil {
		s.holding.Stop()
	}
	for _, d := range s.doors {
		d.Open()
	}
}

// start gives the sockets to doors, and has these run, open or not yet.
func (s *Server) start(open bool) error {
	o := s.dispatchOptions()
	if s.opts.Dispatch == Pool && !loop.Have {
		s.log.Warn("this system has no readiness loops for dispatch: using goroutines", "wanted", Pool)
		s.opts.Dispatch = Goroutine
	}
	var unix, all []blocking.Listener
	if s.unix != nil {
		unix = append(unix, s.unix)
	}
	if s.tcp != nil {
		all = append(all, s.tcp)
	}
	var running sync.WaitGroup
	if s.opts.Dispatch == Pool {
		beside := blocking.New(o, nil, unix...) // what loops cannot carry
		p, err := loop.New(loop.Options{
			Options: o, Workers: s.opts.Workers, Processors: s.processors, Secure: beside.Take,
		}, s.tcp, s.udp)
		if err != nil {
			return err
		}
		s.doors = append(s.doors, p)
		if o.TLS != nil || len(unix) > 0 {
			s.doors = append(s.doors, beside)
			through := beside.Feeder()
			running.Go(func() {
				p.Run()
				through()
			})
			running.Go(beside.Run)
		} else {
			running.Go(p.Run)
		}
	} else {
		d := blocking.New(o, s.udp, append(all, unix...)...)
		s.doors = append(s.doors, d)
		running.Go(d.Run)
	}
	s.tcp, s.udp, s.unix = nil, nil, nil
	if open {
		s.openDoors()
	}
	go func() { // Serve waits for it, or Shutdown
		running.Wait()
		close(s.ran)
	}()
	return nil
}

// dispatchOptions are the same for all doors.
func (s *Server) dispatchOptions() dispatch.Options {
	o := dispatch.Options{
		Gate: s.gate, Backend: func() dispatch.Backend { return *s.backend.Load() }, Counter: &s.counter, Logger: s.log,
		Settle: s.opts.Settle, ReadTimeout: s.opts.ReadTimeout, WriteTimeout: s.opts.WriteTimeout,
		FirstByte: s.firstByte, Linger: s.linger, BeforeAccept: s.beforeAccept,
		TLS: s.opts.TLS, RequireTLS: s.opts.RequireTLS, Handshakes: handshakesAtOnce * s.processors,
	}
	if !s.opts.NoRESP {
		o.Redis = s.redis
	}
	return o
}

// Serve serves until Shutdown, and then returns nil. It returns an error that wraps core.ErrFailed
// when the backend can acknowledge nothing any more. When it returns, no goroutine and no socket of
// the server is left.
func (s *Server) Serve() error {
	if err := s.beginServing(); err != nil {
		return err
	}
	failed := s.backing().Failed()
	select {
	case <-s.ran:
	case <-failed:
		s.end()
		s.drain(0)
		impatient := time.AfterFunc(s.opts.WriteTimeout, s.abort)
		<-s.ran
		impatient.Stop()
	}
	st := s.Stats()
	s.log.Info("stopped serving", "answered", st.Answered, "refused", st.Refused, "unknown", st.UnknownOutcomes)
	select {
	case <-failed:
		return fmt.Errorf("server: stopped serving: %w", core.ErrFailed)
	default:
		return nil
	}
}

// beginServing opens the doors.
func (s *Server) beginServing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return err
	}
	if s.served {
		return errors.New("server: Serve was called before")
	}
	if s.backend.Load() == nil {
		return errors.New("server: Serve was called without a backend")
	}
	if s.doors == nil {
		if err := s.start(true); err != nil {
			return err
		}
	}
	s.served = true
	args := []any{"tcp", addrText(s.tcpAddr), "udp", addrText(s.udpAddr), "dispatch", s.opts.Dispatch}
	if s.opts.Unix != "" {
		args = append(args, "unix", s.opts.Unix)
	}
	s.log.Info("serving", args...)
	return nil
}

// Shutdown stops taking requests, lets those be answered that the backend was given, and refuses
// all others: for a quarter of a second what arrives is still read, and told that the server is
// shutting down. Then it closes the doors and the connections, and waits until nothing is left. If
// ctx ends first, it drops what is left and returns ctx's error; Serve returns as soon as the
// backend lets go. The backend stays open.
func (s *Server) Shutdown(ctx context.Context) error {
	if none, err := s.beginShutdown(); none || err != nil {
		return err
	}
	rest := time.Duration(0) // who was never served is told, but not waited for
	if s.backend.Load() != nil {
		rest = halfOf(ctx, s.parting)
	}
	s.drain(rest)
	select {
	case <-s.ran:
		return nil
	case <-ctx.Done():
		waits := s.Waits()
		s.abort()
		return fmt.Errorf("server: shut down before everything was answered; it waited for %s: %w", waits, ctx.Err())
	}
}

// beginShutdown refuses requests from now on. Where sockets are open that no door has, doors tell
// those who wait at them. It returns true if nothing is to be shut down.
func (s *Server) beginShutdown() (none bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.gate.Refusing.Store(uint32(codec.CodeShuttingDown))
	s.end()
	if !s.listens {
		return true, nil
	}
	if s.doors != nil {
		s.openDoors()
		return false, nil
	}
	if err = s.start(true); err != nil {
		s.closeSockets() // who waits there is told nothing, but waits no more
	}
	return false, err
}

func (s *Server) drain(rest time.Duration) {
	for _, d := range s.allDoors() {
		d.Drain(rest)
	}
}

func (s *Server) abort() {
	for _, d := range s.allDoors() {
		d.Abort()
	}
}

func (s *Server) allDoors() []door {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doors
}

// halfOf is a time, but at most half of what is left until ctx ends.
func halfOf(ctx context.Context, t time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(t, max(0, time.Until(deadline)/2))
	}
	return t
}

// end makes an end of what takes many steps: backups, and looks at all topics.
func (s *Server) end() {
	s.gate.End()
	s.redis.End()
}

// Stats reports what the server has done.
func (s *Server) Stats() Stats {
	st := s.gate.Stats()
	st.Backups = s.redis.Backups()
	return st
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
	st := s.gate.Stats()
	add(s.gate.Untaken.Load(), "connection that does not take its answers",
		"connections that do not take their answers")
	add(st.InFlight, "request that the disk has not decided", "requests that the disk has not decided")
	if s.redis.IsBackingUp() {
		add(1, "backup", "backups")
	}
	if len(all) == 0 {
		add(st.Connections, "connection that does not end", "connections that do not end")
	}
	if len(all) == 0 {
		return "its own end"
	}
	return strings.Join(all, ", ")
}

// Alive returns nil when every worker has gone round once more, and ctx's error if that takes
// longer: one hangs, or waits for the disk. A server that does not serve has no worker that could
// hang.
func (s *Server) Alive(ctx context.Context) error {
	for _, d := range s.allDoors() {
		rounds := d.Rounds()
		for range cap(rounds) {
			select {
			case <-rounds:
			case <-s.ran:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
