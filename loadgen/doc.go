// Package loadgen puts load on a counter service through one of its doors and measures what comes
// back: the generator of "gcd bench" and of the comparisons in bench/.
//
// It is made so that the generator is not the bottleneck: raw sockets, no allocation for a request,
// and on Linux one readiness loop for many connections; elsewhere, and over TLS, a goroutine for
// each connection.
//
// A closed loop sends a connection's next request when the answer to its last one is there. An open
// loop (Options.Rate) sends by the clock, and measures each request from the time at which it was
// due, so that a server that stalls cannot slow down the requests that would have shown it
// (coordinated omission). What was due in the warm-up and could not be sent is forgotten when the
// warm-up ends: a server that is slower than the rate falls back within the window that is
// measured, and not before it.
//
// Goroutines, their owners and their ends:
//
//	loop (Linux)          Run's; Options.Threads of them, until nothing is left to send and nothing
//	                      is under way
//	connection (others)   Run's; Options.Clients of them, likewise
//
// Run's own goroutine reports progress and waits for the others.
package loadgen
