package gate

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever loops admit and give back, in whatever order they tell of it, the server's count is
// right whenever they have, and none has more untold than it may.
func TestTallyTellsAll(t *testing.T) {
	t.Parallel()
	const most = 2000
	s := newSharing(t, most, 200*most)
	all := sourcesOf(s, 5)
	random := rand.New(rand.NewPCG(1, 2))
	loops := []*Tally{{gate: s}, {gate: s}, {gate: s}}
	held := make([][]Claim, len(loops))
	refused := 0
	for range 20_000 {
		i := random.IntN(len(loops))
		l := loops[i]
		switch n := random.IntN(10); {
		case n < 6:
			c := Claim{From: all[random.IntN(len(all))], Clients: random.IntN(2), Requests: 1 + random.IntN(20)}
			c.Bytes = 100 * c.Requests
			if l.Admit(c) {
				held[i] = append(held[i], c)
			} else {
				refused++
			}
		case n < 9 && len(held[i]) > 0:
			l.Flush() // what is given back was told of
			at := random.IntN(len(held[i]))
			l.Done(held[i][at])
			held[i][at] = held[i][len(held[i])-1]
			held[i] = held[i][:len(held[i])-1]
		default:
			l.Flush()
		}
		if l.all.Requests > most/untold || l.all.Bytes > 200*most/untold {
			t.Fatalf("%+v is untold", l.all)
		}
	}
	if refused == 0 {
		t.Error("the limit was not reached")
	}
	var clients, requests, bytes int64
	sources := make(map[*Source]bool)
	for i, l := range loops {
		l.Flush()
		if l.all != (Claim{}) || l.last.Requests != 0 || l.last.Bytes != 0 {
			t.Errorf("something is left untold: %+v", l)
		}
		for _, c := range held[i] {
			clients, requests, bytes = clients+int64(c.Clients), requests+int64(c.Requests), bytes+int64(c.Bytes)
			sources[c.From] = true
		}
	}
	wantUse(t, s, clients, int64(len(sources)), requests, bytes)
	for i, l := range loops {
		for _, c := range held[i] {
			l.Done(c)
		}
		l.Flush()
	}
	wantUse(t, s, 0, 0, 0, 0)
}

// A limit that is small is exact.
func TestTallyOfASmallLimit(t *testing.T) {
	t.Parallel()
	s := newSharing(t, untold-1, 1<<30)
	from := sourcesOf(s, 1)[0]
	loops := []*Tally{{gate: s}, {gate: s}}
	got := 0
	for loops[got%2].Admit(Claim{from, 1, 1, 10, Greedy}) {
		got++
	}
	if got != untold-1 {
		t.Errorf("%d were admitted, want %d", got, untold-1)
	}
}

// What a turn has admitted counts for the next that it makes room for.
func TestTallyMakesRoomForLess(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 65_536, 1<<30)
	const now = 2 * remembering
	s.NoteLittle(now, Modest)
	l := &Tally{gate: s, Now: now}
	from := sourcesOf(s, 1)[0]
	alone, _ := l.Room(from, 100)
	for range 7 {
		l.Admit(Claim{from, 1, 8, 100, Greedy})
	}
	if ops, _ := l.Room(from, 100); alone != sharedTurnOps || ops != sharedTurnOps/8 {
		t.Errorf("%d operations for the first, %d for the eighth", alone, ops)
	}
}

func BenchmarkTally(b *testing.B) {
	s := newSharing(b, 65_536, 256<<20)
	l := Tally{gate: s}
	c := Claim{sourcesOf(s, 1)[0], 1, 1, 30, Greedy}
	for n := 0; b.Loop(); n++ {
		if l.Admit(c); n%64 == 63 {
			l.Flush()
			for range 64 {
				l.Done(c)
			}
			l.Flush()
		}
	}
}

// Whoever is admitted and is not greedy is remembered, who talks also when it is done.
func TestTallyRemembersWhoAskedForLittle(t *testing.T) {
	t.Parallel()
	for _, exact := range []bool{false, true} {
		s := newSharing(t, 65_536, 1<<30)
		l := s.Tally(exact)
		c := Claim{From: sourcesOf(s, 1)[0], Requests: 1, Bytes: 10}
		at := func(now time.Duration, who Asker) (shared, conversing bool) {
			l.Now, c.Asker = now, who
			if !l.Admit(c) {
				t.Fatal("not admitted")
			}
			return s.IsShared(now), s.IsConversing(now)
		}
		if shared, conversing := at(time.Hour, Greedy); shared || conversing {
			t.Errorf("exact %t: who is greedy was remembered", exact)
		}
		if shared, conversing := at(time.Hour, Modest); !shared || conversing {
			t.Errorf("exact %t, after a datagram: shared %t, conversing %t", exact, shared, conversing)
		}
		if shared, conversing := at(2*time.Hour, Talker); !shared || !conversing {
			t.Errorf("exact %t, after a conversation: shared %t, conversing %t", exact, shared, conversing)
		}
		l.Now = 3 * time.Hour
		if l.Done(c); !s.IsConversing(l.Now) {
			t.Errorf("exact %t: who has waited for long is forgotten", exact)
		}
		l.Now, c.Asker = 4*time.Hour, Modest
		if l.Done(c); s.IsShared(l.Now) {
			t.Errorf("exact %t: a datagram that was answered is remembered", exact)
		}
	}
}
