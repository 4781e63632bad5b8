// Package server opens the doors of a counter service: it takes requests of the protocol
// (docs/protocol.md) from TCP connections and UDP datagrams, gives them to a Backend that makes
// them durable, and sends the answers.
//
// Two ways of dispatch carry the same requests with the same rules:
//
//   - Pool, the default: a fixed number of readiness loops (Linux). A loop reads all that is ready, hands it over as one
//     list, commits that list itself if nobody else is committing, and writes all answers. It never waits for a client
//     nor for somebody else's commit. One loop has the listener and the UDP socket while it keeps up; RESP connections are
//     spread.
//   - Goroutine: one goroutine for each connection and each datagram. Portable and simple.
//
// Goroutines, their owners and their ends:
//
//	Serve               the caller's; returns when all below have ended
//	run                 Serve's; the dispatch itself, until it is drained or aborted
//	loop (pool)         run's; Options.Workers of them
//	backup (pool)       run's; one at a time (in goroutine dispatch the connection's own goroutine sends it); drain ends it
//	accept (pool)       of a timer, for an instant, some time after accepting failed; drain stops the timer
//	parting (pool)      of a timer, for an instant, some time after drain; the end of run stops the timer
//	accept, receive     run's (goroutine dispatch); until the end that drain sets
//	connection          accept's (goroutine dispatch); bounded by Options.MaxConns and MaxLingering
//	datagram            receive's (goroutine dispatch); bounded by Options.MaxInFlight
//
// Before Serve, from AnswerLoading on: accept and receive of its own, which Use, Serve and Shutdown
// wait for when they take the sockets, and one for each of at most 64 connections that are told to
// try again, which Serve waits for at its end, as Shutdown does where nothing was served; then it
// tells all who wait at once, at most Options.MaxConns.
//
// A server that stops (Shutdown) refuses what its backend does not have yet: Server.stopping says
// so to decode, which all messages of gcd's own protocol come through, and to exchange.take, which
// all commands do. Connections and doors go on as before for the time of parting; then each
// connection reads for the last time, and ends.
//
// Every resource that a client can claim is bounded by an option or a constant of this package.
// What is over a bound is refused with a code, counted (Stats) and logged at a bounded rate.
package server
