package server

import (
	"net"
	"net/netip"
	"time"

	"gcd/codec"
	"gcd/server/internal/blocking"
	"gcd/server/internal/dispatch"
	"gcd/server/internal/gate"
	"gcd/server/internal/loop"
	"gcd/server/internal/session"
	"gcd/server/internal/socket"
)

const LingerBytes = dispatch.LingerBytes

// HavePool says whether this system has readiness loops.
const HavePool = loop.Have

// The places where tests put faults and stretch time; to be called before Serve.

func (s *Server) SetParse(f func([]byte) (codec.Request, error)) { s.counter.Parse = f }

func (s *Server) SetBeforeAccept(f func() error) { s.beforeAccept = f }

func (s *Server) SetLinger(d time.Duration) { s.linger = d }

// ShortTurns ends the turn of a connection with each command that is answered at once.
func (s *Server) ShortTurns() { s.gate.FullTime, s.gate.SharedTime = 0, 0 }

// LongTurns lets the turn of a connection take any time.
func (s *Server) LongTurns() { s.gate.FullTime, s.gate.SharedTime = time.Hour, time.Hour }

func (s *Server) SetProcessors(n int) { s.processors = n }

// DoorCloses tells whether the system has what closing a door without a loss needs.
func DoorCloses() bool {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return false
	}
	defer l.Close()
	return loop.Have && socket.Apply(l.(*net.TCPListener), socket.CloseDoor) == nil
}

// Beside serves a listener with goroutines, beside the server's other doors, which are open. It
// returns a channel that is closed when nothing of that is left.
func (s *Server) Beside(l *net.TCPListener) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ran := blocking.New(s.dispatchOptions(), nil, l), make(chan struct{})
	s.doors = append(s.doors, d)
	d.Open()
	go func() {
		d.Run()
		close(ran)
	}()
	return ran
}

func (s *Server) SetHold(d time.Duration) { s.hold = d }

// SetParting may come later, too, before a Shutdown.
func (s *Server) SetParting(d time.Duration) { s.parting = d }

// EndParting ends the time in which a server that stops goes on to read; it comes after Shutdown.
func (s *Server) EndParting() { s.drain(0) }

func (s *Server) SetFirstByte(d time.Duration) { s.firstByte = d }

// Send sends a datagram from the server's own socket; it comes between Listen and Serve.
func (s *Server) Send(msg []byte, to net.Addr) error {
	_, err := s.udp.WriteTo(msg, to)
	return err
}

// SetCommand adds a command of RESP.
func (s *Server) SetCommand(name string, run func()) { s.redis.SetCommand(name, run) }

// Rejected is how many commands of that name were refused before they were run.
func (s *Server) Rejected(name string) uint64 { return s.redis.Rejected(name) }

// MayBackUp tells whether a client may have a backup.
func MayBackUp(allowed bool, peer netip.Addr) bool {
	return allowed || gate.Peer{Addr: netip.AddrPortFrom(peer, 1)}.IsLocal()
}

// BackUp sends a backup over a connection.
func (s *Server) BackUp(conn session.Conn, format string) bool {
	return s.redis.Backup(conn, gate.Who{}, gate.Peer{}, format)
}
