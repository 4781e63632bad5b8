package blocking

import (
	"net"
	"testing"
	"time"

	"gcd/server/internal/gate"
)

// Datagrams that are refused take no place among what is in flight, and shorten nobody's turns: who
// may nothing can send as many as he likes.
func TestRefusedDatagramsCostNobodyElse(t *testing.T) {
	t.Parallel()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	d, client := newDispatcher(new(backend)), listen()
	d.udp = listen()
	d.Open()
	peer := gate.Peer{Addr: client.LocalAddr().(*net.UDPAddr).AddrPort()}
	g := d.o.Gate
	g.Began = g.Began.Add(-time.Hour) // so that who asks is remembered
	for range 10 {
		d.take([]byte{99}, nil, peer)
	}
	if g.IsShared(time.Hour) { // a moment that was before each of them
		t.Error("who was refused is one who asks for little")
	}
	d.take([]byte{0, 'x'}, nil, peer)
	d.wg.Wait()
	if !g.IsShared(time.Hour) {
		t.Error("who had a count done is not one who asks for little")
	}
	if st := g.Stats(); st.Refused[2] != 10 || st.Answered != 1 || st.InFlight != 0 {
		t.Errorf("counted %+v", st)
	}
}
