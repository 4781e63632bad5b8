package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"gcd/codec"
)

// A server that starts has its sockets before it has its counters, for who comes then. At first
// nobody is told anything: connections wait in the system's queue, with what they have sent, and
// are served when the counters are there, which takes a new directory some milliseconds; datagrams
// are dropped, since their clients send again, and each that was kept would count. Who has waited
// for holdTime is told that it takes longer.

const (
	// holdTime is how long who comes is told nothing, from when the sockets are open.
	holdTime = time.Second
	// loadingConns is how many connections are told at a time that the server is loading; further
	// ones wait to be accepted.
	loadingConns = 64
	// loadingTime is how long such a connection may take to say something, and to have read what it
	// is told.
	loadingTime = time.Second
)

// AnswerLoading opens the sockets. Who comes is served when Serve is called, or told after a second
// that the counters are not loaded yet (code 14, or LOADING to a client of RESP), until stop is
// called; Use, Serve and Shutdown do that, too.
func (s *Server) AnswerLoading() (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return nil, err
	}
	if s.stopLoading != nil {
		return s.stopLoading, nil
	}
	l := &loading{s: s, tcp: s.tcp, udp: s.udp, until: time.Now().Add(s.hold), over: make(chan struct{})}
	if l.tcp != nil {
		l.wg.Go(l.accept)
	}
	if l.udp != nil {
		l.wg.Go(l.receive)
	}
	s.stopLoading = sync.OnceFunc(l.stop)
	return s.stopLoading, nil
}

// loading is what has the sockets of a server that starts.
type loading struct {
	s     *Server
	tcp   *net.TCPListener // nil when off
	udp   *net.UDPConn     // likewise
	until time.Time        // nobody is told anything before
	over  chan struct{}    // closed by stop
	wg    sync.WaitGroup   // accept and receive
}

// stop lets go of the sockets. Connections that are being told are not waited for: Server.tellers
// does.
func (l *loading) stop() {
	close(l.over)
	past := time.Unix(1, 0)
	if l.tcp != nil {
		l.tcp.SetDeadline(past)
	}
	if l.udp != nil {
		l.udp.SetReadDeadline(past)
	}
	l.wg.Wait()
	if l.tcp != nil {
		l.tcp.SetDeadline(time.Time{})
	}
	if l.udp != nil {
		l.udp.SetReadDeadline(time.Time{})
	}
}

// wait waits for a time, and returns false if loading is over before that.
func (l *loading) wait(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.over:
		return false
	}
}

// accept tells connections when they have waited.
func (l *loading) accept() {
	if !l.wait(time.Until(l.until)) {
		return
	}
	l.s.log.Info("loading: clients are told to try again", "tcp", addrText(l.tcp.Addr()))
	places := make(chan struct{}, loadingConns)
	var failing backoff
	for {
		select {
		case places <- struct{}{}:
		case <-l.over:
			return
		}
		conn, err := l.tcp.AcceptTCP()
		if err != nil {
			<-places
			if isTimeout(err) || errors.Is(err, net.ErrClosed) {
				return
			}
			l.s.journal.happened(acceptError, netip.AddrPort{}, err)
			if !l.wait(failing.next()) {
				return
			}
			continue
		}
		failing.reset()
		l.s.tellers.Go(func() {
			l.s.tell(conn, codec.CodeLoading, l.s.loadingTime)
			<-places
		})
	}
}

// tell answers whatever a client says first, and within a time, with a refusal because the server
// is not there yet, or not any more. What is there already is answered also when no time is left.
func (s *Server) tell(conn *net.TCPConn, code codec.Code, patience time.Duration) {
	defer conn.Close()
	buf := make([]byte, firstRead)
	n, err := look(conn, buf)
	until := time.Now().Add(max(patience, crowded))
	conn.SetDeadline(until)
	if isTimeout(err) && patience > 0 {
		n, err = conn.Read(buf)
	}
	s.traffic.took(n)
	if err != nil {
		return
	}
	peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	if s.speaksRESP(buf[0]) {
		err = s.tellCommands(conn, peer, code, buf[:n], until)
		conn.SetReadDeadline(until)
	} else {
		s.journal.refusedMessage(code, peer, buf[:n])
		n, err = conn.Write(codec.AppendRefusal(nil, code, advice(code)))
		s.traffic.gave(n)
	}
	if err != nil {
		return
	}
	conn.CloseWrite()
	_, _ = io.CopyN(io.Discard, conn, lingerBytes) // closing on unread bytes would destroy the answer
}

// tellCommands refuses each command that comes until the client is quiet, and if none is whole the
// one that has begun.
func (s *Server) tellCommands(
	conn *net.TCPConn, peer netip.AddrPort, code codec.Code, said []byte, until time.Time,
) error {
	x := &exchange{admission: s, client: &respClient{s: s, peer: peer, from: s.shares.of(peer.Addr()), told: code}}
	defer x.charge(0)
	var times commandTimes
	defer func() { times.settle(s.resp, 0) }()
	x.receive(said)
	buf := make([]byte, littleRead)
	for answered := false; ; {
		x.take()
		times.finish(x)
		answered = answered || len(x.out) > 0
		n, err := conn.Write(x.out)
		s.traffic.gave(n)
		if err != nil {
			return err
		}
		x.out = x.out[:0]
		if x.more {
			continue
		}
		x.compact()
		if !x.closing && x.hold(littleRead) {
			n, err := look(conn, buf)
			if quiet := time.Now().Add(s.opts.Settle); isTimeout(err) && quiet.Before(until) {
				conn.SetReadDeadline(quiet)
				n, err = conn.Read(buf)
			}
			s.traffic.took(n)
			if err == nil && time.Now().Before(until) {
				x.receive(buf[:n])
				continue
			}
		}
		if answered {
			return nil
		}
		s.journal.refused(code, peer, x.in)
		n, err = conn.Write(x.appendError(nil, refusalText(code)))
		s.traffic.gave(n)
		return err
	}
}

// receive drops datagrams, and tells their senders when they have waited.
func (l *loading) receive() {
	var failing backoff
	for {
		err := l.s.tellSenders(l.udp, codec.CodeLoading, l.until)
		if isTimeout(err) || errors.Is(err, net.ErrClosed) {
			return
		}
		l.s.journal.happened(receiveError, netip.AddrPort{}, err)
		if !l.wait(failing.next()) {
			return
		}
	}
}

// tellSenders refuses datagrams, and before a time drops them, until receiving fails.
func (s *Server) tellSenders(udp *net.UDPConn, code codec.Code, silentUntil time.Time) error {
	buf := make([]byte, maxRead)
	oob := make([]byte, 128)
	for {
		n, oobn, _, peer, err := udp.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			return err
		}
		s.traffic.took(n)
		if !s.answerable(buf[:n], peer) || time.Now().Before(silentUntil) {
			continue
		}
		if b := s.appendDatagramRefusal(nil, code, peer, buf[:n]); len(b) > 0 {
			n, _, err := udp.WriteMsgUDPAddrPort(b, answerControl(oob[:oobn]), peer)
			s.traffic.gave(n)
			if err != nil {
				s.journal.happened(lostAnswer, peer, err)
			}
		}
	}
}

// turnAway tells those who wait at the sockets of a server that ends without having served that it
// ends, for at most a time, and closes the sockets.
func (s *Server) turnAway(tcp *net.TCPListener, udp *net.UDPConn, patience time.Duration) {
	if udp != nil {
		_ = apply(udp, closeBox) // where that fails who comes in the last moment hears nothing
		udp.SetReadDeadline(time.Now().Add(min(lastMail, patience)))
		_ = s.tellSenders(udp, codec.CodeShuttingDown, time.Time{})
		udp.Close()
	}
	if tcp == nil {
		return
	}
	_ = apply(tcp, closeDoor) // likewise
	// All at once, or who says nothing would use up the time of those behind him.
	places := make(chan struct{}, max(loadingConns, s.opts.MaxConns))
	deadline := time.Now().Add(patience)
	_ = acceptQueued(tcp, func(conn *net.TCPConn) {
		places <- struct{}{}
		s.tellers.Go(func() {
			s.tell(conn, codec.CodeShuttingDown, min(s.firstByte, time.Until(deadline)))
			<-places
		})
	})
	tcp.Close()
}
