package server

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/server/internal/socket"
)

// receiveBuffer is what the system says of it.
func receiveBuffer(t *testing.T, c *net.UDPConn) (bytes int) {
	t.Helper()
	if err := socket.Apply(c, func(fd int) (err error) {
		bytes, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return bytes
}

// listening is a server that listens, and serves nobody.
func listening(t *testing.T) *Server {
	t.Helper()
	s, err := New(nil, Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.tcp.Close()
		s.udp.Close()
	})
	return s
}

// The system is asked for room for datagrams, and gives what it may, which is what it gives to any
// socket that asks.
func TestReceiveBuffer(t *testing.T) {
	t.Parallel()
	sizeOf := func(ask bool) int {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if ask {
			if err := c.SetReadBuffer(4 << 20); err != nil {
				t.Fatal(err)
			}
		}
		return receiveBuffer(t, c)
	}
	want := sizeOf(true)
	if unasked := sizeOf(false); unasked >= want && want >= 4<<20 { // want is less where the system allows no more
		t.Errorf("a socket has %d bytes when nobody asks: this test shows nothing", unasked)
	}
	if size := receiveBuffer(t, listening(t).udp); size != want {
		t.Errorf("%d bytes, want %d", size, want)
	}
}

// A connection takes over what the listener has, from the first on: a loop sets nothing on it.
func TestConnectionsInherit(t *testing.T) {
	t.Parallel()
	s := listening(t)
	client, err := net.Dial("tcp", s.TCPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := -1
	if err := socket.Apply(s.tcp, func(listener int) error {
		for {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}, 1000)
			if c, _, err = epoll.Accept(listener); err != unix.EAGAIN {
				return err
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	for _, o := range []struct {
		name               string
		level, value, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 300},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 100},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
	} {
		if got, err := unix.GetsockoptInt(c, o.level, o.value); got != o.want || err != nil {
			t.Errorf("%s is %d (%v), want %d", o.name, got, err, o.want)
		}
	}
}
