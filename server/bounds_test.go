package server

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
		if got := source(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("source of %s is %v, want %s", addr, got, want)
		}
	}
}

func TestRefusalLimit(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := newRefusalLimit(10)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	allowed := func(addr netip.Addr, tries int) (n int) {
		for range tries {
			if l.allow(addr, now) {
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

// However many sources there are, the memory of them is bounded, and one that goes on is not forgotten.
func TestRefusalLimitForgets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := newRefusalLimit(1)
	persistent := netip.MustParseAddr("192.0.2.1")
	if !l.allow(persistent, now) {
		t.Fatal("the first is refused")
	}
	for i := range 10 * maxSources {
		l.allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if i%100 == 0 && l.allow(persistent, now) {
			t.Fatalf("forgotten after %d others", i)
		}
		if n := len(l.young) + len(l.old); n > 2*maxSources {
			t.Fatalf("%d sources remembered, want at most %d", n, 2*maxSources)
		}
	}
}

func TestConnLimit(t *testing.T) {
	t.Parallel()
	l := newConnLimit(5, 2)
	one, two, three := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	for i, c := range []struct {
		addr netip.Addr
		want codec.Code
	}{
		{one, 0}, {one, 0}, {one, codec.CodeTooManyConnsAddr}, {two, 0}, {two, 0}, {two, codec.CodeTooManyConnsAddr},
		{three, 0}, {three, codec.CodeTooManyConns}, {one, codec.CodeTooManyConns},
	} {
		if got := l.acquire(c.addr); got != c.want {
			t.Errorf("connection %d: code %d, want %d", i, got, c.want)
		}
	}
	for _, addr := range []netip.Addr{one, one, two, two, three} {
		l.release(addr)
	}
	if l.open() != 0 || len(l.sources) != 0 {
		t.Errorf("%d open, %d sources after all were released", l.open(), len(l.sources))
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	var b backoff
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
		if got := b.next(); got != want*time.Millisecond {
			t.Errorf("pause of %v, want %v", got, want*time.Millisecond)
		}
	}
	b.reset()
	if got := b.next(); got != 5*time.Millisecond {
		t.Errorf("pause of %v after a success, want 5ms", got)
	}
}

func TestZeroOptions(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	if o.TCP != "127.0.0.1:5555" || o.UDP != "127.0.0.1:5555" || o.Dispatch != Pool || o.check() != nil {
		t.Errorf("the zero Options are %+v", o)
	}
	o = Options{UDP: "127.0.0.1:0"}.withDefaults()
	if o.TCP != "" {
		t.Errorf("TCP is %q, want off", o.TCP)
	}
}
