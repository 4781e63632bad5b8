package loop

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Conversations are spread over all loops but one for each processor but one; who ends makes room.
func TestHomes(t *testing.T) {
	t.Parallel()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := door.Addr().String()
	o := newOptions(new(backend))
	o.Workers, o.Processors = 5, 4
	p, err := New(o, door.(*net.TCPListener), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Open()
	ran := make(chan struct{})
	go func() { defer close(ran); p.Run() }()
	t.Cleanup(func() { p.Drain(0); <-ran })
	ping := func(c net.Conn) {
		t.Helper()
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 7)
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "+PONG\r\n" {
			t.Fatalf("the PING was answered %q, %v, want +PONG", answer, err)
		}
	}
	var clients []net.Conn
	for range 9 {
		c := dial(t, "tcp", address)
		ping(c)
		clients = append(clients, c)
	}
	for _, c := range clients {
		ping(c)
	}
	want := func(homes, others int32) {
		t.Helper()
		for i, l := range p.loops {
			want := homes
			if i >= 3 {
				want = others
			}
			if n := l.conversations.Load(); n != want {
				t.Errorf("loop %d has %d conversations, want %d", i, n, want)
			}
		}
	}
	want(3, 0)
	for _, c := range clients {
		io.WriteString(c, "QUIT\r\n")
		io.Copy(io.Discard, c) // its end
	}
	p.Drain(0)
	<-ran
	want(0, 0)
}

// twoLoops are a loop that is no home, and one that is.
func twoLoops(t *testing.T) (l, home *loop, b *backend) {
	t.Helper()
	l, b = idleLoop(t, -1)
	home, err := newLoop(l.p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(home); home.close() })
	l.p.loops, l.p.homes, home.isHome = []*loop{l, home}, []*loop{home}, true
	return l, home, b
}

// A connection whose home has ended when it would move stays where it is; one whose home drains
// when it arrives is answered there; and one whose home was aborted is closed, and counted no more.
func TestMigrationToALoopThatIsGone(t *testing.T) {
	t.Parallel()
	const answer = "+PONG\r\n"
	for name, row := range map[string]struct {
		before, after  func(home *loop)
		want           string
		stays, arrives int // open connections
	}{
		"ended": {before: func(home *loop) { home.completions.close() }, want: answer, stays: 1},
		"draining": {after: func(home *loop) {
			home.p.stage.Store(draining)
			home.commit()
		}, want: answer, arrives: 1},
		"parting": {after: func(home *loop) {
			home.p.stage.Store(parting)
			home.commit()
			home.goOn()
		}, want: answer},
		"aborting": {after: func(home *loop) { home.end(aborting) }},
	} {
		l, home, b := twoLoops(t)
		if row.before != nil {
			row.before(home)
		}
		p := newPair(t, l, b, "PING\r\n")
		if l.open != row.stays || len(l.free) != 1-row.stays {
			t.Errorf("%s: %d open, %d free", name, l.open, len(l.free))
		}
		if row.after != nil {
			row.after(home)
		}
		p.want(row.want)
		if n := l.p.o.Gate.Stats().Connections; home.open != row.arrives || n != int64(row.arrives+row.stays) {
			t.Errorf("%s: %d connections are counted, %d open", name, n, home.open)
		}
		if n := l.conversations.Load(); n != int32(row.stays) {
			t.Errorf("%s: %d conversations where it was accepted", name, n)
		}
	}
}

// A conversation does not go where the disk may be waited for.
func TestHomeDoesNotCommit(t *testing.T) {
	t.Parallel()
	a, _ := idleLoop(t, -1)
	b, _ := idleLoop(t, -1)
	c, _ := idleLoop(t, -1)
	p := &Pool{homes: []*loop{a, b}}
	a.isHome, b.isHome = true, true
	want := func(from, to *loop, when string) {
		t.Helper()
		if p.home(from) != to {
			t.Errorf("the wrong home %s", when)
		}
	}
	b.conversations.Store(1)
	want(c, a, "for one that none accepted")
	want(b, a, "when another has fewer")
	a.phase.Store(int32(committing))
	want(c, b, "when the one with fewest commits")
	want(b, b, "when the other commits")
	b.phase.Store(int32(committing))
	want(c, c, "when all commit")
}

// What a conversation asked for when it arrived, in the loop's last turn, is not in flight when the
// loop has ended: the backend never got it.
func TestMigrationInTheLastTurn(t *testing.T) {
	t.Parallel()
	l, home, b := twoLoops(t)
	newPair(t, l, b, "INCR orders\r\n")
	home.commit()
	if n := home.p.o.Gate.Stats().InFlight; n != 1 {
		t.Fatalf("%d in flight, want 1", n)
	}
	home.end(aborting)
	if st := home.p.o.Gate.Stats(); st.InFlight != 0 || st.Connections != 0 || home.open != 0 {
		t.Errorf("%+v, %d open", st, home.open)
	}
}

// While connections are on their way to a loop that is behind, no more are let in than it can begin
// with in a turn.
func TestConnectionsOnTheirWayKeepOthersWaiting(t *testing.T) {
	t.Parallel()
	l, home, b := twoLoops(t)
	g := l.p.o.Gate
	waits := func() bool { n, _ := g.AtOnce(l.tally.Now); return n == 0 }
	sent := 0
	for ; !waits(); sent++ {
		newPair(t, l, b, "PING\r\n")
	}
	if n := int(g.Migrating.Load()); n != sent || n < 2 {
		t.Errorf("others wait for %d connections, of which %d are on their way", sent, n)
	}
	if home.commit(); waits() || home.open != sent || g.Migrating.Load() != 0 {
		t.Errorf("others wait, though all %d have arrived", home.open)
	}
	newPair(t, l, b, "PING\r\n") // and one whose home is aborted
	home.end(aborting)
	if st := g.Stats(); g.Migrating.Load() != 0 || st.Connections != 0 {
		t.Errorf("%d are on their way for ever, %d connections are left", g.Migrating.Load(), st.Connections)
	}
}

// A client that says more while it is on its way, and then the last, is heard.
func TestMigrationHearsWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	l, home, b := twoLoops(t)
	p := newPair(t, l, b, "")
	p.send("PING\r\n")
	p.event(0) // it moves
	p.send("ECHO e\r\n")
	if err := unix.Shutdown(p.client, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	home.commit()
	for range 2 {
		for _, ev := range home.poll.Wait(0) {
			home.handle(ev)
		}
		home.goOn()
	}
	p.want("+PONG\r\n$1\r\ne\r\n")
	if home.open != 0 {
		t.Error("its end was not heard")
	}
}
