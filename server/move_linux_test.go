package server

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Conversations are spread over all loops but one for each processor but one; who ends makes room.
func TestHomes(t *testing.T) {
	t.Parallel()
	s, err := New(noBackend{}, Options{TCP: "127.0.0.1:0", Workers: 5})
	if err != nil {
		t.Fatal(err)
	}
	s.processors = 4
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	d, err := newPool(s, s.tcp, nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { defer close(ran); d.run() }()
	t.Cleanup(func() { d.drain(0); <-ran })
	ping := func(c net.Conn) {
		t.Helper()
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 7)
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "+PONG\r\n" {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	var clients []net.Conn
	for range 9 {
		c, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		ping(c)
		clients = append(clients, c)
	}
	for _, c := range clients {
		ping(c)
	}
	for i, l := range d.(*pool).loops {
		want := int32(3)
		if i >= 3 {
			want = 0
		}
		if n := l.conversations.Load(); n != want {
			t.Errorf("loop %d has %d conversations, want %d", i, n, want)
		}
	}
	for _, c := range clients {
		io.WriteString(c, "QUIT\r\n")
		io.Copy(io.Discard, c) // its end
	}
	d.drain(0)
	<-ran
	for i, l := range d.(*pool).loops {
		if n := l.conversations.Load(); n != 0 {
			t.Errorf("loop %d has %d conversations at the end", i, n)
		}
	}
}

// leaving is a connection that has something to read, on a loop that is not its home; client is its other end.
func leaving(t *testing.T, text string) (c *stream, home *loop, client int) {
	t.Helper()
	l, home := idleLoop(t, -1), idleLoop(t, -1)
	l.p.homes = []*loop{home}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	home.s.conns.acquire(netip.IPv6Loopback())
	if _, err := unix.Write(fds[1], []byte(text)); err != nil {
		t.Fatal(err)
	}
	return l.newStream(fds[0], netip.AddrPortFrom(netip.IPv6Loopback(), 1)), home, fds[1]
}

// A connection whose home has ended when it would move stays where it is; one whose home drains
// when it arrives is answered there; and one whose home was aborted is closed, and counted no more.
func TestMoveToALoopThatIsGone(t *testing.T) {
	t.Parallel()
	const answer = "+PONG\r\n"
	for name, c := range map[string]struct {
		before, behind func(home *loop)
		want           string
		stays, arrives int // open connections
	}{
		"ended":    {before: func(home *loop) { home.mail.close() }, want: answer, stays: 1},
		"draining": {behind: func(home *loop) { home.p.stage.Store(draining); home.deliver() }, want: answer, arrives: 1},
		"parting":  {behind: func(home *loop) { home.p.stage.Store(parting); home.deliver(); home.goOn() }, want: answer},
		"aborting": {behind: func(home *loop) { home.end(aborting) }},
	} {
		stream, home, client := leaving(t, "PING\r\n")
		l := stream.l
		if c.before != nil {
			c.before(home)
		}
		stream.ready()
		if l.open != c.stays || len(l.free) != 1-c.stays {
			t.Errorf("%s: %d open, %d free", name, l.open, len(l.free))
		}
		if c.behind != nil {
			c.behind(home)
		}
		b := make([]byte, 100)
		if n, err := unix.Read(client, b); string(b[:max(0, n)]) != c.want || err != nil {
			t.Errorf("%s: the client reads %q, %v, want %q", name, b[:max(0, n)], err, c.want)
		}
		if n := home.s.conns.held.Load(); home.open != c.arrives || n != int64(c.arrives) && c.stays == 0 {
			t.Errorf("%s: %d connections are counted, %d open", name, n, home.open)
		}
		if n := l.conversations.Load(); n != int32(c.stays) {
			t.Errorf("%s: %d conversations where it was accepted", name, n)
		}
	}
}

// A conversation does not go where the disk may be waited for.
func TestHomeDoesNotCommit(t *testing.T) {
	t.Parallel()
	a, b, c := idleLoop(t, -1), idleLoop(t, -1), idleLoop(t, -1)
	p := &pool{homes: []*loop{a, b}}
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
	a.committing.Store(true)
	want(c, b, "when the one with fewest commits")
	want(b, b, "when the other commits")
	b.committing.Store(true)
	want(c, c, "when all commit")
}

// What a conversation asked for when it arrived, in the loop's last turn, is not in flight when the loop has ended: the backend never got it.
func TestMoveInTheLastTurn(t *testing.T) {
	t.Parallel()
	c, home, _ := leaving(t, "INCR orders\r\n")
	c.ready()
	home.deliver()
	if n := home.s.inFlight.Load(); n != 1 {
		t.Fatalf("%d in flight, want 1", n)
	}
	home.end(aborting)
	if n, bytes := home.s.inFlight.Load(), home.s.inFlightBytes.Load(); n != 0 || bytes != 0 || home.open != 0 {
		t.Errorf("%d in flight of %d bytes, %d open", n, bytes, home.open)
	}
}

// While connections are on their way to a loop that is behind, no more are let in than it can begin
// with in a turn.
func TestConnectionsOnTheirWayKeepOthersWaiting(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	home, err := newLoop(l.p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(home.close)
	l.p.loops, l.p.homes, home.isHome = []*loop{l, home}, []*loop{home}, true
	for i := range mostMoving + 1 {
		if l.s.overfull(time.Hour) {
			t.Fatalf("others wait for %d connections", i)
		}
		p := newPair(t, l)
		p.send("PING\r\n")
		p.turn()
	}
	if !l.s.overfull(time.Hour) {
		t.Error("others do not wait")
	}
	home.deliver()
	if l.s.overfull(time.Hour) || home.open != mostMoving+1 {
		t.Errorf("others wait, though all %d have arrived", home.open)
	}
	for _, c := range home.streams {
		c.close()
	}
	if l.s.moving.Load() != 0 {
		t.Error("some are on their way for ever")
	}
	p := newPair(t, l) // and one whose home is aborted
	p.send("PING\r\n")
	p.turn()
	for _, f := range home.mail.close() {
		f.(*moving).drop()
	}
	if l.s.moving.Load() != 0 {
		t.Error("one that was dropped is on its way for ever")
	}
}
