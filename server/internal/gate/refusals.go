package gate

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources is how many sources of datagrams are remembered for RefusalRate, twice: those seen
// lately and those before.
const maxSources = 1024

// refusalLimit bounds the refusals that a source of datagrams gets, so that a forged address is no
// weapon. It remembers a bounded number of sources: when the young table is full it becomes the old
// one, and the old one is forgotten.
type refusalLimit struct {
	perSecond int

	mu         sync.Mutex
	young, old map[netip.Addr]*rate.Limiter
}

func (l *refusalLimit) init(perSecond int) {
	l.perSecond, l.young = perSecond, make(map[netip.Addr]*rate.Limiter)
}

func (l *refusalLimit) allow(peer Peer, now time.Time) bool {
	key := peer.source()
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

// MayRefuse tells whether a datagram from a peer may be answered by a refusal just now.
func (g *Gate) MayRefuse(peer Peer) bool { return g.refusals.allow(peer, g.now()) }
