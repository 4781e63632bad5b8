// Package dispatch is what all ways of dispatch need to carry requests from sockets to the backend,
// and answers back.
package dispatch

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/codec"
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

	Settle       time.Duration // after which a silent client's message is whole
	ReadTimeout  time.Duration // for a message, or the rest of a command
	WriteTimeout time.Duration // for a client to take its answer
	FirstByte    time.Duration // that any connection has for its first byte
	Linger       time.Duration // for a client to have read the last that it was told

	BeforeAccept func() error // may fail an accept, in a test
}

// Refuser is the session of a connection that is told a code and nothing else.
func (o *Options) Refuser(peer gate.Peer, code codec.Code) *session.Refuser {
	return &session.Refuser{Gate: o.Gate, Peer: peer, Code: code, RESP: o.Redis != nil}
}

// LingerBytes bounds what is read and forgotten after the last that a client was told. Closing on
// bytes that were never read would reset the connection and could destroy the answer.
const LingerBytes = 1 << 20
