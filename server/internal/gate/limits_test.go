package gate

import (
	"net/netip"
	"testing"
	"time"

	"gcd/codec"
)

func TestSource(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1",
		"::ffff:192.0.2.1":        "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::",
		"2001:db8:1:2:ffff::9":    "2001:db8:1:2::",
		"fe80::1%eth0":            "fe80::",
		"2001:db8:1:3:3:4:5:6":    "2001:db8:1:3::",
		"::ffff:10.0.0.1":         "10.0.0.1",
		"0000:0000:0000::7f00:01": "::",
	} {
		if got := peerAt(addr).source(); got != netip.MustParseAddr(want) {
			t.Errorf("source of %s is %v, want %s", addr, got, want)
		}
	}
}

func TestRefusalLimit(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := newRefusals(10)
	one, two := peerAt("192.0.2.1"), peerAt("192.0.2.2")
	allowed := func(peer Peer, tries int) (n int) {
		for range tries {
			if l.allow(peer, now) {
				n++
			}
		}
		return n
	}
	if got := allowed(one, 50); got != 10 {
		t.Errorf("%d at once, want 10", got)
	}
	if got := allowed(two, 50); got != 10 {
		t.Errorf("another source got %d, want 10", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got := allowed(one, 50); got != 5 {
		t.Errorf("%d after half a second, want 5", got)
	}
}

// However many sources there are, the memory of them is bounded, and one that goes on is not
// forgotten.
func TestRefusalLimitForgets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := newRefusals(1)
	persistent := peerAt("192.0.2.1")
	if !l.allow(persistent, now) {
		t.Fatal("the first is refused")
	}
	for i := range 10 * maxSources {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.allow(Peer{Addr: netip.AddrPortFrom(addr, 1)}, now)
		if i%100 == 0 && l.allow(persistent, now) {
			t.Fatalf("forgotten after %d others", i)
		}
		if n := len(l.young) + len(l.old); n > 2*maxSources {
			t.Fatalf("%d sources remembered, want at most %d", n, 2*maxSources)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	g := newSharing(t, 1, 1)
	p := &g.places
	p.init(5, 2)
	one, two, three := peerAt("192.0.2.1"), peerAt("192.0.2.2"), peerAt("192.0.2.3")
	lingering := 0
	for i, c := range []struct {
		peer Peer
		want codec.Code
	}{
		{one, 0}, {one, 0}, {one, codec.CodeTooManyConnsAddr}, {two, 0}, {two, 0}, {two, codec.CodeTooManyConnsAddr},
		{three, 0}, {three, codec.CodeTooManyConns}, {one, codec.CodeTooManyConns}, {one, codec.CodeTooManyConns},
		{one, codec.CodeTooManyConns},
	} {
		_, got, lingers := g.Enter(c.peer)
		if got != c.want || lingers != (got != 0 && lingering < 5) {
			t.Errorf("connection %d: code %d, lingers %v; want %d", i, got, lingers, c.want)
		}
		if lingers {
			lingering++
		}
	}
	if lingering != 5 {
		t.Errorf("%d linger, want 5", lingering)
	}
	for range lingering {
		g.LeaveLingering()
	}
	for _, peer := range []Peer{one, one, two, two, three} {
		g.Leave(peer)
	}
	if p.open() != 0 || len(p.sources) != 0 {
		t.Errorf("%d open, %d sources after all have left", p.open(), len(p.sources))
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	var b Backoff
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
		if got := b.Next(); got != want*time.Millisecond {
			t.Errorf("pause of %v, want %v", got, want*time.Millisecond)
		}
	}
	b.Reset()
	if got := b.Next(); got != 5*time.Millisecond {
		t.Errorf("pause of %v after a success, want 5ms", got)
	}
}

func newRefusals(perSecond int) *sourceLimit {
	l := newSourceLimit(perSecond, perSecond, nil)
	return &l
}

func peerAt(addr string) Peer { return Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)} }
