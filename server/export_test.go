package server

import (
	"net"
	"net/netip"
	"time"

	"gcd/codec"
)

const LingerBytes = lingerBytes

// HavePool says whether this system has readiness loops.
const HavePool = havePool

// The places where tests put faults and stretch time; to be called before Serve.

func (s *Server) SetParse(f func([]byte) (codec.Request, error)) { s.parse = f }

func (s *Server) SetBeforeAccept(f func() error) { s.beforeAccept = f }

func (s *Server) SetLinger(d time.Duration) { s.linger = d }

// ShortTurns ends the turn of a connection with each command that is answered at once.
func (s *Server) ShortTurns() { s.fullTime, s.sharedTime = 0, 0 }

// LongTurns lets the turn of a connection take any time.
func (s *Server) LongTurns() { s.fullTime, s.sharedTime = time.Hour, time.Hour }

func (s *Server) SetProcessors(n int) { s.processors = n }

func (s *Server) SetLoadingTime(d time.Duration) { s.loadingTime = d }

// DoorCloses tells whether the system has what closeDoor needs.
func DoorCloses() bool {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return false
	}
	defer l.Close()
	return havePool && apply(l.(*net.TCPListener), closeDoor) == nil
}

func (s *Server) SetHold(d time.Duration) { s.hold = d }

// SetParting may come later, too, before a Shutdown.
func (s *Server) SetParting(d time.Duration) { s.parting = d }

// EndParting ends the time in which a server that stops goes on to read; it comes behind Shutdown.
func (s *Server) EndParting() { s.dispatch.drain(0) }

func (s *Server) SetFirstByte(d time.Duration) { s.firstByte = d }

// Send sends a datagram from the server's own socket; it comes between Listen and Serve.
func (s *Server) Send(msg []byte, to net.Addr) error {
	_, err := s.udp.WriteTo(msg, to)
	return err
}

// SetCommand adds a command of RESP.
func (s *Server) SetCommand(name string, run func()) {
	s.resp.commands[name] = &command{name: name, run: func(*exchange) { run() }}
}

// Rejected is how many commands of that name were refused before they were run.
func (s *Server) Rejected(name string) uint64 { return s.resp.commands[name].use.rejected.Load() }

// MayBackUp tells whether a client may have a backup.
func MayBackUp(allowed bool, peer netip.Addr) bool {
	return (&Options{AllowBackup: allowed}).mayBackUp(peer)
}

// BackUp sends a backup over a connection.
func (s *Server) BackUp(conn backupConn, format string) bool {
	return s.backUp(conn, netip.AddrPort{}, format)
}
