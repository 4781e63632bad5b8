// Package server opens the doors of a counter service: it takes requests of the protocol
// (docs/protocol.md) from TCP connections and UDP datagrams, gives them to a Backend that makes
// them durable, and sends the answers.
//
// Two ways of dispatch carry the same requests with the same rules:
//
//   - Pool, the default: a fixed number of readiness loops (Linux). A loop reads all that is ready,
//     hands it over as one list, commits that list itself if nobody else is committing, and writes
//     all answers. It never waits for a client nor for somebody else's commit. One loop has the
//     listener and the UDP socket while it keeps up; RESP connections are spread.
//   - Goroutine: one goroutine for each connection and each datagram. Portable and simple.
//
// TLS and the unix socket are always carried by goroutines, beside the loops of a Pool.
//
// A protocol is written once for both, as sessions without sockets (internal/session); the doors
// carry its bytes.
//
// Goroutines, their owners and their ends:
//
//	Serve             the caller's; returns when all below have ended
//	doors             of AnswerLoading, Serve or Shutdown, one for each; until they are drained or
//	                  aborted
//	run's end         likewise, one; when all doors have ended, for which Serve and Shutdown wait
//	holding           of a timer, for an instant, a second after AnswerLoading; Use and Shutdown
//	                  stop the timer
//	loop (pool)       a door's; Options.Workers of them
//	backup (pool)     a door's; one at a time (in goroutine dispatch the connection's own goroutine
//	                  sends it); drain ends it
//	accept (pool)     of a timer, for an instant, some time after accepting failed; drain stops the
//	                  timer
//	parting (pool)    of a timer, for an instant, some time after drain; the end of the door stops
//	                  the timer
//	accept, receive   a door's (goroutine dispatch, one accept for each listener; the unix socket's
//	                  in both ways of dispatch); until the end that drain sets
//	connection        accept's (goroutine dispatch), or a loop's that has given it away, since it is
//	                  one within TLS; bounded by Options.MaxConns and MaxLingering
//	datagram          receive's (goroutine dispatch); bounded by Options.MaxInFlight
//
// The doors run from AnswerLoading on. While the counters are loaded the gate says so, and sessions
// refuse what needs counters. A server that stops (Shutdown) refuses in the same way what its
// backend does not have yet: messages of gcd's own protocol in counter.Protocol.Decode, commands in
// the redis sessions' take. Connections and doors go on as before for the time of parting; then
// each connection reads for the last time, and ends.
//
// Every resource that a client can claim is bounded by an option or a constant of this package.
// What is over a bound is refused with a code, counted (Stats) and logged at a bounded rate.
package server
