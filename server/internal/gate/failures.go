package gate

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gcd/codec"
	"gcd/internal/access"
	"gcd/internal/audit"
)

// The names of the doors in the audit log.
const (
	DoorRESP = "resp"
	DoorTCP  = "tcp" // the native protocol, over connections of any kind
	DoorUDP  = "udp"
)

// A source may show so many wrong tokens at once, and then one a second. Right ones are not
// counted: to look one up costs less than to answer.
const (
	failureRate  = 1
	failureBurst = 10
)

// Of what sources can bring about as often as they like, lines are written so often for each
// source, and for all together: a client that may do nothing must neither fill a disk nor push out
// what was done, be it from many addresses, or from forged ones, which is easy over UDP.
const (
	lineRate  = 1 // a second, in the log
	lineBurst = 1
	allLines  = 10 // a second, and ten times that at once

	tryRate  = 10 // a second, in the audit log
	tryBurst = 100
	allTries = 100 // likewise
)

// maxSources is how many sources a sourceLimit remembers, twice: those seen lately and those
// before.
const maxSources = 1024

// sourceLimit bounds how often something happens for each source. It remembers a bounded number of
// sources: when the young table is full it becomes the old one, and the old one is forgotten.
type sourceLimit struct {
	perSecond rate.Limit
	burst     int
	all       *rate.Limiter // of all sources together; nil: they have no bound

	mu         sync.Mutex
	young, old map[netip.Addr]*rate.Limiter
}

// newSourceLimit makes one. all is the bound of all sources together, nil for none.
func newSourceLimit(perSecond, burst int, all *rate.Limiter) sourceLimit {
	return sourceLimit{perSecond: rate.Limit(perSecond), burst: burst, all: all,
		young: make(map[netip.Addr]*rate.Limiter)}
}

// ofAll is the bound of all sources together: so much a second, and ten times that at once.
func ofAll(perSecond int) *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), 10*perSecond) }

func (l *sourceLimit) allow(peer Peer, now time.Time) bool {
	key := peer.source()
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.young[key]
	if lim == nil {
		if lim = l.old[key]; lim == nil {
			lim = rate.NewLimiter(l.perSecond, l.burst)
		}
		if len(l.young) >= maxSources {
			l.old, l.young = l.young, make(map[netip.Addr]*rate.Limiter)
		}
		l.young[key] = lim
	}
	return lim.AllowN(now, 1) && (l.all == nil || l.all.AllowN(now, 1))
}

// MayRefuse tells whether a datagram from a peer may be answered by a refusal just now, so that a
// forged address is no weapon.
func (g *Gate) MayRefuse(peer Peer) bool { return g.refusals.allow(peer, g.now()) }

// Failed notes that a peer has shown a token that is nobody's, with a name or without. It returns
// false if too many came from its source. The log has a line a second for each
// source, and a few for all.
func (g *Gate) Failed(peer Peer, door, name string) bool {
	code, allowed := codec.CodeNotAuthenticated, g.failures.allow(peer, g.now())
	if !allowed {
		code = codec.CodeTooManyFailures
	}
	g.byCode[code].total.Add(1)
	if g.failureLines.allow(peer, g.now()) {
		g.log.Warn("a client has shown a token that is nobody's", "peer", peer.String(), "door", door,
			"name", quote([]byte(name)))
	}
	if g.mayWriteTry(peer) {
		shown := string(access.WithoutToken([]byte(name)))
		g.writeTry(audit.Record{Event: audit.Unauthenticated, Principal: shown, Source: peer.String(), Door: door,
			Reason: "the token is nobody's"})
	}
	return allowed
}

// Denied writes down that somebody has asked for what he has no right to: what is its name.
func (g *Gate) Denied(w *Who, peer Peer, door, what string, topic []byte) {
	if g.mayWriteTry(peer) {
		g.writeTry(audit.Record{Event: audit.Denied, Principal: w.Name(), Source: peer.String(), Door: door,
			Topic: topic, Reason: "no right to " + what})
	}
}

// mayWriteTry tells whether one more try of a peer is written down.
func (g *Gate) mayWriteTry(peer Peer) bool {
	if g.Options.Audit == nil {
		return false
	}
	if g.tries.allow(peer, g.now()) {
		return true
	}
	g.triesLeft.Add(1)
	return false
}

// writeTry writes one down, with how many were left out before it.
func (g *Gate) writeTry(r audit.Record) {
	r.Lines = g.triesLeft.Swap(0)
	g.Options.Audit.Write(r)
}
