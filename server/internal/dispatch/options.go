// Package dispatch is what all ways of dispatch need to carry requests from sockets to the backend,
// and answers back.
package dispatch

import (
	"crypto/tls"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
	"gcd/resp"
	"gcd/server/internal/counter"
	"gcd/server/internal/gate"
	"gcd/server/internal/redis"
	"gcd/server/internal/session"
	"gcd/store/core"
)

// Backend makes groups of operations durable (server.Backend).
type Backend interface {
	Submit(g *core.Group)
	Enqueue(gs ...*core.Group) bool
	Round()
}

// Options configures a dispatcher.
type Options struct {
	Gate    *gate.Gate
	Backend func() Backend // which is there when the gate refuses nothing
	Counter *counter.Protocol
	Redis   *redis.Door // nil: RESP is off
	Logger  hclog.Logger

	TLS        *tls.Config // nil: off
	RequireTLS bool        // of connections from other machines
	Handshakes int         // of TLS that compute at once

	Settle       time.Duration // after which a silent client's message is whole
	ReadTimeout  time.Duration // for a message, or the rest of a command
	WriteTimeout time.Duration // for a client to take its answer
	FirstByte    time.Duration // that any connection has for its first byte
	Linger       time.Duration // for a client to have read the last that it was told

	BeforeAccept func() error // may fail an accept, in a test
}

// Taken is a connection that one dispatcher has let in and another one serves. Its place at the
// gate goes along.
type Taken struct {
	FD   int // of its socket
	Peer gate.Peer
	Said []byte        // what was read of it, which begins a handshake of TLS
	Came time.Duration // by the gate's clock
}

// Refuser is the session of a connection that is told a code and nothing else.
func (o *Options) Refuser(peer gate.Peer, code codec.Code) *session.Refuser {
	return &session.Refuser{Gate: o.Gate, Peer: peer, Code: code, RESP: o.Redis != nil}
}

// Language is what a connection speaks, as its first byte tells.
type Language uint8

const (
	Message Language = iota // gcd's own protocol
	RESP
	TLS   // and within it another one
	Clear // whatever it is: it has to come within TLS, and does not
)

// startsTLS is the first byte of every handshake of TLS: the kind of its record.
const startsTLS = 0x16

// Language is what a connection speaks that comes as it is, or within TLS.
func (o *Options) Language(first byte, peer gate.Peer, within bool) Language {
	switch {
	case !within && o.TLS != nil && first == startsTLS:
		return TLS
	case !within && o.RequireTLS && !peer.IsLocal():
		return Clear
	case o.Redis != nil && resp.Begins(first):
		return RESP
	}
	return Message
}

// RefuseClear is the session of a connection that has to come within TLS, and does not.
func (o *Options) RefuseClear(peer gate.Peer) *session.Refuser {
	r := o.Refuser(peer, codec.CodeNotAuthenticated)
	r.LacksTLS = true
	return r
}

// LingerBytes bounds what is read and forgotten after the last that a client was told. Closing on
// bytes that were never read would reset the connection and could destroy the answer.
const LingerBytes = 1 << 20
