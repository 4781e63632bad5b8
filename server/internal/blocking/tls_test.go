package blocking

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"gcd/server/internal/gate"
)

// said is a script that remembers what it is told.
type said struct {
	script
	told bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) { return s.told.Write(b) }

// A client from elsewhere that has to come within TLS and does not is told so, in its language.
func TestClearIsRefused(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x00orders":      "\xff\x15TLS required: connect with TLS",
		"INCR orders\r\n": "-ERR TLS required\r\n",
	} {
		d := newDispatcher(new(backend))
		d.o.TLS, d.o.RequireTLS = new(tls.Config), true
		peer := gate.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:4711")}
		from, code, _ := d.o.Gate.Enter(peer)
		s := &said{script: script{pieces: []string{in}, before: func() {}}}
		c := newConn(d)
		c.begin(s, peer, from, code)
		c.run()
		if got := s.told.String(); got != want {
			t.Errorf("%q is told %q, want %q", in, got, want)
		}
		if st := d.o.Gate.Stats(); st.Answered != 0 || st.Connections != 0 {
			t.Errorf("%d are answered, %d connections are left", st.Answered, st.Connections)
		}
	}
}

// Who waits for a turn to compute has it in order, and gives up when there is no time left.
func TestTurnsOfHandshakes(t *testing.T) {
	t.Parallel()
	d := newDispatcher(new(backend))
	one, other := turn{&conn{d: d, deadline: time.Now().Add(time.Hour)}}, turn{&conn{d: d}}
	if err := one.Take(); err != nil {
		t.Fatal(err)
	}
	other.c.deadline = time.Now()
	if err := other.Take(); !isTimeout(err) {
		t.Errorf("without time it gets %v", err)
	}
	other.c.deadline = time.Now().Add(time.Hour)
	got := make(chan error, 1)
	go func() { got <- other.Take() }()
	one.Give()
	if err := <-got; err != nil {
		t.Error(err)
	}
	d.o.FirstByte = time.Millisecond
	go func() { got <- one.Take() }()
	d.Drain(0)
	if err := <-got; !isTimeout(err) {
		t.Errorf("at the end of the server it gets %v", err)
	}
}
