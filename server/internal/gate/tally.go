package gate

import "time"

// Tally is what a loop has admitted, less what it is through with, since it last told the gate:
// with one client for each of many connections that is told once, and not for each of them. It is
// flushed before requests become the backend's, so that the other loops know of what waits for the
// disk, and when answers have been given.
type Tally struct {
	gate *Gate
	all  Claim // of all sources
	last Claim // the part of it that last.From has
}

// untold is what part of the limit a loop may have admitted and not told.
const untold = 64

// Tally makes one.
func (g *Gate) Tally() Tally { return Tally{gate: g} }

// Room is Gate.Room, and knows of what was not told yet.
func (t *Tally) Room(from *Source, now time.Duration) (ops, bytes int) {
	return t.gate.roomBeside(t.all, from, now)
}

// Admit is Gate.Admit. What is admitted whoever asks for it can wait to be told: what is a small
// part of the limit together with all that waits so, while all that is known of is less than half.
func (t *Tally) Admit(c Claim) bool {
	g := t.gate
	requests, bytes := t.all.Requests+c.Requests, t.all.Bytes+c.Bytes
	most, mostBytes := g.Options.MaxInFlight, g.Options.MaxInFlightBytes
	if requests > most/untold || g.inFlight.Load()+int64(requests) > int64(most/2) ||
		bytes > mostBytes/untold || g.inFlightBytes.Load()+int64(bytes) > int64(mostBytes/2) {
		t.Flush()
		return g.Admit(c)
	}
	t.add(c)
	return true
}

// Done gives back what was admitted.
func (t *Tally) Done(c Claim) {
	c.Clients, c.Requests, c.Bytes = -c.Clients, -c.Requests, -c.Bytes
	t.add(c)
}

func (t *Tally) add(c Claim) {
	if t.last.From != c.From {
		if t.last.From != nil {
			t.gate.count(Claim{}, t.last)
		}
		t.last = Claim{From: c.From}
	}
	t.last.Requests += c.Requests
	t.last.Bytes += c.Bytes
	t.all.Clients += c.Clients
	t.all.Requests += c.Requests
	t.all.Bytes += c.Bytes
}

// Flush tells the gate.
func (t *Tally) Flush() {
	if t.last.From != nil {
		t.gate.count(t.all, t.last)
		t.all, t.last = Claim{}, Claim{}
	}
}
