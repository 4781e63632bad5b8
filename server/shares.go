package server

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
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
	uses    [1 << sourceBits]sourceUse
}

// sourceUse is what one source has in flight.
type sourceUse struct{ requests, bytes atomic.Int64 }

func newShares() *shares {
	h := new(shares)
	var b [16]byte
	rand.Read(b[:])
	h.seed = [2]uint64{binary.LittleEndian.Uint64(b[:]) | 1, binary.LittleEndian.Uint64(b[8:]) | 1}
	return h
}

// of returns where what a client at an address has in flight is counted.
func (h *shares) of(addr netip.Addr) *sourceUse {
	b := source(addr).As16()
	sum := binary.BigEndian.Uint64(b[:])*h.seed[0] + binary.BigEndian.Uint64(b[8:])*h.seed[1]
	// Products of neighbours are steps of one length, which come to a few places with some seeds.
	// So the lower half is mixed in, and spread again by an odd number without a pattern (2^64/φ).
	sum = (sum ^ sum>>32) * 0x9e3779b97f4a7c15
	return &h.uses[sum>>(64-sourceBits)]
}

// claim is what somebody has in flight, or asks to have: requests of one source, of one connection
// or of none.
type claim struct {
	from     *sourceUse
	clients  int // 1 for those of a connection, 0 for datagrams
	requests int
	bytes    int
}

// admission says what may be in flight. A Server's is exact; a loop's tally knows of what it has
// not told the server yet.
type admission interface {
	room(from *sourceUse, now time.Duration) (ops, bytes int)
	admit(c claim) bool
}

// admit takes places for requests among those in flight; done gives them back.
func (s *Server) admit(c claim) bool {
	requests, bytes := s.addInFlight(c)
	mine, mineBytes := s.shares.add(c)
	most, mostBytes := int64(s.opts.MaxInFlight), int64(s.opts.MaxInFlightBytes)
	if requests <= most/2 && bytes <= mostBytes/2 {
		return true
	}
	first := mine == int64(c.requests)
	if s.shares.grant(requests, mine, int64(c.requests), most, 1, first) &&
		s.shares.grant(bytes, mineBytes, int64(c.bytes), mostBytes, littleBytes, first) {
		return true
	}
	s.done(c)
	return false
}

func (s *Server) done(c claim) {
	c.clients, c.requests, c.bytes = -c.clients, -c.requests, -c.bytes
	s.addInFlight(c)
	s.shares.add(c)
}

// addInFlight counts a claim, or what is given back, which is less than nothing, for all together,
// and returns what all have with it.
func (s *Server) addInFlight(c claim) (requests, bytes int64) {
	s.shares.clients.Add(int64(c.clients))
	return s.inFlight.Add(int64(c.requests)), s.inFlightBytes.Add(int64(c.bytes))
}

// add is addInFlight for the source.
func (h *shares) add(c claim) (requests, bytes int64) {
	bytes = c.from.bytes.Add(int64(c.bytes))
	requests = c.from.requests.Add(int64(c.requests))
	switch {
	case c.requests > 0 && requests == int64(c.requests):
		h.sources.Add(1)
	case c.requests < 0 && requests == 0:
		h.sources.Add(-1)
	}
	return requests, bytes
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

// room is how many operations a turn of a connection may collect, and the bytes of their commands:
// what would be admitted. A command alone may have more.
func (s *Server) room(from *sourceUse, now time.Duration) (ops, bytes int) {
	return s.roomBeside(claim{}, from, now)
}

// roomBeside is room while so much more is in flight than was counted.
func (s *Server) roomBeside(more claim, from *sourceUse, now time.Duration) (ops, bytes int) {
	most, mostBytes := int64(s.opts.MaxInFlight), int64(s.opts.MaxInFlightBytes)
	clients := s.shares.clients.Load() + int64(more.clients)
	requests, size := s.inFlight.Load()+int64(more.requests), s.inFlightBytes.Load()+int64(more.bytes)
	n := s.shares.share(requests, from.requests.Load(), most, s.turnOps(now, clients), 1, clients)
	size = s.shares.share(size, from.bytes.Load(), mostBytes, mostBytes, littleBytes, clients)
	return int(n), int(size)
}

// share is how much of what there is most of a turn may have, wanted at most, beside so many
// clients.
func (h *shares) share(all, mine, most, wanted, little, clients int64) int64 {
	if all+wanted <= most/2 {
		return wanted
	}
	sources := h.sources.Load()
	if mine == 0 {
		sources++
	}
	left := min(most-all, most/max(1, sources)-mine)
	return min(wanted, max(most/2-all, left/(clients+1), min(little, left)))
}
