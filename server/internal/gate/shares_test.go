package gate

import (
	"net/netip"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// newSharing is a gate of which only the limit of what is in flight is used.
func newSharing(t testing.TB, requests, bytes int) *Gate {
	t.Helper()
	return New(Options{MaxInFlight: requests, MaxInFlightBytes: bytes, Logger: hclog.NewNullLogger()})
}

// of returns sources that do not share a place.
func sourcesOf(s *Gate, n int) (all []*Source) {
	seen := make(map[*Source]bool)
	for addr := netip.MustParseAddr("192.0.2.1"); len(all) < n; addr = addr.Next() {
		if from := s.Source(Peer{Addr: netip.AddrPortFrom(addr, 1)}); !seen[from] {
			seen[from] = true
			all = append(all, from)
		}
	}
	return all
}

// fill has a source ask for one request after the other, each of a connection of its own, until it
// is refused, and returns how many it got.
func fill(s *Gate, from *Source, clients, bytes int) (got int) {
	for s.Admit(Claim{from, clients, 1, bytes, Greedy}) {
		got++
	}
	return got
}

// wantUse checks what is in flight.
func wantUse(t *testing.T, s *Gate, clients, sources, requests, bytes int64) {
	t.Helper()
	got := [4]int64{s.shares.clients.Load(), s.shares.sources.Load(), s.inFlight.Load(), s.inFlightBytes.Load()}
	if want := [4]int64{clients, sources, requests, bytes}; got != want {
		t.Errorf("clients, sources, requests, bytes: %v, want %v", got, want)
	}
}

// Who is alone may have all, be it in one claim or in many, and no more than that.
func TestAloneMayHaveAll(t *testing.T) {
	t.Parallel()
	for _, limit := range []struct {
		name                  string
		requests, bytes, each int
	}{
		{"requests", 100, 1 << 20, 1},
		{"bytes", 1 << 20, 100 << 10, 1 << 10},
	} {
		t.Run(limit.name, func(t *testing.T) {
			s := newSharing(t, limit.requests, limit.bytes)
			one := sourcesOf(s, 1)[0]
			all := Claim{one, 1, 100, 100 * limit.each, Greedy}
			if !s.Admit(all) {
				t.Fatal("one claim of everything was refused")
			}
			if s.Admit(Claim{one, 1, 1, limit.each, Greedy}) {
				t.Error("there was more than everything")
			}
			s.Done(all)
			wantUse(t, s, 0, 0, 0, 0)
			if limit.each > littleBytes {
				return // many connections share
			}
			if got := fill(s, one, 1, limit.each); got != 100 {
				t.Errorf("one by one it got %d, want 100", got)
			}
			for range 100 {
				s.Done(Claim{one, 1, 1, limit.each, Greedy})
			}
			wantUse(t, s, 0, 0, 0, 0)
		})
	}
}

// Beyond half of the limit a source has its share and no more; who has nothing in flight gets in
// although the others have taken everything.
func TestSourcesShare(t *testing.T) {
	t.Parallel()
	const most = 1000
	for _, clients := range []int{0, 1} { // datagrams, connections
		s := newSharing(t, most, 1<<30)
		all := sourcesOf(s, 12)
		if got := fill(s, all[0], clients, 10); got != most {
			t.Fatalf("the first got %d, want %d", got, most)
		}
		got := 0
		for _, late := range all[1:] {
			n := fill(s, late, clients, 10)
			if n != 1 {
				t.Errorf("who came when everything was taken got %d, want 1", n)
			}
			got += n
		}
		if s.Admit(Claim{all[0], clients, 1, 10, Greedy}) {
			t.Error("who had everything got more")
		}
		// As the first gives back it gets nothing new until it has its share.
		kept := most
		for ; !s.Admit(Claim{all[0], clients, 1, 10, Greedy}); kept-- {
			s.Done(Claim{all[0], clients, 1, 10, Greedy})
		}
		if share := most / len(all); kept > most/2 && kept > share || kept+got > most/2+1 && kept > share {
			t.Errorf("it got more again when it had %d of %d", kept, most)
		}
	}
}

// So it is for turns of several operations, however much is free.
func TestSourceBeyondItsShareGetsNoTurn(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 1000, 1<<30)
	all := sourcesOf(s, 2)
	if !s.Admit(Claim{all[0], 1, 600, 10, Greedy}) || !s.Admit(Claim{all[1], 1, 1, 10, Greedy}) {
		t.Fatal("what there was room for was refused")
	}
	if s.Admit(Claim{all[0], 1, 5, 10, Greedy}) {
		t.Error("who had more than a share got more")
	}
	if !s.Admit(Claim{all[1], 1, 5, 10, Greedy}) {
		t.Error("who had less than a share got nothing")
	}
}

// A few beyond the limit have a bound, too; of a small limit it is one.
func TestNewcomersAreBounded(t *testing.T) {
	t.Parallel()
	for most, want := range map[int]int64{80: 90, 8: 9, 4: 5, 1: 2} {
		s := newSharing(t, most, 1<<30)
		all := sourcesOf(s, 60)
		fill(s, all[0], 1, 10)
		for _, late := range all[1:] {
			s.Admit(Claim{late, 1, 1, 10, Greedy})
		}
		if n := s.inFlight.Load(); n != want {
			t.Errorf("%d are in flight of %d, want %d", n, most, want)
		}
		if s.Admit(Claim{all[59], 1, 5, 10, Greedy}) {
			t.Errorf("a newcomer got many of %d", most)
		}
	}
}

// The more connections have something in flight the less has one more, but never nothing: a flood
// of long pipelines leaves room for a count.
func TestConnectionsShareWhatIsLeft(t *testing.T) {
	t.Parallel()
	const most = 10_000
	s := newSharing(t, most, 1<<30)
	from := sourcesOf(s, 1)[0]
	last := most
	room := s.Tally(true)
	for i := range 500 {
		ops, _ := room.Room(from, 1<<20)
		if ops < 1 || s.inFlight.Load() > most/2 && ops > last {
			t.Fatalf("connection %d may have %d behind one that had %d", i, ops, last)
		}
		last = ops
		if !s.Admit(Claim{from, 1, min(ops, 200), 10 * min(ops, 200), Greedy}) {
			t.Fatalf("connection %d was refused the %d that it was offered", i, ops)
		}
	}
	if n := s.inFlight.Load(); n >= most {
		t.Errorf("%d are in flight", n)
	}
	if !s.Admit(Claim{from, 1, 1, 10, Greedy}) {
		t.Error("one count was refused")
	}
	if s.Admit(Claim{from, 1, 500, 10, Greedy}) {
		t.Error("one command of very many topics was admitted")
	}
	// A turn that was made when there were fewer, and is as long as all that is left.
	if left := most - int(s.inFlight.Load()); left < 2 || s.Admit(Claim{from, 1, left, 10, Greedy}) {
		t.Errorf("one got all of the %d that were left", left)
	}
}

// Below half of the limit nobody is asked who he is.
func TestBelowHalfEverybodyIsAdmitted(t *testing.T) {
	t.Parallel()
	const most = 1000
	s := newSharing(t, most, 1<<30)
	all := sourcesOf(s, 10)
	for _, from := range all[1:] {
		s.Admit(Claim{from, 1, 1, 10, Greedy})
	}
	if !s.Admit(Claim{all[0], 1, most/2 - 9, 1 << 20, Greedy}) {
		t.Error("half was refused")
	}
	if s.Admit(Claim{all[0], 1, 2, 10, Greedy}) {
		t.Error("more than a share was admitted beyond half")
	}
}

// An IPv6 /64 is one source, and an address is the same however it is written.
func TestSourcesOfShares(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 10, 10)
	of := func(addr string) *Source { return s.Source(peerAt(addr)) }
	if of("2001:db8::1") != of("2001:db8::2") || of("192.0.2.1") != of("::ffff:192.0.2.1") {
		t.Error("one source has two places")
	}
	places := make(map[*Source]bool)
	addr := netip.MustParseAddr("10.0.0.0")
	for range 1000 {
		places[s.Source(Peer{Addr: netip.AddrPortFrom(addr, 1)})] = true
		addr = addr.Next()
	}
	if len(places) < 500 {
		t.Errorf("1000 neighbours have %d places", len(places))
	}
}

// Nothing is allocated for a request, below half of the limit and beyond.
func TestSharesAllocateNothing(t *testing.T) {
	s := newSharing(t, 1000, 1<<30)
	addr := netip.MustParseAddr("2001:db8::1")
	for _, before := range []int{0, 800} {
		s.Admit(Claim{sourcesOf(s, 1)[0], 1, max(before, 1), 10, Greedy})
		room := s.Tally(true)
		if n := testing.AllocsPerRun(100, func() {
			c := Claim{s.Source(Peer{Addr: netip.AddrPortFrom(addr, 1)}), 1, 1, 10, Greedy}
			room.Room(c.From, 10)
			if s.Admit(c) {
				s.Done(c)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	s := newSharing(b, 65_536, 256<<20)
	c := Claim{s.Source(peerAt("192.0.2.1")), 1, 1, 30, Greedy}
	for b.Loop() {
		if s.Admit(c) {
			s.Done(c)
		}
	}
}
