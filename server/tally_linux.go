package server

import (
	"time"
)

// tally is what a loop has admitted, less what it is through with, since it last told the server:
// with one client for each of many connections that is told once, and not for each of them. It is
// settled before requests become the backend's, so that the other loops know of what waits for the
// disk, and when answers have been given.
type tally struct {
	s    *Server
	all  claim // of all sources
	last claim // the part of it that last.from has
}

// room is Server.room, and knows of what was not told yet.
func (t *tally) room(from *sourceUse, now time.Duration) (ops, bytes int) {
	return t.s.roomBeside(t.all, from, now)
}

// admit is Server.admit.
func (t *tally) admit(c claim) bool {
	if !t.isLittle(c) {
		t.settle()
		return t.s.admit(c)
	}
	t.add(c)
	return true
}

// isLittle tells whether a claim is admitted whoever asks, and can wait to be told: together with
// those that do it is a small part of the limit, and all that is known of comes to less than half.
func (t *tally) isLittle(c claim) bool {
	s := t.s
	requests, bytes := t.all.requests+c.requests, t.all.bytes+c.bytes
	most, mostBytes := s.opts.MaxInFlight, s.opts.MaxInFlightBytes
	return requests <= most/untold && s.inFlight.Load()+int64(requests) <= int64(most/2) &&
		bytes <= mostBytes/untold && s.inFlightBytes.Load()+int64(bytes) <= int64(mostBytes/2)
}

// untold is what part of the limit a loop may have admitted and not told.
const untold = 64

// done gives back what was admitted.
func (t *tally) done(c claim) {
	t.add(claim{c.from, -c.clients, -c.requests, -c.bytes})
}

func (t *tally) add(c claim) {
	if t.last.from != c.from {
		t.settleLast()
		t.last.from = c.from
	}
	t.last.requests += c.requests
	t.last.bytes += c.bytes
	t.all.clients += c.clients
	t.all.requests += c.requests
	t.all.bytes += c.bytes
}

func (t *tally) settleLast() {
	if t.last.requests != 0 || t.last.bytes != 0 {
		t.s.shares.add(t.last)
	}
	t.last = claim{}
}

// settle tells the server.
func (t *tally) settle() {
	t.settleLast()
	if t.all != (claim{}) {
		t.s.addInFlight(t.all)
		t.all = claim{}
	}
}
