package gate

import (
	"testing"
	"time"
)

// How much is taken at once depends on whether anybody has asked for little lately, and is
// forgotten.
func TestLately(t *testing.T) {
	t.Parallel()
	g := newSharing(t, 65_536, 1<<30)
	at := time.Hour
	from := sourcesOf(g, 1)[0]
	want := func(what string, now time.Duration, ops, accepts, receives int) {
		t.Helper()
		room := g.Tally(true)
		room.Now = now
		o, _ := room.Room(from, 100)
		a, r := g.AtOnce(now)
		if o != ops || a != accepts || r != receives {
			t.Errorf("%s: %d operations, %d connections, %d datagrams; want %d, %d, %d",
				what, o, a, r, ops, accepts, receives)
		}
	}
	want("nobody", at, MaxTurnOps, acceptBatch, datagramsAtOnce)
	g.NoteLittle(at, Modest)
	want("a datagram", at, sharedTurnOps, acceptBatch, datagramsAtOnce)
	g.NoteLittle(at, Talker)
	want("a conversation", at, sharedTurnOps, sharedAcceptBatch, sharedDatagramsAtOnce)
	g.inFlight.Store(sharedInFlight + 1)
	want("much in flight", at, sharedTurnOps, 0, 0)
	want("long ago", at+lately, MaxTurnOps, acceptBatch, datagramsAtOnce)
	g.inFlight.Store(0)
	g.shares.clients.Store(1 << 20)
	want("very many who have something in flight", at, LittleOps, sharedAcceptBatch, sharedDatagramsAtOnce)
	g.Migrating.Store(mostMigrating + 1)
	want("many on their way", at+lately, LittleOps, 0, 0)
}
