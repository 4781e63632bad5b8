package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"gcd/server/internal/socket"
)

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
		config := net.ListenConfig{Control: socket.SetInherited, KeepAliveConfig: socket.Probing()}
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
		socket.PinSource(s.udp)
		socket.GrowReceiveBuffer(s.udp, s.log)
		s.udpAddr = c.LocalAddr()
	}
	if s.opts.Unix != "" {
		l, err := socket.ListenUnix(s.opts.Unix, s.opts.UnixMode)
		if err != nil {
			s.closeSockets()
			return fmt.Errorf("server: cannot listen at a unix socket: %w", err)
		}
		s.unix = l
	}
	s.listens = true
	return nil
}

// closeSockets closes those that no door has.
func (s *Server) closeSockets() {
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.udp != nil {
		s.udp.Close()
	}
	if s.unix != nil {
		s.unix.Close()
	}
	s.tcp, s.udp, s.unix = nil, nil, nil
}

// network keeps a server that was given an IPv4 address off IPv6: package net takes 0.0.0.0 for
// every address of both.
func network(name, addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().Is4() {
		return name + "4"
	}
	return name
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

// tcpPort is the port that the server listens on for TCP, 0 for none.
func (s *Server) tcpPort() int {
	if a, ok := s.TCPAddr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

func addrText(a net.Addr) string {
	if a == nil {
		return "off"
	}
	return a.String()
}
