package server

import (
	"net"
	"testing"
)

// The system is asked for room for datagrams, in each dispatch, and gives what it may, which is what it gives to any socket that asks.
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
		size, ok := receiveBufferOf(c)
		if !ok {
			t.Fatal("the system does not tell")
		}
		return size
	}
	want := sizeOf(true)
	if unasked := sizeOf(false); unasked >= want && want >= 4<<20 { // want is less where the system allows no more
		t.Errorf("a socket has %d bytes when nobody asks: this test shows nothing", unasked)
	}
	for _, d := range []Dispatch{Pool, Goroutine} {
		s, err := New(nil, Options{UDP: "127.0.0.1:0", Dispatch: d})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		if size, ok := receiveBufferOf(s.udp); !ok || size != want {
			t.Errorf("%s: %d bytes (%v), want %d", d, size, ok, want)
		}
		s.closeSockets()
	}
}
