package server

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A connection takes over what the listener has, from the first on, in both ways of dispatch: a loop sets nothing on it.
func TestConnectionsInherit(t *testing.T) {
	t.Parallel()
	s, err := New(nil, Options{TCP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	defer s.closeSockets()
	for range 2 {
		c, err := net.Dial("tcp", s.TCPAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	listener, err := duplicate(s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	for err := error(unix.EINTR); err != nil; {
		if _, err = unix.Poll([]unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
	}
	looped, _, err := acceptSocket(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(looped)
	nc, err := (&goroutines{s: s, tcp: s.tcp}).acceptOne()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	own, err := nc.File()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, o := range []struct {
		name               string
		level, value, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 300},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 100},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
	} {
		for dispatch, fd := range map[Dispatch]int{Pool: looped, Goroutine: int(own.Fd())} {
			if got, err := unix.GetsockoptInt(fd, o.level, o.value); got != o.want || err != nil {
				t.Errorf("%s: %s is %d (%v), want %d", dispatch, o.name, got, err, o.want)
			}
		}
	}
}

// pair is a stream of a loop that nothing serves but the test, and the client's end of it.
type pair struct {
	t      *testing.T
	l      *loop
	c      *stream
	client int
}

func newPair(t *testing.T, l *loop) *pair {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	return &pair{t, l, l.newStream(fds[0], netip.AddrPort{}), fds[1]}
}

func (p *pair) send(s string) {
	p.t.Helper()
	if n, err := unix.Write(p.client, []byte(s)); n != len(s) || err != nil {
		p.t.Fatal(n, err)
	}
}

func (p *pair) want(s string) {
	p.t.Helper()
	b := make([]byte, 4096)
	n, err := unix.Read(p.client, b)
	if got := string(b[:max(0, n)]); got != s && !(s == "" && err == unix.EAGAIN) {
		p.t.Errorf("the client reads %q (%v), want %q", got, err, s)
	}
}

// turn does what a turn of the loop does with one edge of the stream.
func (p *pair) turn(more ...uint32) {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: p.c.slot, Pad: p.c.generation}
	for _, e := range more {
		ev.Events |= e
	}
	p.l.handle(ev)
	p.l.goOn()
}

// commit gives the groups that wait their outcomes, the values from first on.
func (p *pair) commit(first uint64) {
	groups := p.l.groups
	p.l.groups = nil
	for _, g := range groups {
		for i := range g.Ops {
			g.Ops[i].Sum, g.Ops[i].Err = first, nil
			first++
		}
		g.Done(g)
	}
	p.l.deliver()
}

// A conversation that waits for its client keeps no buffer.
func TestIdleConversationsKeepNothing(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	for range 3 {
		p := newPair(t, l)
		p.send("INCR x\r\nINCR x\r\n")
		p.turn()
		p.commit(1)
		p.want(":1\r\n:2\r\n")
		v := p.c.handler.(*conversation)
		if v.x != nil || cap(p.c.in) > maxKept || p.c.out != nil || p.c.deadline.list != nil {
			t.Errorf("exchange %v, %d and %d bytes, deadline %v", v.x, cap(p.c.in), cap(p.c.out), p.c.deadline.list)
		}
		defer p.c.close()
	}
	if len(l.exchanges) != 1 {
		t.Errorf("%d exchanges were made, want 1", len(l.exchanges))
	}
}

// What arrives while a group is under way is read when it is answered, and not before; no edge tells of it then.
func TestConversationReadsWhenItHasAnswered(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	p := newPair(t, l)
	defer func() { p.c.close() }()
	p.send("INCR x\r\n")
	p.turn()
	p.send("INCR x\r\nPING\r\n")
	p.turn()
	if len(l.groups) != 1 || len(l.again) != 0 {
		t.Fatalf("%d groups, %d go on; want 1 and none", len(l.groups), len(l.again))
	}
	p.commit(1)
	p.want(":1\r\n")
	if len(l.again) != 1 {
		t.Fatalf("%d go on, want 1", len(l.again))
	}
	if !l.mail.sleep() { // what wait asks for when there is nothing to go on with
		t.Error("the mailbox is not empty")
	}
	if l.wait(); len(l.again) != 1 { // does not sleep
		t.Error("it does not go on")
	}
	l.goOn()
	p.commit(2)
	p.want(":2\r\n+PONG\r\n")
	if len(l.again) != 0 || len(l.groups) != 0 {
		t.Errorf("%d go on, %d groups at the end", len(l.again), len(l.groups))
	}
}

// A conversation with more to do has one turn after another, with those of others between.
func TestConversationsTakeTurns(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	p, q := newPair(t, l), newPair(t, l)
	defer func() { p.c.close(); q.c.close() }()
	l.s.opts.MaxInFlight = 2
	p.send(strings.Repeat("INCR x\r\n", 5))
	p.turn()
	first := uint64(1)
	for _, want := range []string{":1\r\n:2\r\n", ":3\r\n:4\r\n", ":5\r\n"} {
		if len(l.groups) != 1 {
			t.Fatalf("%d groups", len(l.groups))
		}
		p.commit(first)
		p.want(want)
		q.send("PING\r\n")
		l.handle(unix.EpollEvent{Events: unix.EPOLLIN, Fd: q.c.slot, Pad: q.c.generation})
		q.want("+PONG\r\n")
		l.goOn()
		first += 2
	}
}

// A conversation that was closed while it waited for its next turn has none, also when its stream is another's by then.
func TestClosedConversationHasNoTurn(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	l.s.opts.MaxInFlight = 1
	p := newPair(t, l)
	p.send("INCR x\r\nINCR x\r\n")
	p.turn()
	p.commit(1)
	if len(l.again) != 1 {
		t.Fatalf("%d go on, want 1", len(l.again))
	}
	p.c.close()
	q := newPair(t, l)
	defer func() { q.c.close() }()
	if q.c != p.c {
		t.Fatal("the stream is not used again")
	}
	q.send("PI")
	l.goOn()
	q.turn()
	if len(l.groups) != 0 || q.c.state != reading {
		t.Error("a closed conversation had a turn")
	}
	q.send("NG\r\n")
	q.turn()
	q.want("+PONG\r\n")
	if n := len(l.s.resp.list()); n != 1 {
		t.Errorf("%d clients are known, want 1", n)
	}
}

// Nor does it read: what it had as its descriptor may be anything by then, a file of the store's too.
func TestClosedConversationReadsNothing(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	l.s.opts.MaxInFlight = 1
	p := newPair(t, l)
	p.send("INCR x\r\nINCR x\r\n")
	p.turn()
	p.commit(1)
	if len(l.again) != 1 {
		t.Fatalf("%d go on, want 1", len(l.again))
	}
	p.c.close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	p.c.fd = fds[0]
	if _, err := unix.Write(fds[1], []byte("not for it")); err != nil {
		t.Fatal(err)
	}
	l.goOn()
	b := make([]byte, 20)
	if n, err := unix.Read(fds[0], b); err != nil || string(b[:n]) != "not for it" {
		t.Errorf("%q is left of what was not for it (%v)", b[:max(0, n)], err)
	}
}

// What a loop that is awake puts into its own mailbox wakes nobody.
func TestAwakeLoopIsNotWoken(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	if !l.mail.sleep() {
		t.Fatal("did not sleep with nothing to do")
	}
	l.mail.awake()
	l.mail.put(&stream{})
	if events := l.poll.ready(); len(events) != 0 {
		t.Error("it was woken")
	}
	if items := l.mail.take(nil); len(items) != 1 {
		t.Errorf("%d items, want 1", len(items))
	}
}

// The end of what the client sends is found, although one edge tells of bytes and end together.
func TestConversationHearsTheEnd(t *testing.T) {
	t.Parallel()
	for _, established := range []bool{false, true} {
		l := idleLoop(t, -1)
		p := newPair(t, l)
		p.turn() // nothing there: from now on it is watched
		if established {
			p.send("PING\r\n")
			p.turn()
			p.want("+PONG\r\n")
		}
		p.send("INCR x\r\n")
		if err := unix.Shutdown(p.client, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		p.turn(unix.EPOLLRDHUP)
		p.commit(1)
		p.want(":1\r\n")
		l.goOn()
		if l.open != 0 {
			t.Errorf("established %v: the connection is open still", established)
		}
	}
}

// What arrives while the client takes no answers is read when it has taken them; and the deadline for that is over then.
func TestConversationAfterASlowAnswer(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	p := newPair(t, l)
	defer func() { p.c.close() }()
	value := strings.Repeat("x", 1<<16-100)
	for range 10 {
		p.send("ECHO " + value + "\r\n")
		p.turn()
		if p.c.state == writing {
			break
		}
	}
	if p.c.state != writing || p.c.deadline.list != &l.writing {
		t.Fatalf("it does not wait for its client: state %d", p.c.state)
	}
	p.send("PING\r\nPI")
	p.turn()
	for b := make([]byte, 1<<20); p.c.state == writing; {
		if _, err := unix.Read(p.client, b); err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		l.handle(unix.EpollEvent{Events: unix.EPOLLOUT, Fd: p.c.slot, Pad: p.c.generation})
	}
	for b := make([]byte, 1<<20); ; { // the rest of the answer
		if _, err := unix.Read(p.client, b); err == unix.EAGAIN {
			break
		}
	}
	if p.c.deadline.list != nil {
		t.Error("the write deadline goes on")
	}
	l.goOn()
	p.want("+PONG\r\n")
	if p.c.deadline.list != &l.reading {
		t.Error("the deadline is not the one for the rest of a command")
	}
}

// Each command has its own time, from its own beginning.
func TestConversationDeadlines(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	p := newPair(t, l)
	defer func() { p.c.close() }()
	wait := l.s.opts.ReadTimeout
	due := func(want time.Duration, when string) {
		t.Helper()
		if d := &p.c.deadline; d.list != &l.reading || d.due != want {
			t.Errorf("%s: list %p, due %v, want %v", when, d.list, d.due, want)
		}
	}
	p.send("INCR or")
	p.turn()
	due(wait, "a command has begun")
	l.now += wait / 2
	p.send("de")
	p.turn()
	due(wait, "it goes on")
	p.send("rs\r\nINCR or")
	p.turn()
	p.commit(1)
	due(wait/2+wait, "the next has begun")
	p.send("ders\r\n")
	p.turn()
	p.commit(2)
	if p.c.deadline.list != nil {
		t.Error("there is a deadline although nothing has begun")
	}
	p.want(":1\r\n:2\r\n")
}

// A server that stops answers what is under way and refuses the rest; at the end a conversation is
// closed at once, or if its client was refused when that has read it.
func TestConversationDrains(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]streamState{"": closed, "INCR x\r\n": lingering} {
		l := idleLoop(t, -1)
		p, silent := newPair(t, l), newPair(t, l)
		p.send("INCR x\r\n")
		p.turn()
		silent.send("PING\r\n")
		silent.turn()
		silent.want("+PONG\r\n")
		l.s.stopping.Store(true)
		l.p.stage.Store(draining)
		if l.end(draining) || silent.c.state != reading || p.c.state != committing {
			t.Errorf("states %d and %d, want reading and committing", silent.c.state, p.c.state)
		}
		l.p.stage.Store(parting)
		if l.end(parting) || silent.c.state != closed || p.c.state != committing {
			t.Errorf("states %d and %d, want closed and committing", silent.c.state, p.c.state)
		}
		p.send(more)
		p.turn()
		p.commit(1)
		p.want(":1\r\n" + strings.Repeat("-LOADING the server is shutting down: try again when it is back\r\n", strings.Count(more, "INCR")))
		if l.goOn(); p.c.state != want || len(l.groups) != 0 {
			t.Errorf("state %d with %q behind, want %d", p.c.state, more, want)
		}
		if want != closed {
			p.c.close()
		}
		if !l.end(parting) {
			t.Error("the loop does not end")
		}
	}
}

// A conversation that was about to have another turn when the end came has it, and ends, although
// there is nothing more.
func TestConversationEndsBehindItsTurn(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	p := newPair(t, l)
	p.send("INCR x\r\n")
	p.turn()
	p.c.unread = true
	p.commit(1)
	p.want(":1\r\n")
	if !p.c.handler.(*conversation).queued {
		t.Fatal("it has no other turn")
	}
	l.p.stage.Store(parting)
	if l.end(parting) {
		t.Error("the loop ends with a conversation")
	}
	if l.goOn(); p.c.state != closed || !l.end(parting) {
		t.Errorf("state %d, want %d", p.c.state, closed)
	}
}

// A client that has gone when its answer is there leaves nothing behind that it would still be
// charged for.
func TestConversationGivesBackWhatAGoneClientHeld(t *testing.T) {
	t.Parallel()
	l := idleLoop(t, -1)
	p := newPair(t, l)
	p.send(strings.Repeat("INCR x\r\n", 3000))
	p.turn()
	if l.s.held.Load() == 0 || p.c.state != committing {
		t.Fatalf("%d bytes held in state %d, want some, in state committing", l.s.held.Load(), p.c.state)
	}
	if err := unix.Shutdown(p.client, unix.SHUT_RD); err != nil {
		t.Fatal(err)
	}
	p.commit(1)
	if held := l.s.held.Load(); p.c.state != closed || held != 0 || len(l.exchanges) != 1 {
		t.Errorf("state %d, %d bytes held, %d exchanges kept; want closed, none, and 1", p.c.state, held, len(l.exchanges))
	}
}
