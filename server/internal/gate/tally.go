package gate

import "time"

// Tally is what one goroutine has not told the gate yet: what it has admitted, less what it is
// through with, and the bytes of its doors. A loop tells once of many connections, and not of each
// of them: before requests become the backend's, so that the other loops know of what waits for the
// disk, and when answers have been given. An exact one, which is for one connection, tells at once.
type Tally struct {
	Now     time.Duration // by the gate's clock, when the turn of the goroutine began
	In, Out int           // bytes that were received and sent

	gate  *Gate
	exact bool
	all   Claim // of all sources
	last  Claim // the part of it that last.From has
}

// untold is what part of the limit a loop may have admitted and not told.
const untold = 64

// Tally makes one.
func (g *Gate) Tally(exact bool) Tally { return Tally{gate: g, exact: exact} }

// Admit takes places for requests among those in flight, which Done or Gate.Done gives back. What
// is admitted whoever asks for it can wait to be told: what is a small part of the limit together
// with all that waits so, while all that is known of is less than half.
func (t *Tally) Admit(c Claim) bool {
	g := t.gate
	requests, bytes := t.all.Requests+c.Requests, t.all.Bytes+c.Bytes
	most, mostBytes := g.Options.MaxInFlight, g.Options.MaxInFlightBytes
	if t.exact || requests > most/untold || g.inFlight.Load()+int64(requests) > int64(most/2) ||
		bytes > mostBytes/untold || g.inFlightBytes.Load()+int64(bytes) > int64(mostBytes/2) {
		t.Flush()
		if !g.Admit(c) {
			return false
		}
	} else {
		if t.last.From != c.From {
			t.turnTo(c.From)
		}
		t.last.Requests += c.Requests
		t.last.Bytes += c.Bytes
		t.all = Claim{Clients: t.all.Clients + c.Clients, Requests: requests, Bytes: bytes}
	}
	if c.Asker != Greedy && int64(t.Now)-g.asked[c.Asker].Load() > int64(remembering) {
		g.NoteLittle(t.Now, c.Asker)
	}
	return true
}

// Done gives back what was admitted.
func (t *Tally) Done(c Claim) {
	if t.last.From != c.From {
		t.turnTo(c.From)
	}
	t.last.Requests -= c.Requests
	t.last.Bytes -= c.Bytes
	t.all.Clients -= c.Clients
	t.all.Requests -= c.Requests
	t.all.Bytes -= c.Bytes
	// Who talks is noted when he begins to wait, and when he has, however long that was.
	if c.Asker == Talker && int64(t.Now)-t.gate.asked[Talker].Load() > int64(remembering) {
		t.gate.NoteLittle(t.Now, Talker)
	}
}

// turnTo has what follows be of another source.
func (t *Tally) turnTo(from *Source) {
	before := Tally{gate: t.gate, last: t.last}
	before.Flush()
	t.last = Claim{From: from}
}
