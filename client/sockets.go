package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// idleSockets is how many sockets are kept before the first is used again. The longer one is
	// kept the later may an answer come that nobody waits for any more, and still be found before
	// the socket's next call begins.
	idleSockets = 64

	// localTimeout bounds what comes before a datagram is out: finding the address of the server's
	// name, and handing the datagram to the operating system.
	localTimeout = 5 * time.Second
)

// sockets opens UDP sockets and keeps them between calls. An idle socket is a port that nobody else
// gets, so an answer to its last call, however late, reaches nobody.
type sockets struct {
	addr    string
	anyPort bool

	mu   sync.Mutex
	idle []*socket // oldest first
}

// socket is a UDP socket that belongs to one call at a time.
type socket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	// server is who to send to and whose host to hear, of a socket that accepts answers from any
	// port; otherwise the socket is connected and server is not valid.
	server netip.AddrPort
	// usable: everything sent was answered. Guarded by sockets.mu while the socket is idle.
	usable bool
}

func newSockets(addr string, anyPort bool) *sockets {
	return &sockets{addr: addr, anyPort: anyPort}
}

// take returns a socket on which nothing is under way. ctx bounds opening one.
func (p *sockets) take(ctx context.Context) (*socket, error) {
	for s := p.longestIdle(); s != nil; s = p.longestIdle() {
		if s.usable && s.quiet() {
			return s, nil
		}
		s.conn.Close()
	}
	return p.open(ctx)
}

// longestIdle takes out the socket that has been idle longest, nil if too few are.
func (p *sockets) longestIdle() *socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < idleSockets {
		return nil
	}
	s := p.idle[0]
	p.idle[0] = nil
	p.idle = p.idle[1:]
	return s
}

// put keeps a socket open after a call. clean reports whether the call received one answer for each
// datagram it sent, and nothing else. Of a socket that accepts answers from any port it cannot be
// known who the answers were for: it has one call.
func (p *sockets) put(s *socket, clean bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.usable = clean && !s.server.IsValid()
	p.idle = append(p.idle, s)
}

// mistrust makes later calls open new sockets. It is for when a call was left without any answer:
// the server's name may by now belong to another address than the one that the idle sockets are
// connected to.
func (p *sockets) mistrust() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.usable = false
	}
}

func (p *sockets) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.conn.Close()
	}
	p.idle = nil
}

func (p *sockets) open(ctx context.Context) (*socket, error) {
	dialer := net.Dialer{Timeout: localTimeout}
	dialed, err := dialer.DialContext(ctx, "udp", p.addr)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: dialed.(*net.UDPConn)}
	if p.anyPort {
		// Connecting has found the server's address and the address of ours that leads there.
		local, remote := s.conn.LocalAddr().(*net.UDPAddr), s.conn.RemoteAddr().(*net.UDPAddr).AddrPort()
		s.conn.Close()
		s.server = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
		if s.conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: local.IP, Zone: local.Zone}); err != nil {
			return nil, err
		}
	}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("udp socket: %w", err)
	}
	return s, nil
}

func (s *socket) send(msg []byte) error {
	var err error
	if s.server.IsValid() {
		_, err = s.conn.WriteToUDPAddrPort(msg, s.server)
	} else {
		_, err = s.conn.Write(msg)
	}
	return err
}

// receive waits for a datagram from the server, from its host if any port will do, and cuts it to
// buf.
func (s *socket) receive(buf []byte) (int, error) {
	if !s.server.IsValid() {
		return s.conn.Read(buf)
	}
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil || from.Addr().Unmap() == s.server.Addr() {
			return n, err
		}
	}
}
