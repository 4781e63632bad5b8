package server

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gcd/codec"
	"gcd/resp"
)

const (
	// MaxLingering is how many connections beyond MaxConns, and no more than MaxConns, are open at once only to hear that
	// they are too many. Further ones are told without waiting whether they listen.
	MaxLingering = 256
	// firstByteTime is how long such a connection may say nothing before it is refused in the words
	// of the protocol and not in those of RESP; and how long at least any connection has for its
	// first byte, also when the server stops just then.
	firstByteTime = 100 * time.Millisecond
	// lingerTime and lingerBytes bound what is still read after a refusal: closing on unread bytes would reset the
	// connection and could destroy the refusal before the client has read it.
	lingerTime  = time.Second
	lingerBytes = 1 << 20
	// partingTime is how long a server that stops goes on to read, so that whoever asks then is
	// told, and does not wonder what became of it.
	partingTime = 250 * time.Millisecond
	// maxSources is how many UDP sources are remembered for RefusalRate, twice: those seen lately and those before.
	maxSources = 1024
)

// source is what limits per source count by: an IPv4 address, or the network of an IPv6 address, of which one host has
// 2^64.
func source(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // cannot fail: 64 is in range
		return prefix.Addr()
	}
	return addr
}

// connLimit counts open connections.
type connLimit struct {
	max, perSource int
	held           atomic.Int64 // let in
	lingering      atomic.Int64 // beyond the limit, being told so

	mu      sync.Mutex
	sources map[netip.Addr]int // only if perSource < max, else it could never be what binds
}

func newConnLimit(max, perSource int) *connLimit {
	l := &connLimit{max: max, perSource: perSource}
	if perSource < max {
		l.sources = make(map[netip.Addr]int)
	}
	return l
}

// acquire takes a place for a connection, which release gives back, or returns the code to refuse it with.
func (l *connLimit) acquire(addr netip.Addr) codec.Code {
	if l.held.Add(1) > int64(l.max) {
		l.held.Add(-1)
		return codec.CodeTooManyConns
	}
	if l.sources == nil {
		return 0
	}
	key := source(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources[key] >= l.perSource {
		l.held.Add(-1)
		return codec.CodeTooManyConnsAddr
	}
	l.sources[key]++
	return 0
}

func (l *connLimit) release(addr netip.Addr) {
	l.held.Add(-1)
	if l.sources == nil {
		return
	}
	key := source(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources[key]--; l.sources[key] == 0 {
		delete(l.sources, key)
	}
}

// acquireLingering takes one of the few places for connections that acquire refused.
func (l *connLimit) acquireLingering() bool {
	if l.lingering.Add(1) > int64(min(l.max, MaxLingering)) {
		l.lingering.Add(-1)
		return false
	}
	return true
}

// appendSurplus appends what a connection that is too many is told, in the language of what it said, if anything.
func (s *Server) appendSurplus(dst, said []byte, code codec.Code) []byte {
	if len(said) > 0 && s.speaksRESP(said[0]) {
		why := refusalText(code)
		s.resp.errors.note(why)
		return resp.AppendError(dst, why)
	}
	return codec.AppendRefusal(dst, code, advice(code))
}

func (l *connLimit) releaseLingering() { l.lingering.Add(-1) }

func (l *connLimit) open() int64 { return l.held.Load() + l.lingering.Load() }

// refusalLimit bounds the refusals that a UDP source gets, so that a forged source address is no weapon. It remembers a
// bounded number of sources: when the young table is full it becomes the old one, and the old one is forgotten.
type refusalLimit struct {
	perSecond int

	mu         sync.Mutex
	young, old map[netip.Addr]*rate.Limiter
}

func newRefusalLimit(perSecond int) *refusalLimit {
	return &refusalLimit{perSecond: perSecond, young: make(map[netip.Addr]*rate.Limiter)}
}

func (l *refusalLimit) allow(addr netip.Addr, now time.Time) bool {
	key := source(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.young[key]
	if lim == nil {
		if lim = l.old[key]; lim == nil {
			lim = rate.NewLimiter(rate.Limit(l.perSecond), l.perSecond)
		}
		if len(l.young) >= maxSources {
			l.old, l.young = l.young, make(map[netip.Addr]*rate.Limiter)
		}
		l.young[key] = lim
	}
	return lim.AllowN(now, 1)
}

// backoff is the pause after an operation failed that may work again later: 5 ms, doubled with each failure in a row up to
// a second.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 5*time.Millisecond), time.Second)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }
