package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gcd/codec"
)

const (
	// loadingConns is how many connections are told at a time that the server is loading; further ones wait to be accepted.
	loadingConns = 64
	// loadingTime is how long such a connection may take to say something, and to have read what it is told.
	loadingTime = time.Second
)

// loadingRESP is what Redis says in this situation; its clients know to try again.
const loadingRESP = "-LOADING gcd is loading its counters, try again soon\r\n"

// AnswerLoading opens the sockets and tells every client that the counters are not loaded yet (code 14, or LOADING to a client of
// RESP), until stop is called, which waits until nobody is being told any more. Use and Serve come after that. Connections that were
// not accepted by then are served.
func (s *Server) AnswerLoading() (stop func(), err error) {
	if err := s.Listen(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	tcp, udp := s.tcp, s.udp
	s.mu.Unlock()
	var wg sync.WaitGroup
	if tcp != nil {
		wg.Go(func() { s.acceptLoading(tcp) })
	}
	if udp != nil {
		wg.Go(func() { s.receiveLoading(udp) })
	}
	return func() {
		past := time.Unix(1, 0)
		if tcp != nil {
			tcp.SetDeadline(past)
		}
		if udp != nil {
			udp.SetReadDeadline(past)
		}
		wg.Wait()
		if tcp != nil {
			tcp.SetDeadline(time.Time{})
		}
		if udp != nil {
			udp.SetReadDeadline(time.Time{})
		}
	}, nil
}

func (s *Server) acceptLoading(tcp *net.TCPListener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	places := make(chan struct{}, loadingConns)
	var failing backoff
	for {
		places <- struct{}{}
		conn, err := tcp.AcceptTCP()
		if err != nil {
			<-places
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				return
			}
			s.journal.happened(acceptError, netip.AddrPort{}, err)
			time.Sleep(failing.next())
			continue
		}
		failing.reset()
		conns.Go(func() {
			s.tellLoading(conn)
			<-places
		})
	}
}

// tellLoading answers whatever a client says first.
func (s *Server) tellLoading(conn *net.TCPConn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(s.loadingTime))
	buf := make([]byte, firstRead)
	n, err := conn.Read(buf)
	if err != nil {
		return
	}
	answer := []byte(loadingRESP)
	if !s.speaksRESP(buf[0]) {
		answer = codec.AppendRefusal(nil, codec.CodeLoading, "try again soon")
	}
	s.journal.refused(codec.CodeLoading, conn.RemoteAddr().(*net.TCPAddr).AddrPort(), buf[:n])
	if _, err := conn.Write(answer); err != nil {
		return
	}
	conn.CloseWrite()
	_, _ = io.CopyN(io.Discard, conn, lingerBytes) // closing on unread bytes would destroy the answer
}

func (s *Server) receiveLoading(udp *net.UDPConn) {
	buf := make([]byte, maxRead)
	oob := make([]byte, 128)
	var failing backoff
	for {
		n, oobn, _, peer, err := udp.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				return
			}
			s.journal.happened(receiveError, netip.AddrPort{}, err)
			time.Sleep(failing.next())
			continue
		}
		failing.reset()
		if !s.answerable(buf[:n], peer) {
			continue
		}
		if b := s.appendDatagramRefusal(nil, codec.CodeLoading, peer, buf[:n]); len(b) > 0 {
			if _, _, err := udp.WriteMsgUDPAddrPort(b, answerControl(oob[:oobn]), peer); err != nil {
				s.journal.happened(lostAnswer, peer, err)
			}
		}
	}
}
