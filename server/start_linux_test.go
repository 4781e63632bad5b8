package server

import (
	"net"
	"testing"
)

// A server that could not start its doors leaves no socket open when it is shut down, and refuses
// nobody for the try.
func TestShutdownWithoutDoors(t *testing.T) {
	t.Parallel()
	s, err := New(nil, Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Workers: 1, Dispatch: Pool})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	s.udp.Close() // which makes the start fail
	if err := s.AnswerLoading(); err == nil || s.gate.Refusing.Load() != 0 {
		t.Errorf("AnswerLoading returns %v, and the code is %d", err, s.gate.Refusing.Load())
	}
	if err := s.Shutdown(t.Context()); err == nil {
		t.Error("Shutdown returns no error")
	}
	if c, err := net.Dial("tcp", s.TCPAddr().String()); err == nil {
		c.Close()
		t.Error("the socket is still open")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error("again:", err)
	}
}
