// Package gate decides who may come into a server, and how much at once, and counts what it
// decides: connections, requests in flight and their bytes, what is held for clients, refusals.
// It is the same for all doors and all ways of dispatch, and knows nothing of sockets.
package gate

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/access"
	"gcd/internal/audit"
)

// Options are the bounds, all of them above zero, and who may do what.
type Options struct {
	MaxConns          int // connections open at once
	MaxConnsPerSource int // those of one source (Peer)
	MaxInFlight       int // requests that were given to the backend and are not yet decided
	MaxInFlightBytes  int // bytes of those, and counted apart what is held for clients
	RefusalRate       int // refusals per second that one source of datagrams gets
	// Rules are those that hold now, and say who may do what; nil: everybody may do everything.
	Rules  func() *access.Rules
	Audit  *audit.Log // what cannot be undone, and what was tried and not allowed; nil: none
	Logger hclog.Logger
}

// Gate is what all doors of one server share. Its methods may be called from any goroutine.
type Gate struct {
	Events
	Options Options   // what it was made with
	Began   time.Time // the moment from which all times here count
	// Refusing is the code that requests are refused with, a codec.Code, since the server loads or
	// stops; 0 while they are taken.
	Refusing atomic.Uint32
	Errors   Errors // that clients of RESP were answered
	MostHeld int    // bytes that may be held for all clients together

	Accepted  atomic.Uint64 // connections
	Datagrams atomic.Uint64 // received
	Answered  atomic.Uint64 // requests that were done and whose answer was handed to the system
	Commands  atomic.Uint64 // of RESP that were answered
	Untaken   atomic.Int64  // connections whose client has not taken its answers yet
	Migrating atomic.Int64  // connections on their way to the loop that serves them

	// How long turns may take (turns.go); tests make them longer, before anything else.
	FullTime, SharedTime, FullLoopTime, SharedLoopTime time.Duration

	anyone        *access.Principal // where there are no rules
	places        places
	ending        atomic.Bool
	refusals      sourceLimit   // of datagrams
	failures      sourceLimit   // to show a token that is somebody's
	failureLines  sourceLimit   // of those in the log
	tries         sourceLimit   // of those who may not, in the audit log
	triesLeft     atomic.Uint64 // that were left out since the last one that is there
	inFlight      atomic.Int64
	inFlightBytes atomic.Int64
	shares        shares
	asked         [askers]atomic.Int64 // when somebody who is not greedy has, since Began; a Talker counts twice
	held          atomic.Int64         // bytes
	in, out       atomic.Uint64        // bytes of all doors
	rates         rates
}

// New makes a gate.
func New(o Options) *Gate {
	g := &Gate{Options: o, Began: time.Now(), MostHeld: max(leastHeld, o.MaxInFlightBytes)}
	g.FullTime, g.SharedTime, g.FullLoopTime, g.SharedLoopTime = fullTime, sharedTime, fullLoopTime, sharedLoopTime
	g.Events.log, g.Events.now = o.Logger, time.Now
	g.anyone = access.Anyone()
	g.places.init(o.MaxConns, o.MaxConnsPerSource)
	g.refusals = newSourceLimit(o.RefusalRate, o.RefusalRate, nil)
	g.failures = newSourceLimit(failureRate, failureBurst, nil)
	g.failureLines = newSourceLimit(lineRate, lineBurst, ofAll(allLines))
	g.tries = newSourceLimit(tryRate, tryBurst, ofAll(allTries))
	g.shares.init()
	return g
}

// End has nothing gone on with that takes many turns.
func (g *Gate) End() { g.ending.Store(true) }

// Ending tells whether End was called.
func (g *Gate) Ending() bool { return g.ending.Load() }

// Panicked notes a panic in the handling of one client, which is that client's end and nobody
// else's. Nothing that runs inside the backend is guarded so: a panic there must end the process.
func (g *Gate) Panicked(peer Peer, with any) {
	g.Happened(HandlerPanic, peer, fmt.Sprintf("%v\n%s", with, debug.Stack()))
}
