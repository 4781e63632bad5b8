package gate

import (
	"gcd/codec"
	"gcd/internal/access"
)

// Who is who a peer is as far as the rules know, and so what it may do. It belongs to one
// connection or datagram. It keeps no rules: a connection may be idle for longer than many of them
// hold.
type Who struct {
	principal *access.Principal // nil: nobody, who may do nothing
	mark      *access.Mark      // of the rules that it is of; nil where there are none
	token     bool              // it has shown a token
}

// Know tells who a peer is by how it came. Where there are no rules everybody may do everything.
func (g *Gate) Know(peer Peer) Who {
	if g.Options.Rules == nil {
		return Who{principal: g.anyone}
	}
	rules := g.Options.Rules()
	w := Who{mark: rules.Mark()}
	if peer.Certificate != nil {
		w.principal = rules.ByCertificate(peer.Certificate)
	} else if peer.Unix {
		w.principal = rules.Local()
	}
	if w.principal == nil {
		w.principal = rules.Anonymous()
	}
	return w
}

// Renew has w be who it is by the rules that hold now, and tells whether they are others than
// before. It is called before May, once in a turn.
func (g *Gate) Renew(w *Who, peer Peer) bool {
	if w.mark == nil {
		return false
	}
	rules := g.Options.Rules()
	if rules.Mark() == w.mark {
		return false
	}
	if !w.token {
		*w = g.Know(peer)
		return true
	}
	// Whose token is gone is nobody until it shows another one.
	w.mark, w.principal = rules.Mark(), rules.Again(w.principal)
	return true
}

// Authenticate has w be whose token it is, by the rules that hold now. It returns false, and
// changes nothing, if it is nobody's.
func (g *Gate) Authenticate(w *Who, name string, token []byte) bool {
	if w.mark == nil {
		return false
	}
	rules := g.Options.Rules()
	p := rules.ByToken(name, token)
	if p == nil {
		return false
	}
	w.principal, w.mark, w.token = p, rules.Mark(), true
	return true
}

// HasRules tells whether there are any: else no token is anybody's.
func (w *Who) HasRules() bool { return w.mark != nil }

// Name is what the rules call it; empty for nobody.
func (w *Who) Name() string { return w.principal.Name() }

// May tells whether it has a right over a topic.
func (w *Who) May(r access.Right, topic []byte) bool { return w.principal.May(r, topic) }

// Has tells whether it has a right at all.
func (w *Who) Has(r access.Right) bool { return w.principal.Has(r) }

// HasAny tells whether it has any right.
func (w *Who) HasAny() bool { return w.principal.HasAny() }

// Everything tells whether it has a right over all topics.
func (w *Who) Everything(r access.Right) bool { return w.principal.Everything(r) }

// Refusal is the code for what it may not do. Anonymous is somebody, too, as in Redis the user is
// who needs no password: a library of Redis that asks for INFO when it connects goes on without the
// right to it, but takes NOAUTH for the end.
func (w *Who) Refusal() codec.Code {
	if w.principal == nil {
		return codec.CodeNotAuthenticated
	}
	return codec.CodeNotPermitted
}
