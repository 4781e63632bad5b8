// Package clienttest is a counter server in memory, for the tests of programs that count: no
// process, no socket, no disk. It answers what gcd/client asks, as a gcd server does, and
// misbehaves when a test says so.
//
//	server := clienttest.NewServer()
//	defer server.Close()
//	c, err := server.NewClient(client.Options{})
//	defer c.Close()
//	n, err := c.Count(ctx, "orders") // 1
//
// Its connections are pipes of package net, so a client of it may live in a bubble of
// testing/synctest, where its time-outs take no time.
package clienttest

import (
	"context"
	"errors"
	"net"
	"sync"

	"gcd/client"
	"gcd/codec"
)

// Server is a counter server in memory. It is safe for many goroutines. Each connection has a
// goroutine; Close waits for them.
type Server struct {
	running sync.WaitGroup

	mu       sync.Mutex
	topics   map[string]client.TopicInfo
	conns    map[net.Conn]struct{}
	closed   bool
	stopped  bool          // it is away
	hanging  chan struct{} // closed when it goes on; nil if it does not hang
	refusal  codec.Code    // by which it refuses what counts or resets; 0 if it does not
	token    string        // that a connection has to give; "" if it need not
	lose     int           // how many more commands that change something lose their answers
	accepted int
}

// NewServer returns a server that has no topics. Close ends it.
func NewServer() *Server {
	return &Server{topics: make(map[string]client.TopicInfo), conns: make(map[net.Conn]struct{})}
}

// NewClient returns a client of the server, which the caller closes. Of the options Dial is the
// server's, and Network may be "tcp", but not "udp".
func (s *Server) NewClient(opts client.Options) (*client.Client, error) {
	opts.Dial = s.Dial
	return client.New("clienttest", opts)
}

// Dial connects to the server, for client.Options.Dial; the network and the address are not looked
// at.
func (s *Server) Dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.stopped {
		return nil, errors.New("clienttest: the server is away")
	}
	ours, theirs := net.Pipe()
	s.conns[ours] = struct{}{}
	s.accepted++
	s.running.Go(func() {
		s.serve(ours)
		ours.Close()
		s.mu.Lock()
		delete(s.conns, ours)
		s.mu.Unlock()
	})
	return theirs, nil
}

// Connections is how many connections there were.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Topic is what the server knows of a topic.
func (s *Server) Topic(name string) client.TopicInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics[name]
}

// SetTopic gives a topic a sum and an epoch, as if it had come to them by counting.
func (s *Server) SetTopic(name string, info client.TopicInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[name] = info
}

// Refuse has the server refuse each count and each reset with the code, until Refuse(0); and PING
// too, where the code says that nothing can be counted.
func (s *Server) Refuse(code codec.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = code
}

// RequireToken has the server refuse all but PING on each connection that has not given this token:
// what comes without is not authenticated. With "" it asks for none again, and refuses those that
// are given, as a server does that does not ask who comes.
func (s *Server) RequireToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// LoseAnswers has the server do the next n counts and resets and end the connection instead of
// answering them: their outcome is unknown to the client.
func (s *Server) LoseAnswers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Hang has the server do and answer nothing, on any connection, until Resume.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hanging == nil {
		s.hanging = make(chan struct{})
	}
}

// Resume ends what Hang began.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goOn()
}

func (s *Server) goOn() {
	if s.hanging != nil {
		close(s.hanging)
		s.hanging = nil
	}
}

// Stop ends all connections and makes no more, as a server that was killed. What is counted stays.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.hangUp()
}

// Start ends what Stop began.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = false
}

func (s *Server) hangUp() {
	for conn := range s.conns {
		conn.Close()
	}
}

// Close ends the server and waits for its goroutines. It may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.goOn()
	s.hangUp()
	s.mu.Unlock()
	s.running.Wait()
}

// serve talks on a connection until it ends. The first byte tells which protocol it is.
func (s *Server) serve(conn net.Conn) {
	buf := make([]byte, codec.MaxMessage+1)
	n, err := conn.Read(buf)
	switch {
	case err != nil:
	case codec.Op(buf[0]) == codec.OpCount || codec.Op(buf[0]) == codec.OpReset:
		s.serveMessage(conn, buf[:n]) // the client sends it in one write
	default:
		s.serveRESP(conn, buf[:n])
	}
}

// wait waits while the server hangs.
func (s *Server) wait() {
	s.mu.Lock()
	hanging := s.hanging
	s.mu.Unlock()
	if hanging != nil {
		<-hanging
	}
}

// serveMessage answers one message of the counter protocol.
func (s *Server) serveMessage(conn net.Conn, msg []byte) {
	request, err := codec.ParseRequest(msg)
	var refusal *codec.RefusalError
	if errors.As(err, &refusal) {
		conn.Write(codec.AppendRefusal(nil, refusal.Code, refusal.Text))
		return
	}
	s.wait()
	n := uint64(1)
	if request.Op == codec.OpReset {
		n = 0
	}
	s.mu.Lock()
	var sum uint64
	code, lost := codec.CodeNotAuthenticated, false
	if s.token == "" {
		sum, code, lost = s.apply(string(request.Topic), n)
	}
	s.mu.Unlock()
	switch {
	case lost:
	case code != 0:
		conn.Write(codec.AppendRefusal(nil, code, code.Advice()))
	case n == 0:
		conn.Write(codec.AppendResetReply(nil))
	default:
		conn.Write(codec.AppendCountReply(nil, sum))
	}
}

// apply adds n to a topic's sum, or resets it where n is 0. A code is a refusal; lost says that
// what answers is not to be sent. s.mu is held.
func (s *Server) apply(topic string, n uint64) (sum uint64, refused codec.Code, lost bool) {
	info := s.topics[topic]
	switch {
	case s.refusal != 0:
		return 0, s.refusal, false
	case n == 0:
		info = client.TopicInfo{Epoch: info.Epoch + 1}
	case info.Sum+n < n:
		return 0, codec.CodeSumAtMaximum, false
	default:
		info.Sum += n
	}
	s.topics[topic] = info
	if s.lose > 0 {
		s.lose--
		return 0, 0, true
	}
	return info.Sum, 0, false
}
