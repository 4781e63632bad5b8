package gate

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
)

// Who may have how much in flight. Up to half of the limit, of requests or of their bytes,
// everybody may have what he asks for. Beyond that each source has its share, the limit divided by
// how many sources have something in flight, and each connection its share of what is left, so that
// one that is alone may have it all, and the more there are the less one more gets, but never
// nothing. A source that has nothing in flight is let in a little beyond the limit, or one that
// came first and took everything would keep all others out.
//
// It is counted in every admission, with a few atomics and no lock, since what is in flight when
// half is reached came before. A loop of a pool counts many together (tally).
const (
	// A source's place among the counts is its hash, so two may share one, and are one then. With a
	// thousand sources that ask for too much, one in five of the others shares a place with one of
	// them.
	sourceBits = 12
	// newcomerShare is what part of the limit is for sources that have nothing in flight, beyond
	// it.
	newcomerShare = 8
	// littleBytes is the size of a request that needs no share of the bytes.
	littleBytes = 512
)

// shares is what is in flight, by who asked for it.
type shares struct {
	clients atomic.Int64 // connections that have something in flight
	sources atomic.Int64 // sources that have
	seed    [2]uint64    // of the hash: nobody else can tell who shares a place with whom
	uses    [1 << sourceBits]Source
}

// Source is what one source has in flight.
type Source struct{ requests, bytes atomic.Int64 }

func (h *shares) init() {
	var b [16]byte
	rand.Read(b[:])
	h.seed = [2]uint64{binary.LittleEndian.Uint64(b[:]) | 1, binary.LittleEndian.Uint64(b[8:]) | 1}
}

// Source returns where what a peer has in flight is counted.
func (g *Gate) Source(peer Peer) *Source {
	h := &g.shares
	addr := peer.Addr.Addr()
	b := addr.As16()
	sum := binary.BigEndian.Uint64(b[:]) * h.seed[0]
	if addr.Is4() || addr.Is4In6() { // of an IPv6 address the network counts (Peer.source)
		sum += binary.BigEndian.Uint64(b[8:]) * h.seed[1]
	}
	// Products of neighbours are steps of one length, which come to a few places with some seeds.
	// So the lower half is mixed in, and spread again by an odd number without a pattern (2^64/φ).
	sum = (sum ^ sum>>32) * 0x9e3779b97f4a7c15
	return &h.uses[sum>>(64-sourceBits)]
}

// Claim is what somebody has in flight, or asks to have: requests of one source, of one connection
// or of none.
type Claim struct {
	From     *Source
	Clients  int // 1 for those of a connection, 0 for datagrams
	Requests int
	Bytes    int
	Asker    Asker
}

// Admit takes places for requests among those in flight, exactly; Done gives them back.
func (g *Gate) Admit(c Claim) bool {
	t := Tally{gate: g, all: c, last: c}
	all, mine := t.Flush()
	most, mostBytes := int64(g.Options.MaxInFlight), int64(g.Options.MaxInFlightBytes)
	if all.requests <= most/2 && all.bytes <= mostBytes/2 {
		return true
	}
	first := mine.requests == int64(c.Requests)
	if g.shares.grant(all.requests, mine.requests, int64(c.Requests), most, 1, first) &&
		g.shares.grant(all.bytes, mine.bytes, int64(c.Bytes), mostBytes, littleBytes, first) {
		return true
	}
	g.Done(c)
	return false
}

// Done gives back what Admit took.
func (g *Gate) Done(c Claim) {
	c.Clients, c.Requests, c.Bytes = -c.Clients, -c.Requests, -c.Bytes
	t := Tally{gate: g, all: c, last: c}
	t.Flush()
}

// amount is how much is in flight.
type amount struct{ requests, bytes int64 }

// Flush tells the gate what it has not been told yet: claims, and what is given back, which is less
// than nothing. It returns what all have with it, and what the last source has, if that was
// changed.
func (t *Tally) Flush() (total, mine amount) {
	g := t.gate
	if all := &t.all; all.Clients != 0 || all.Requests != 0 || all.Bytes != 0 {
		g.shares.clients.Add(int64(all.Clients))
		total = amount{g.inFlight.Add(int64(all.Requests)), g.inFlightBytes.Add(int64(all.Bytes))}
		t.all = Claim{}
	}
	if last := &t.last; last.Requests != 0 || last.Bytes != 0 {
		mine.bytes = last.From.bytes.Add(int64(last.Bytes))
		mine.requests = last.From.requests.Add(int64(last.Requests))
		switch {
		case last.Requests > 0 && mine.requests == int64(last.Requests):
			g.shares.sources.Add(1)
		case last.Requests < 0 && mine.requests == 0:
			g.shares.sources.Add(-1)
		}
		t.last = Claim{From: last.From}
	}
	if t.In > 0 || t.Out > 0 {
		g.in.Add(uint64(t.In))
		g.out.Add(uint64(t.Out))
		t.In, t.Out = 0, 0
		if int64(t.Now)-g.rates.last.Load() >= int64(sampleEvery) {
			g.takeSample(t.Now)
		}
	}
	return total, mine
}

// grant decides over a claim of what there is most of, all of which would be in flight with it, and
// mine of its source. What is little is granted whatever the share of a connection is. first says
// that it is all that its source has.
func (h *shares) grant(all, mine, claimed, most, little int64, first bool) bool {
	if all > most && (!first || all > most+max(1, most/newcomerShare)) {
		return false
	}
	if claimed <= little {
		return first || mine <= most/max(1, h.sources.Load())
	}
	// A turn is made as long as its share was when it began (room), which others may have made
	// smaller since.
	return mine <= most/max(1, h.sources.Load()) && claimed <= 2*(most-all+claimed)/max(1, h.clients.Load())
}

// Room is how many operations a turn of a connection may collect, and the bytes of their commands,
// of which there are so many: what would be admitted. A command alone may have more. The operations
// have another bound, too: that of all turns together, divided by how many connections have
// something in flight with this one.
func (t *Tally) Room(from *Source, there int) (ops, bytes int) {
	g := t.gate
	most, mostBytes := int64(g.Options.MaxInFlight), int64(g.Options.MaxInFlightBytes)
	clients := g.shares.clients.Load() + int64(t.all.Clients)
	requests, size := g.inFlight.Load()+int64(t.all.Requests), g.inFlightBytes.Load()+int64(t.all.Bytes)
	turn := int64(fullTurnOps)
	if last := g.asked[Modest].Load(); last > 0 && int64(t.Now)-last < int64(lately) { // IsShared
		turn = sharedTurnOps
	}
	turn = min(MaxTurnOps, max(LittleOps, turn/(clients+1)))
	wanted := int64(there)
	if requests+turn > most/2 {
		turn = g.shares.share(requests, from.requests.Load(), most, turn, 1, clients)
	}
	if size+wanted > mostBytes/2 {
		wanted = g.shares.share(size, from.bytes.Load(), mostBytes, wanted, littleBytes, clients)
	}
	return int(turn), int(wanted)
}

// share is how much of what there is most of a turn may have, wanted at most, beside so many
// clients, when more than half would be in flight with it.
func (h *shares) share(all, mine, most, wanted, little, clients int64) int64 {
	sources := h.sources.Load()
	if mine == 0 {
		sources++
	}
	left := min(most-all, most/max(1, sources)-mine)
	return min(wanted, max(most/2-all, left/(clients+1), min(little, left)))
}
