package server

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The system is asked for room for datagrams, in each dispatch, and gives what it may.
func TestReceiveBuffer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Skip(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Dispatch{Pool, Goroutine} {
		s, err := New(nil, Options{UDP: "127.0.0.1:0", Dispatch: d})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		if size, ok := receiveBufferOf(s.udp); !ok || size != min(receiveBuffer, most) {
			t.Errorf("%s: %d bytes (%v), want %d", d, size, ok, min(receiveBuffer, most))
		}
		s.closeSockets()
	}
	plain, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if size, _ := receiveBufferOf(plain); size >= min(receiveBuffer, most) && most > size {
		t.Errorf("a socket has %d bytes when nobody asks: this test shows nothing", size)
	}
}
