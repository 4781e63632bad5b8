package server

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcd/store"
)

// While somebody asks for little, connections with long pipelines have short turns; all are done in
// the end, and without him they are long.
func TestLongPipelinesHaveShortTurnsBesideALittleOne(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name        string
		little      bool
		least, most int // operations of a turn of the loop
	}{
		{"alone", false, 50 * 200, 50 * 200},
		{"beside a little one", true, 50 * littleOps, 1500},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := idleLoop(t, -1)
			l.now = time.Hour
			var pairs []*pair
			defer func() {
				for _, p := range pairs {
					p.c.close()
				}
			}()
			turn := func(p *pair) {
				l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: p.c.slot, Pad: p.c.generation})
			}
			if row.little {
				little := newPair(t, l)
				pairs = append(pairs, little)
				little.send("INCR little\r\n")
				little.turn()
				if n := len(l.groups); n != 1 {
					t.Fatalf("%d groups", n)
				}
			}
			for range 50 {
				p := newPair(t, l)
				pairs = append(pairs, p)
				p.send(strings.Repeat("INCR x\r\n", 200))
				turn(p)
			}
			ops := 0
			for _, g := range l.groups {
				ops += len(g.Ops)
			}
			if ops < row.least || ops > row.most {
				t.Errorf("%d operations in the first turn, want %d to %d", ops, row.least, row.most)
			}
			total := 0
			for turns := 0; len(l.groups) > 0; turns++ {
				if turns > 50 {
					t.Fatal("they do not come to an end")
				}
				groups := l.groups
				l.groups = nil
				for _, g := range groups {
					total += len(g.Ops)
					g.Done(g)
				}
				l.deliver()
				l.goOn()
			}
			if want := 50*200 + flag(row.little); total != want {
				t.Errorf("%d operations in all, want %d", total, want)
			}
		})
	}
}

// How much is taken at once depends on whether anybody has asked for little lately, and is
// forgotten.
func TestLately(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 65_536, 1<<30)
	at := time.Hour
	want := func(what string, now time.Duration, ops int64, receives int) {
		t.Helper()
		if o, r := s.turnOps(now), s.receivesAtOnce(now); o != ops || r != receives {
			t.Errorf("%s: %d operations, %d receiving calls; want %d, %d", what, o, r, ops, receives)
		}
	}
	want("nobody", at, maxTurnOps, packetCalls)
	s.askers.note(at, false)
	want("a datagram", at, sharedTurnOps, packetCalls)
	s.askers.note(at, true)
	want("a conversation", at, sharedTurnOps, sharedPacketCalls)
	s.inFlight.Store(sharedInFlight + 1)
	if !s.overfull(at) || s.overfull(at+lately) {
		t.Error("new ones wait for as long as somebody is remembered, and no longer")
	}
	want("long ago", at+lately, maxTurnOps, packetCalls)
	s.shares.clients.Store(1 << 20)
	want("very many in flight", at, littleOps, sharedPacketCalls)
}

// The shared sockets are watched again when less is in flight, by the loop that has them.
func TestSocketsWaitWhileTooMuchIsInFlight(t *testing.T) {
	t.Parallel()
	s, err := New(noBackend{}, Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	d, err := newPool(s, s.tcp, s.udp)
	if err != nil {
		t.Fatal(err)
	}
	p := d.(*pool)
	t.Cleanup(p.close)
	l, other := p.loops[0], p.loops[1]
	s.askers.talkers.Store(1 << 62) // for ever
	s.inFlight.Store(sharedInFlight + 1)
	watched := func(l *loop) bool { // to add what is there already fails
		fails := errors.Is(l.poll.add(p.packets, unix.EPOLLIN, packetsToken, 0), unix.EEXIST)
		if !fails {
			l.poll.remove(p.packets)
		}
		return fails
	}
	if !watched(l) {
		t.Fatal("the first loop does not watch the sockets")
	}
	l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: packetsToken})
	if watched(l) || !l.waits || l.untilDue() != overfullPause {
		t.Error("they are watched, or the loop sleeps on, while too much is in flight")
	}
	s.inFlight.Store(0)
	l.groups = append(l.groups, nil) // so that it does not sleep
	l.wait()
	l.groups = nil
	if !watched(l) || l.waits {
		t.Error("they are not watched again")
	}

	// Another that has taken them meanwhile keeps them.
	s.inFlight.Store(sharedInFlight + 1)
	l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: listenerToken})
	p.watch.mu.Lock()
	p.watch.give(other)
	p.watch.mu.Unlock()
	if !p.watch.letGo(l) || watched(l) || !watched(other) {
		t.Error("the other loop does not have them alone")
	}
}

// A home of conversations takes the shared sockets back when it sleeps, but not those that bring a
// flood while a conversation asks for little.
func TestHomesLeaveFloodsToOthers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name            string
		talker, flooded bool
		takesBack       bool
	}{
		{"a flood beside a conversation", true, true, false},
		{"a flood alone", false, true, true},
		{"a conversation alone", true, false, true},
	} {
		s, err := New(noBackend{}, Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		s.processors = 2
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		d, err := newPool(s, s.tcp, s.udp)
		if err != nil {
			t.Fatal(err)
		}
		p := d.(*pool)
		t.Cleanup(p.close)
		home, other := p.loops[0], p.loops[1]
		home.now, other.now = time.Hour, time.Hour
		if row.talker {
			s.askers.note(time.Hour, true)
		}
		p.watch.sleep(other)
		p.watch.commits(home, true) // gives the other what is behind
		p.watch.awake(other)
		if p.watch.holder != other {
			t.Fatal("the other loop has not got the sockets")
		}
		if !row.flooded {
			p.watch.flooded = 0
		}
		p.watch.sleep(home)
		p.watch.awake(home)
		if back := p.watch.holder == home; back != row.takesBack {
			t.Errorf("%s: the home takes them back: %v", row.name, back)
		}
	}
}

// endless is a backend with topics enough for a look that does not end.
type endless struct {
	noBackend
	looked int
}

func (e *endless) Scan(cursor uint64, limit int, each func([]byte, store.Value)) uint64 {
	e.looked += limit
	return cursor + uint64(limit)
}

// However many look at all topics, a turn of the loop does little of it, and each of them has his
// share.
func TestLooksAtTopicsShareATurn(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	e := new(endless)
	l.s.backend = e
	l.lookTime = 0 // one of them in each turn
	const clients = 20
	ask := []string{"KEYS *\r\n", "SCAN 0 COUNT 100000\r\n"}
	var pairs []*pair
	for i := range clients {
		p := newPair(t, l)
		pairs = append(pairs, p)
		p.send(ask[i%len(ask)])
		before := e.looked
		p.turn()
		if n := e.looked - before; n > maxLook {
			t.Errorf("%d topics were looked at in one turn of the loop, want %d at most", n, maxLook)
		}
	}
	for range clients {
		before := e.looked
		if l.goOn(); e.looked-before > maxLook {
			t.Errorf("%d topics were looked at in one turn of the loop, want %d at most", e.looked-before, maxLook)
		}
	}
	for i, p := range pairs {
		if v := p.c.handler.(*conversation); i%len(ask) == 0 && v.x.listing.cursor == 0 || i%len(ask) != 0 && v.x != nil {
			t.Errorf("client %d had no turn", i)
		}
		p.c.close()
	}
}
