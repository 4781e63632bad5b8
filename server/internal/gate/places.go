package gate

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"gcd/codec"
)

// MaxLingering is how many connections beyond MaxConns, and no more than MaxConns, are open at once
// only to hear that they are too many. Further ones are told without waiting whether they listen.
const MaxLingering = 256

// places counts open connections.
type places struct {
	max, perSource int
	taken          atomic.Int64 // by those who were let in
	lingering      atomic.Int64 // beyond the limit, being told so

	mu      sync.Mutex
	sources map[netip.Addr]int // only if perSource < max, else it could never be what binds
	// Who comes over the unix socket has no address: the mode of its file says who may.
}

func (p *places) init(max, perSource int) {
	p.max, p.perSource = max, perSource
	if perSource < max {
		p.sources = make(map[netip.Addr]int)
	}
}

// Enter takes a place for a connection, which Leave gives back, and returns where what it has in
// flight is counted. Where there is no place it returns the code to say so with, and takes one of
// the few places to hear that, which LeaveLingering gives back, unless there is none of those
// either.
func (g *Gate) Enter(peer Peer) (from *Source, code codec.Code, lingers bool) {
	p := &g.places
	g.Accepted.Add(1)
	if p.taken.Add(1) > int64(p.max) {
		code = codec.CodeTooManyConns
	} else if p.sources == nil || peer.Unix || p.addTo(peer) {
		return g.Source(peer), 0, false
	} else {
		code = codec.CodeTooManyConnsAddr
	}
	p.taken.Add(-1)
	if p.lingering.Add(1) > int64(min(p.max, MaxLingering)) {
		p.lingering.Add(-1)
		return nil, code, false
	}
	return nil, code, true
}

// addTo counts one connection more of a source, unless that has as many as it may have.
func (p *places) addTo(peer Peer) bool {
	key := peer.source()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sources[key] >= p.perSource {
		return false
	}
	p.sources[key]++
	return true
}

// Leave gives a place back.
func (g *Gate) Leave(peer Peer) {
	p := &g.places
	p.taken.Add(-1)
	if p.sources == nil || peer.Unix {
		return
	}
	key := peer.source()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sources[key]--; p.sources[key] == 0 {
		delete(p.sources, key)
	}
}

// LeaveLingering gives back the place of a connection that was too many.
func (g *Gate) LeaveLingering() { g.places.lingering.Add(-1) }

// open is how many connections there are.
func (p *places) open() int64 { return p.taken.Load() + p.lingering.Load() }
