package socket

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A closed box gives what came before, and answers it; who sends later hears that nobody listens.
func TestClosedBox(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ network, bind, host string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp4", "0.0.0.0:0", "127.0.0.1"},
		{"udp6", "[::1]:0", "::1"},
		{"udp", "[::]:0", "::1"},
		{"udp", "[::]:0", "127.0.0.1"}, // an IPv4 address through a socket for both families
	} {
		t.Run(test.bind+" "+test.host, func(t *testing.T) {
			t.Parallel()
			pc, err := net.ListenPacket(test.network, test.bind)
			if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
				t.Skip("this system has no IPv6: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			box := pc.(*net.UDPConn)
			PinSource(box)
			sender := func() *net.UDPConn {
				port := box.LocalAddr().(*net.UDPAddr).Port
				c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(test.host), Port: port})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				c.SetDeadline(time.Now().Add(time.Minute))
				return c
			}
			before, after := sender(), sender()
			if _, err := before.Write([]byte("before")); err != nil {
				t.Fatal(err)
			}
			if err := Apply(box, CloseBox); err != nil {
				t.Fatal(err)
			}
			if _, err := after.Write([]byte("after")); err != nil {
				t.Fatal(err)
			}
			if _, err := after.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("who sends later hears %v", err)
			}
			b, oob := make([]byte, 10), make([]byte, 128)
			box.SetDeadline(time.Now().Add(time.Minute))
			n, oobn, _, peer, err := box.ReadMsgUDPAddrPort(b, oob)
			if err != nil || string(b[:n]) != "before" {
				t.Fatalf("read was %q, %v, want the datagram from before", b[:n], err)
			}
			if _, _, err := box.WriteMsgUDPAddrPort([]byte("answer"), AnswerControl(oob[:oobn]), peer); err != nil {
				t.Fatal(err)
			}
			if n, err := before.Read(b); err != nil || string(b[:n]) != "answer" {
				t.Errorf("the answer is %q, %v", b[:n], err)
			}
		})
	}
}

// Behind a closed door those in the queue are let in, with what they have sent, and nobody else.
func TestClosedDoor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("queued")); err != nil {
			t.Fatal(err)
		}
	}
	err = Apply(l.(*net.TCPListener), CloseDoor)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Fatal(err)
	}
	n := 0
	if err := AcceptQueued(l.(*net.TCPListener), func(c net.Conn, peer netip.AddrPort) {
		defer c.Close()
		n++
		if want := c.RemoteAddr().String(); peer.String() != want {
			t.Errorf("the client is %v, want %v", peer, want)
		}
		b := make([]byte, 10)
		c.SetDeadline(time.Now().Add(time.Minute))
		if m, err := c.Read(b); err != nil || string(b[:m]) != "queued" {
			t.Errorf("read was %q, %v, want what the queued connection sent", b[:m], err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}
