//go:build linux

package clients

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// relay stands between a client and the server, and loses one answer: that to the first command
// which has the word in it. The command reaches the server and is done; when the answer comes both
// connections end.
type relay struct {
	listener net.Listener
	server   string
	word     []byte

	lose  sync.Once
	conns sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // nil once the test is over
}

// startRelay starts a relay and returns its address.
func startRelay(t *testing.T, server, word string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, server: server, word: bytes.ToUpper([]byte(word)), open: map[net.Conn]bool{}}
	r.conns.Go(r.accept)
	t.Cleanup(func() {
		listener.Close()
		r.mu.Lock()
		for c := range r.open {
			c.Close()
		}
		r.open = nil
		r.mu.Unlock()
		r.conns.Wait()
	})
	return listener.Addr().String()
}

func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.server)
		if err != nil {
			near.Close()
			continue
		}
		if !r.keep(near, far) {
			return
		}
		lost := make(chan struct{}) // closed before the command that loses its answer is passed on
		r.conns.Go(func() { r.commands(near, far, lost) })
		r.conns.Go(func() { r.answers(near, far, lost) })
	}
}

// keep notes connections for the end of the test, and closes them when it has come.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.open == nil {
			c.Close()
		} else {
			r.open[c] = true
		}
	}
	return r.open != nil
}

func (r *relay) end(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(r.open, c)
	}
}

// commands passes on what the client sends.
func (r *relay) commands(near, far net.Conn, lost chan struct{}) {
	defer r.end(near, far)
	var tail []byte // the word may come in two pieces
	for buffer := make([]byte, 64<<10); ; {
		n, err := near.Read(buffer)
		tail = append(tail, buffer[:n]...)
		if bytes.Contains(bytes.ToUpper(tail), r.word) {
			r.lose.Do(func() { close(lost) })
		}
		tail = tail[max(0, len(tail)-len(r.word)+1):]
		if _, failed := far.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// answers passes on what the server answers. The answer that is to be lost is 1, since the topic is
// new.
func (r *relay) answers(near, far net.Conn, lost chan struct{}) {
	defer r.end(near, far)
	var kept []byte // from when an answer is to be lost
	for buffer := make([]byte, 64<<10); ; {
		n, err := far.Read(buffer)
		select {
		case <-lost:
			if kept = append(kept, buffer[:n]...); err != nil || bytes.HasSuffix(kept, []byte(":1\r\n")) {
				return
			}
			continue
		default:
		}
		if _, failed := near.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}
