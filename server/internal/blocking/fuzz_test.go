package blocking

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"gcd/internal/certs/certstest"
	"gcd/server/internal/gate"
)

// firstFlight is what a client of TLS begins with.
type firstFlight struct {
	net.Conn
	sent []byte
}

func (f *firstFlight) Write(b []byte) (int, error) {
	f.sent = append(f.sent, b...)
	return len(b), nil
}

func (f *firstFlight) Read([]byte) (int, error) { return 0, net.ErrClosed }

// FuzzFirstBytes has clients begin with anything, in two pieces: no connection ends the server or
// keeps its place, and nothing is counted that was not asked for in clear.
func FuzzFirstBytes(f *testing.F) {
	config := &tls.Config{Certificates: []tls.Certificate{certstest.SelfSigned(certstest.Leaf{}).TLS}}
	var hello firstFlight
	_ = tls.Client(&hello, &tls.Config{InsecureSkipVerify: true}).Handshake() // nobody answers
	for _, cut := range []int{0, 1, 5, 6, len(hello.sent) / 2, len(hello.sent)} {
		f.Add(hello.sent[:cut], hello.sent[cut:])
	}
	f.Add([]byte("\x16"), []byte("\x03\x01\x00\x00"))
	f.Add(hello.sent, []byte("\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x10aaaaaaaaaaaaaaaa"))
	f.Add([]byte("\x00orders"), []byte{})
	f.Add([]byte("INCR orders\r\n"), []byte("\x16"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := newDispatcher(new(backend))
		d.o.TLS = config
		peer := gate.Peer{Addr: netip.MustParseAddrPort("127.0.0.1:4711")}
		from, code, _ := d.o.Gate.Enter(peer)
		c := newConn(d)
		c.begin(&script{pieces: []string{string(first), string(second)}, before: func() {}}, peer, from, code)
		c.run()
		st := d.o.Gate.Stats()
		if st.Panics+uint64(st.Connections)+uint64(st.InFlight)+uint64(st.Held) != 0 || len(d.handshakes) > 0 {
			t.Errorf("at the end: %+v, and %d handshakes compute", st, len(d.handshakes))
		}
		if len(first) > 0 && first[0] == 0x16 && st.Answered > 0 {
			t.Error("something was counted that came in no handshake")
		}
	})
}
