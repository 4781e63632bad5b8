package server

import (
	"errors"
	"net"
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
	want := func(what string, now time.Duration, ops int64, accepts, receives int) {
		t.Helper()
		o, a, r := s.turnOps(now, s.shares.clients.Load()), s.acceptsAtOnce(now), s.receivesAtOnce(now)
		if o != ops || a != accepts || r != receives {
			t.Errorf("%s: %d operations, %d connections, %d datagrams; want %d, %d, %d",
				what, o, a, r, ops, accepts, receives)
		}
	}
	want("nobody", at, maxTurnOps, acceptBatch, packetsAtOnce)
	s.askers.note(at, false)
	want("a datagram", at, sharedTurnOps, acceptBatch, packetsAtOnce)
	s.askers.note(at, true)
	want("a conversation", at, sharedTurnOps, sharedAcceptBatch, sharedPacketsAtOnce)
	s.inFlight.Store(sharedInFlight + 1)
	if !s.overfull(at) || s.overfull(at+lately) {
		t.Error("new ones wait for as long as somebody is remembered, and no longer")
	}
	want("long ago", at+lately, maxTurnOps, acceptBatch, packetsAtOnce)
	s.shares.clients.Store(1 << 20)
	want("very many in flight", at, littleOps, sharedAcceptBatch, sharedPacketsAtOnce)
}

// A turn takes no more from the shared sockets than it is to take at once, and says that there may
// be more.
func TestATurnTakesSoMuchFromTheSharedSockets(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name                   string
		talker                 bool
		connections, datagrams int
	}{
		{"alone", false, acceptBatch, packetsAtOnce},
		{"beside a conversation", true, sharedAcceptBatch, sharedPacketsAtOnce},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, p := idlePool(t, 1)
			l := p.loops[0]
			l.now = time.Hour
			if row.talker {
				s.askers.note(l.now, true)
			}
			for range row.connections + 1 {
				c, err := net.Dial("tcp", s.TCPAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			c, err := net.Dial("udp", s.UDPAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range row.datagrams + 1 {
				if _, err := c.Write([]byte("\x00x")); err != nil {
					t.Fatal(err)
				}
			}
			for _, left := range []bool{true, false} {
				before := l.open
				if more := l.accept(); more != left {
					t.Errorf("there may be more connections: %v", more)
				}
				if more := l.packets.receive(); more != left {
					t.Errorf("there may be more datagrams: %v", more)
				}
				g := l.groups[len(l.groups)-1]
				want := [2]int{row.connections, row.datagrams}
				if !left {
					want = [2]int{1, 1}
				}
				if got := [2]int{l.open - before, len(g.Ops)}; got != want {
					t.Errorf("%d connections and datagrams, want %d", got, want)
				}
			}
			for _, g := range l.groups {
				g.Done(g)
			}
			for _, c := range l.streams {
				c.close()
			}
		})
	}
}

// The shared sockets are watched again when less is in flight, by the loop that has them.
func TestSocketsWaitWhileTooMuchIsInFlight(t *testing.T) {
	t.Parallel()
	s, p := idlePool(t, 2)
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

// The last look at the door lets in all who have come by then, however few a turn takes.
func TestLastCallLetsInThoseWhoCame(t *testing.T) {
	t.Parallel()
	s, p := idlePool(t, 1)
	l := p.loops[0]
	l.now = time.Hour
	s.askers.note(l.now, true)
	const came = sharedAcceptBatch + 1
	for range came {
		c, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	p.stage.Store(parting)
	l.shutDoors()
	if l.open != came {
		t.Errorf("%d were let in, want %d", l.open, came)
	}
	for _, c := range l.streams {
		c.close()
	}
}

// owning is a backend whose every caller commits, and finds nothing to do.
type owning struct{ noBackend }

func (owning) Enqueue(...*store.Group) bool { return true }
func (owning) Round()                       {}

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
		s, p := idlePool(t, 2)
		s.backend = owning{}
		home, other := p.loops[0], p.loops[1]
		home.now, other.now = time.Hour, time.Hour
		if row.talker {
			s.askers.note(time.Hour, true)
		}
		p.watch.sleep(other)
		home.behind, home.groups = row.behind, []*store.Group{new(store.Group)}
		home.commit()
		p.watch.awake(other)
		if given := p.watch.holder == other; given != row.given {
			t.Errorf("%s: the other loop has got the sockets: %v", row.name, given)
		}
		p.watch.sleep(home)
		p.watch.awake(home)
		if p.watch.holder != home {
			t.Errorf("%s: the home has not taken them back", row.name)
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
	l.sharedTime = 0 // one of them in each turn
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
		if v := p.c.handler.(*conversation); v.x.listing.cursor == 0 {
			t.Errorf("client %d had no turn", i)
		}
		p.c.close()
	}
}

// readable is a backend whose topics are read, and nothing else.
type readable struct{ noBackend }

func (readable) GetBytes([]byte) (store.Value, bool) { return store.Value{}, false }
func (readable) WholeVersion() uint64                { return 0 }

// However long the pipelines are that are answered at once, what they cost is little of a turn of
// the loop, and each has its share: beside somebody who asks for little one command, where the time
// is over with it, and else as many as there are between two looks at the clock.
func TestCommandsThatAreAnsweredAtOnceShareATurn(t *testing.T) {
	t.Parallel()
	const clients, commands = 20, 40
	for _, row := range []struct {
		name   string
		little bool
		each   int
	}{
		{"alone", false, timedCommands},
		{"beside a little one", true, 1},
	} {
		for _, command := range []string{"PING", "GET x", "NOSUCH", "MULTI", "TYPE x", "CLIENT ID", "COMMAND COUNT"} {
			t.Run(row.name+"/"+command, func(t *testing.T) {
				t.Parallel()
				l := idleLoop(t, -1)
				l.s.backend = readable{}
				l.now = time.Since(l.epoch)
				l.s.fullTime, l.s.sharedTime, l.fullTime, l.sharedTime = 0, 0, 0, 0
				if row.little {
					l.s.askers.anybody.Store(int64(l.now))
				}
				var pairs []*pair
				for range clients {
					p := newPair(t, l)
					pairs = append(pairs, p)
					p.send(strings.Repeat(command+"\r\n", commands))
				}
				answered := func(turn func()) int {
					before := l.s.resp.answered.Load()
					turn()
					return int(l.s.resp.answered.Load() - before)
				}
				for i, p := range pairs { // newly come, each has a turn
					ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: p.c.slot, Pad: p.c.generation}
					if n := answered(func() { l.handle(ev) }); n != row.each {
						t.Fatalf("client %d: %d commands in its first turn, want %d", i, n, row.each)
					}
				}
				turns := commands/row.each - 1
				for round := range turns {
					for i := range clients { // then they have one in turn
						if n := answered(l.goOn); n != row.each {
							t.Fatalf("round %d, client %d: %d commands in a turn of the loop, want %d", round,
								i, n, row.each)
						}
					}
				}
				for range clients {
					l.goOn()
				}
				if n := len(l.again); n > 0 {
					t.Errorf("%d have not come to their end", n)
				}
				for _, p := range pairs {
					p.c.close()
				}
			})
		}
	}
}

// One command that reads many topics asks for much, as many commands do.
func TestManyTopicsAreMuch(t *testing.T) {
	t.Parallel()
	for in, little := range map[string]bool{
		"MGET a b c d e f g h\r\n":             true,
		"MGET a b c d e f g h i\r\n":           false,
		"EXISTS a b c d e f g h i\r\n":         false,
		"GET a\r\n":                            true,
		strings.Repeat("MGET a b c\r\n", 3):    false,
		"INCR a\r\nMGET a b c d e f g h i\r\n": false, // as one operation for each
	} {
		l := idleLoop(t, -1)
		l.s.backend = newTestExchange(t).client.s.backend
		p := newPair(t, l)
		for range 2 {
			p.send(in)
			p.turn()
			p.commit(1)
			if _, err := unix.Read(p.client, make([]byte, 4096)); err != nil {
				t.Fatalf("%q: no answer: %v", in, err)
			}
		}
		if got := p.c.handler.(*conversation).client.asksForLittle(); got != little {
			t.Errorf("%q asks for little: %v", in, got)
		}
		p.c.close()
	}
}

// Who asked for much before comes behind those that wait, and who asks for little does not.
func TestWhoAsksForLittleDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	l.now = time.Since(l.epoch)
	l.s.sharedTime, l.sharedTime = 0, 0
	l.s.askers.anybody.Store(int64(l.now))
	much, little := newPair(t, l), newPair(t, l)
	turn := func(p *pair) { l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: p.c.slot, Pad: p.c.generation}) }
	little.send("INCR x\r\n")
	turn(little)
	little.commit(1)
	little.want(":1\r\n")
	much.send("PING\r\nPING\r\n")
	turn(much)
	much.want("+PONG\r\n")
	l.goOn()
	much.want("+PONG\r\n")

	much.send("PING\r\n")
	turn(much)
	much.want("")
	little.send("INCR x\r\n")
	turn(little)
	if n := len(l.groups); n != 1 {
		t.Errorf("%d groups, want that of the little one", n)
	}
	l.goOn()
	much.want("+PONG\r\n")
	little.commit(2)
	little.want(":2\r\n")
	much.c.close()
	little.c.close()
}
