package counter

import (
	"net/netip"
	"testing"

	"github.com/hashicorp/go-hclog"

	"gcd/server/internal/gate"
)

func TestDatagramsThatMayNotBeAnswered(t *testing.T) {
	t.Parallel()
	somebody := gate.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:4711")}
	nobody := gate.Peer{Addr: netip.AddrPortFrom(somebody.Addr.Addr(), 0)}
	p := Protocol{Gate: gate.New(gate.Options{Logger: hclog.NewNullLogger()})}
	for _, c := range []struct {
		msg  []byte
		peer gate.Peer
		want bool
	}{
		{nil, somebody, false},
		{[]byte{128}, somebody, false},
		{[]byte{255, 1}, somebody, false},
		{[]byte{0}, nobody, false},
		{[]byte{99}, nobody, false},
		{[]byte{0}, somebody, true},
		{[]byte{127}, somebody, true},
	} {
		if got := p.IsAnswerable(c.msg, c.peer); got != c.want {
			t.Errorf("% x from %v: %v, want %v", c.msg, c.peer, got, c.want)
		}
	}
	st := p.Gate.Stats()
	if st.EmptyDatagrams != 1 || st.ReplyDatagrams != 2 || st.PortZeroDatagrams != 2 {
		t.Errorf("counted %+v", st)
	}
}
