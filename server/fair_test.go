package server_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"gcd/codec"
	"gcd/server"
)

// dialFrom connects from another address of the loopback's network. Linux has all of it.
func dialFrom(t *testing.T, network string, from [4]byte, addr string) net.Conn {
	t.Helper()
	ip := net.IP(from[:])
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: ip}
	}
	c, err := d.Dial(strings.Replace(network, "resp", "tcp", 1), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return speak(network, c)
}

// While requests of one address take every place there is, one of another address is let in and the
// first hears that there are too many.
func TestFloodOfOneAddressLeavesRoomForAnother(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this needs addresses of the loopback's network")
	}
	t.Parallel()
	eachCell(t, func(t *testing.T, network string, o server.Options) {
		const most = 64
		o.MaxInFlight = most
		o.RefusalRate = 1000
		s, f := serveFake(t, o)
		defer f.unblock()
		f.block()
		first := dialFrom(t, network, [4]byte{127, 0, 0, 2}, s.addr(network))
		send(t, first, count("flood"))
		eventually(t, "a commit is under way", f.isStuck)
		flood := []net.Conn{first}
		for range most + 19 {
			c := dialFrom(t, network, [4]byte{127, 0, 0, 2}, s.addr(network))
			send(t, c, count("flood"))
			flood = append(flood, c)
		}
		eventually(t, "one alone has taken all places", func() bool {
			return s.Stats().InFlight == most && s.Stats().Refused[codec.CodeTooManyRequests] == 20
		})
		innocent := dialFrom(t, network, [4]byte{127, 0, 0, 3}, s.addr(network))
		send(t, innocent, count("orders"))
		eventually(t, "another is let in", func() bool { return s.Stats().InFlight == most+1 })
		again := dialFrom(t, network, [4]byte{127, 0, 0, 2}, s.addr(network))
		send(t, again, count("flood"))
		wantRefusal(t, network, answer(t, again), 8)
		f.unblock()
		wantAnswer(t, answer(t, innocent), 128, 1)
		eventually(t, "nothing is in flight", func() bool { return s.Stats().InFlight == 0 })
		if n := f.state()["flood"]; n != most {
			t.Errorf("%d of the flood were counted, want %d", n, most)
		}
	})
}

// Connections of one address that have pipelines of many commands under way, and are reset at once,
// leave room for a count of the same address; what they asked for and had its turn is counted all
// the same.
func TestFloodOfPipelinesLeavesRoom(t *testing.T) {
	t.Parallel()
	eachDispatch(t, func(t *testing.T, o server.Options) {
		const most, clients, each = 1000, 25, 200
		o.MaxInFlight = most
		s, f := serveFake(t, o)
		defer f.unblock()
		f.block()
		first := dialRESP(t, s, 2)
		send(t, first, []byte("INCR first\r\n"))
		eventually(t, "a commit is under way", f.isStuck)
		for i := range clients {
			before := s.Stats().InFlight
			c := dial(t, "tcp", s.addr("tcp"))
			send(t, c, []byte(long(array("INCR", fmt.Sprint("flood", i)), each)))
			eventually(t, "it has its turn", func() bool { return s.Stats().InFlight > before })
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
			innocent := dial(t, "tcp", s.addr("tcp"))
			before = s.Stats().InFlight
			send(t, innocent, []byte("INCR innocent\r\n"))
			eventually(t, "a count has its turn", func() bool { return s.Stats().InFlight == before+1 })
		}
		if st := s.Stats(); st.InFlight >= most || st.Refused[codec.CodeTooManyRequests] != 0 {
			t.Errorf("%d are in flight, %v were refused", st.InFlight, st.Refused)
		}
		f.unblock()
		readUntil(t, first, ":1\r\n")
		eventually(t, "nothing is in flight", func() bool { return s.Stats().InFlight == 0 })
		if n := f.state()["innocent"]; n != clients {
			t.Errorf("%d innocents were counted, want %d", n, clients)
		}
	})
}
