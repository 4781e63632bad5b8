package loop

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcd/server/internal/gate"
	"gcd/store/core"
)

// forever is a time at which somebody who asked for little is remembered for ever.
const forever = 1 << 62

// Who asked for much before comes behind those that wait, and who asks for little does not.
func TestWhoAsksForLittleDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	g := l.p.o.Gate
	l.tally.Now = time.Since(g.Began)
	g.SharedTime, g.SharedLoopTime = 0, 0
	g.NoteLittle(forever, gate.Modest)
	much, little := newPair(t, l, b, ""), newPair(t, l, b, "")
	little.send("INCR x\r\n")
	little.event(0)
	little.commit(1)
	little.want(":1\r\n")
	much.send("PING\r\nPING\r\n")
	much.event(0)
	much.want("+PONG\r\n")
	l.goOn()
	much.want("+PONG\r\n")

	much.send("PING\r\n")
	much.event(0)
	much.want("")
	little.send("INCR x\r\n")
	little.event(0)
	if n := len(l.groups); n != 1 {
		t.Errorf("%d groups, want that of the little one", n)
	}
	l.goOn()
	much.want("+PONG\r\n")
	little.commit(2)
	little.want(":2\r\n")
}

// Of those whose turns are over by the clock one has another in each turn of the loop, where that
// is over by its own, and they have it in turn.
func TestTurnsByTheClockGoRound(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	g := l.p.o.Gate
	l.tally.Now = time.Since(g.Began)
	g.FullTime, g.SharedTime, g.FullLoopTime, g.SharedLoopTime = 0, 0, 0, 0
	g.NoteLittle(forever, gate.Modest)
	const clients, commands = 5, 4
	var pairs []*pair
	for range clients {
		p := newPair(t, l, b, strings.Repeat("PING\r\n", commands))
		p.want("+PONG\r\n") // newly come, each has a turn
		pairs = append(pairs, p)
	}
	for range commands - 1 {
		for _, p := range pairs {
			l.goOn()
			for _, other := range pairs {
				if other != p {
					other.want("")
				}
			}
			p.want("+PONG\r\n")
		}
	}
	for range clients {
		l.goOn()
	}
	if n := len(l.again); n > 0 {
		t.Errorf("%d have not come to their end", n)
	}
}

// However many look at all topics, a turn of the loop does little of it, and each of them has his
// share.
func TestLooksAtTopicsShareATurn(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	l.p.o.Gate.SharedLoopTime = 0 // one of them in each turn
	const clients, most = 20, 4096
	looked := func(turn func()) int {
		before := b.looked
		turn()
		return b.looked - before
	}
	ask := []string{"KEYS *\r\n", "SCAN 0 COUNT 100000\r\n"}
	for i := range clients {
		p := newPair(t, l, b, "")
		p.send(ask[i%len(ask)])
		if n := looked(p.turn); n > most {
			t.Errorf("%d topics were looked at in one turn of the loop, want %d at most", n, most)
		}
	}
	had := map[*conn]bool{}
	for range 2 * clients {
		had[l.looking[0].c] = true
		if n := looked(l.goOn); n > most {
			t.Errorf("%d topics were looked at in one turn of the loop, want %d at most", n, most)
		}
	}
	if len(had) != clients {
		t.Errorf("%d of %d clients had a turn", len(had), clients)
	}
}

// A turn takes no more from the shared sockets than it is to take at once, and says that there may
// be more.
func TestATurnTakesSoMuchFromTheSharedSockets(t *testing.T) {
	t.Parallel()
	for _, talker := range []bool{false, true} {
		p, _, tcp, udp := idlePool(t, 1)
		l, g := p.loops[0], p.o.Gate
		l.tally.Now = time.Hour
		if talker {
			g.NoteLittle(forever, gate.Talker)
		}
		connections, datagrams := g.AtOnce(l.tally.Now)
		most := [2]int{connections, datagrams}
		for range most[0] + 1 {
			dial(t, "tcp", tcp)
		}
		box := dial(t, "udp", udp)
		for range most[1] + 1 {
			if _, err := box.Write([]byte("\x00x")); err != nil {
				t.Fatal(err)
			}
		}
		for _, left := range []bool{true, false} {
			before := l.open
			if more := l.accept(connections); more != left {
				t.Errorf("there may be more connections: %v", more)
			}
			if more := l.datagrams.receive(datagrams); more != left {
				t.Errorf("there may be more datagrams: %v", more)
			}
			want := most
			if !left {
				want = [2]int{1, 1}
			}
			if got := [2]int{l.open - before, len(l.groups[len(l.groups)-1].Ops)}; got != want {
				t.Errorf("%d connections and datagrams, want %d", got, want)
			}
		}
		for _, group := range l.groups {
			group.Done(group)
		}
	}
}

// overfill has more in flight than others may be let in beside, which the returned function ends.
func overfill(g *gate.Gate) (end func()) {
	g.NoteLittle(forever, gate.Talker)
	claim := gate.Claim{From: g.Source(gate.Peer{}), Requests: 1000}
	g.Admit(claim)
	return func() { g.Done(claim) }
}

// watches tells whether a loop watches a socket: to add what is there already fails.
func watches(l *loop, fd int) bool {
	err := l.poll.Add(fd, unix.EPOLLIN, datagramsToken, 0)
	if err == nil {
		l.poll.Remove(fd)
	}
	return errors.Is(err, unix.EEXIST)
}

// The shared sockets are watched again when less is in flight, by the loop that has them.
func TestSocketsWaitWhileTooMuchIsInFlight(t *testing.T) {
	t.Parallel()
	p, _, _, _ := idlePool(t, 2)
	l, other := p.loops[0], p.loops[1]
	end := overfill(p.o.Gate)
	watching := func(l *loop, want bool, when string) {
		t.Helper()
		for _, fd := range []int{p.listener, p.datagrams} {
			if got := watches(l, fd); got != want {
				t.Errorf("%s: a socket is watched: %v", when, got)
			}
		}
	}
	watching(l, true, "at first")
	l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: datagramsToken})
	watching(l, false, "while too much is in flight")
	end()
	l.groups = append(l.groups, nil) // so that it does not sleep
	l.wait()
	watching(l, true, "when it is not")

	// Another that has taken them meanwhile keeps them.
	end = overfill(p.o.Gate)
	l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: listenerToken})
	p.lease.mu.Lock()
	p.lease.moveTo(other)
	p.lease.mu.Unlock()
	end()
	l.wait()
	l.groups = nil
	watching(l, false, "when another has them")
	watching(other, true, "when it has taken them")
}

// The last look at the door lets in all who have come by then, however few a turn takes.
func TestLastCallLetsInThoseWhoCame(t *testing.T) {
	t.Parallel()
	p, _, tcp, _ := idlePool(t, 1)
	l := p.loops[0]
	p.o.Gate.NoteLittle(forever, gate.Talker)
	atOnce, _ := p.o.Gate.AtOnce(l.tally.Now)
	came := atOnce + 1
	for range came {
		dial(t, "tcp", tcp)
	}
	p.stage.Store(parting)
	if l.shutDoors(); l.open != came {
		t.Errorf("%d were let in, want %d", l.open, came)
	}
}

// A loop that leaves something in the shared sockets gives them to one that sleeps, but not while a
// conversation asks for little; and a home of conversations takes them back when it sleeps.
func TestWhoHasTheSharedSocketsInAFlood(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name           string
		behind, talker bool
		given          bool
	}{
		{"a flood beside a conversation", true, true, false},
		{"a flood alone", true, false, true},
		{"no flood", false, false, false},
	} {
		p, b, _, _ := idlePool(t, 2)
		b.owned = true
		home, other := p.loops[0], p.loops[1]
		home.tally.Now, other.tally.Now = time.Hour, time.Hour
		if row.talker {
			p.o.Gate.NoteLittle(forever, gate.Talker)
		}
		p.lease.enter(other, asleep, false)
		home.behind, home.groups = row.behind, []*core.Group{new(core.Group)}
		home.commit()
		if phase(home.phase.Load()) != working {
			t.Errorf("%s: the home commits still, for the others", row.name)
		}
		p.lease.enter(other, working, false)
		if given := p.lease.holder == other; given != row.given {
			t.Errorf("%s: the other loop has got the sockets: %v", row.name, given)
		}
		p.lease.enter(home, asleep, false)
		p.lease.enter(home, working, false)
		if p.lease.holder != home {
			t.Errorf("%s: the home has not taken them back", row.name)
		}
	}
}
