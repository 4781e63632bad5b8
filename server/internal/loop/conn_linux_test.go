package loop

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
)

// A connection that waits costs little.
func TestSizes(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(conn{}); n > 768 {
		t.Errorf("a connection has %d bytes", n)
	}
}

// flood is a session that answers anything with more than sockets buffer.
type flood struct{ session.Session }

const floodSize = 32 << 20

func (flood) Advance(e session.Event) session.Action {
	switch e.Kind {
	case session.Bytes:
		return session.Action{Next: session.Write, Out: make([]byte, floodSize)}
	case session.Written:
		return session.Action{Next: session.Close}
	}
	return session.Action{Next: session.Read}
}

func (flood) Untaken() bool { return true }
func (flood) End(error)     {}

// An answer that the socket does not take at once goes out as its client reads.
func TestSlowReaderGetsEverything(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "")
	p.c.session = flood{}
	p.send("\x00go")
	p.turn()
	if p.c.state != writing || l.p.o.Gate.Untaken.Load() != 1 {
		t.Fatalf("state %d, %d wait for their client, want writing and 1", p.c.state, l.p.o.Gate.Untaken.Load())
	}
	read := 0
	for p.c.state == writing {
		n := len(p.read())
		if n == 0 {
			t.Fatalf("the client gets nothing more behind %d bytes", read)
		}
		read += n
		p.event(unix.EPOLLOUT)
	}
	for n := len(p.read()); n > 0; n = len(p.read()) {
		read += n
	}
	if st := l.p.o.Gate.Stats(); read != floodSize || st.LostAnswers != 0 || p.c.state != closed {
		t.Errorf("read %d bytes of %d, %d lost, state %d", read, floodSize, st.LostAnswers, p.c.state)
	}
	if n := l.p.o.Gate.Untaken.Load(); n != 0 {
		t.Errorf("%d wait for their client at the end", n)
	}
}

// A client that does not take its answer is given up at the write deadline.
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "")
	p.c.session = flood{}
	p.send("\x00go")
	p.turn()
	l.tally.Now += l.p.o.WriteTimeout - 1
	l.expire()
	if p.c.state != writing {
		t.Fatalf("given up too early: state %d", p.c.state)
	}
	l.tally.Now++
	l.expire()
	if st := l.p.o.Gate.Stats(); p.c.state != closed || st.LostAnswers != 1 || l.open != 0 {
		t.Errorf("state %d, %d answers lost, %d open, want closed, 1 and 0", p.c.state, st.LostAnswers, l.open)
	}
}

// An event of a connection that has ended says nothing about the next one in its slot.
func TestStaleEvent(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	first := newPair(t, l, b, "\x00")
	stale := unix.EpollEvent{Events: unix.EPOLLIN, Fd: first.c.slot, Pad: first.c.generation}
	first.c.close(nil)
	second := newPair(t, l, b, "")
	if second.c != first.c {
		t.Fatalf("slot %d is not used again: %d", stale.Fd, second.c.slot)
	}
	second.send("\x00orders")
	if l.handle(stale); len(l.groups) != 0 {
		t.Fatal("a stale event was taken for the new connection's")
	}
	if second.event(0); len(l.groups) != 1 {
		t.Fatal("the new connection's own event was not")
	}
	second.commit(1)
	if l.open != 0 || len(l.conns) != 1 || len(l.free) != 1 {
		t.Errorf("%d open, %d connections, %d free", l.open, len(l.conns), len(l.free))
	}
}

// What has arrived when the settle time is over belongs to the message, although the loop was late
// and has not read it.
func TestLateLoopStillReads(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "\x00caf\xc3")
	p.send("\xa9")
	l.tally.Now += l.p.o.Settle
	l.expire()
	if len(l.groups) != 1 || string(l.groups[0].Ops[0].Topic) != "café" {
		t.Fatalf("%d groups", len(l.groups))
	}
	p.commit(1)
}

// What arrives while a group is under way is read when it is answered, and not before; no edge
// tells of it then.
func TestConversationReadsWhenItHasAnswered(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "INCR x\r\n")
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
	if l.completions.ready.Load() { // what wait asks for when there is nothing to go on with
		t.Error("there are completions")
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

// A conversation that was closed while it waited for its next turn has none, also when its place is
// another's by then. Nor does it read: what it had as its descriptor may be anything, a file of the
// store's too.
func TestClosedConversationHasNoTurn(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{true, false} {
		l, b := idleLoop(t, -1)
		l.p.o.Gate.Options.MaxInFlight = 1
		p := newPair(t, l, b, "INCR x\r\nINCR x\r\n")
		p.commit(1)
		if len(l.again) != 1 {
			t.Fatalf("%d go on, want 1", len(l.again))
		}
		p.c.close(nil)
		if again {
			q := newPair(t, l, b, "")
			if q.c != p.c {
				t.Fatal("its place is not used again")
			}
			q.send("PI")
			if l.goOn(); q.c.queued || len(l.groups) != 0 {
				t.Error("a closed conversation had a turn")
			}
			q.turn()
			q.send("NG\r\n")
			q.turn()
			q.want("+PONG\r\n")
			continue
		}
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			unix.Close(fds[0])
			unix.Close(fds[1])
		})
		p.c.fd, p.client = fds[0], fds[0]
		if _, err := unix.Write(fds[1], []byte("not for it")); err != nil {
			t.Fatal(err)
		}
		l.goOn()
		p.want("not for it")
	}
}

// The end of what the client sends is found, although one edge tells of bytes and end together.
func TestConversationHearsTheEnd(t *testing.T) {
	t.Parallel()
	for _, established := range []bool{false, true} {
		l, b := idleLoop(t, -1)
		p := newPair(t, l, b, "") // from now on it is watched
		if established {
			p.send("PING\r\n")
			p.turn()
			p.want("+PONG\r\n")
		}
		p.send("INCR x\r\n")
		if err := unix.Shutdown(p.client, unix.SHUT_WR); err != nil {
			t.Fatal(err)
		}
		p.event(unix.EPOLLRDHUP)
		l.goOn()
		p.commit(1)
		p.want(":1\r\n")
		if l.goOn(); l.open != 0 {
			t.Errorf("established %v: the connection is open still", established)
		}
	}
}

// What arrives while the client takes no answers is read when it has taken them; and the deadline
// for that is over then.
func TestConversationAfterASlowAnswer(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "")
	value := strings.Repeat("x", 1<<16-100)
	for n := 0; n < 10 && p.c.state != writing; n++ {
		p.send("ECHO " + value + "\r\n")
		p.turn()
	}
	if p.c.state != writing || p.c.deadline.list != &l.writing {
		t.Fatalf("it does not wait for its client: state %d", p.c.state)
	}
	p.send("PING\r\nPI")
	p.turn()
	for p.c.state == writing {
		if len(p.read()) == 0 {
			t.Fatal("the client gets nothing more")
		}
		p.event(unix.EPOLLOUT)
	}
	for len(p.read()) > 0 { // the rest of the answer
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
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "INCR or")
	wait := l.p.o.ReadTimeout
	due := func(want time.Duration, when string) {
		t.Helper()
		if d := &p.c.deadline; d.list != &l.reading || d.due != want {
			t.Errorf("%s: list %p, due %v, want %v", when, d.list, d.due, want)
		}
	}
	due(wait, "a command has begun")
	l.tally.Now += wait / 2
	p.send("de")
	p.turn()
	due(wait, "it goes on")
	p.send("rs\r\nINCR or")
	p.turn()
	p.commit(1)
	l.goOn()
	due(wait/2+wait, "the next has begun")
	p.send("ders\r\n")
	p.turn()
	p.commit(2)
	if p.c.deadline.list != nil {
		t.Error("there is a deadline although nothing has begun")
	}
	p.want(":1\r\n:2\r\n")

	// Silence in a transaction has a time of its own, and so has what ends it.
	p.send("MULTI\r\nINCR x\r\n")
	p.turn()
	due(l.tally.Now+wait, "in a transaction")
	l.tally.Now += wait / 2
	p.send("INCR")
	p.turn()
	due(l.tally.Now+wait, "a command has begun in a transaction")
	began := l.tally.Now
	l.tally.Now += wait / 2
	p.send(" x\r\nEX")
	p.turn()
	due(l.tally.Now+wait, "the next has begun")
	l.tally.Now = began + wait
	l.expire()
	p.want("+OK\r\n+QUEUED\r\n+QUEUED\r\n")
	l.tally.Now = l.due
	l.expire()
	p.want("-ERR Protocol error: the command was not complete in time\r\n")
	if p.c.state != lingering {
		t.Errorf("state %d behind a command that was late", p.c.state)
	}
}

// A server that stops answers what is under way and refuses the rest; at the end a conversation is
// closed at once, or if its client was refused when that has read it.
func TestConversationDrains(t *testing.T) {
	t.Parallel()
	const refused = "-LOADING the server is shutting down: try again when it is back\r\n"
	for more, want := range map[string]connState{"": closed, "INCR x\r\n": lingering} {
		l, b := idleLoop(t, -1)
		p, silent := newPair(t, l, b, "INCR x\r\n"), newPair(t, l, b, "PING\r\n")
		silent.want("+PONG\r\n")
		l.goOn()
		l.p.o.Gate.Refusing.Store(uint32(codec.CodeShuttingDown))
		l.p.stage.Store(draining)
		if l.end(draining) || silent.c.state != reading || p.c.state != deciding {
			t.Errorf("states %d and %d, want reading and deciding", silent.c.state, p.c.state)
		}
		l.p.stage.Store(parting)
		if l.end(parting) || silent.c.state != closed || p.c.state != deciding {
			t.Errorf("states %d and %d, want closed and deciding", silent.c.state, p.c.state)
		}
		p.send(more)
		p.turn()
		p.commit(1)
		p.want(":1\r\n" + strings.Repeat(refused, strings.Count(more, "INCR")))
		if l.goOn(); p.c.state != want || len(l.groups) != 0 {
			t.Errorf("state %d with %q behind, want %d", p.c.state, more, want)
		}
		if want != closed {
			p.c.close(nil)
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
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "INCR x\r\n")
	p.c.unread = true
	p.commit(1)
	p.want(":1\r\n")
	if !p.c.queued {
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

// A panic in a session ends its connection, and nothing else.
func TestPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	l.p.o.Redis.SetCommand("fault", func() { panic("a fault") })
	other, p := newPair(t, l, b, "INCR x\r\n"), newPair(t, l, b, "")
	p.send("INCR x\r\n")
	p.turn()
	p.commit(1)
	p.send("FAULT\r\n")
	p.turn()
	if st := l.p.o.Gate.Stats(); p.c.state != closed || st.Panics != 1 || st.InFlight != 0 || st.Connections != 1 {
		t.Errorf("state %d, %+v", p.c.state, st)
	}
	other.send("PING\r\n")
	other.turn()
	other.want(":1\r\n+PONG\r\n")
}

// What the backend has when the pool is aborted is its own; it is in flight until then.
func TestCompletionAfterAbort(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{true, false} { // the outcomes come when the loop has ended, or before it looks
		l, b := idleLoop(t, -1)
		newPair(t, l, b, "INCR x\r\n")
		newPair(t, l, b, "\x00x")
		l.commit()
		groups := b.groups
		if n := l.p.o.Gate.Stats().InFlight; n != 2 || len(groups) != 2 {
			t.Fatalf("%d in flight in %d groups, want 2 in 2", n, len(groups))
		}
		finish := func() {
			for _, g := range groups {
				g.Done(g)
			}
		}
		if !late {
			finish()
		}
		l.p.stage.Store(aborting)
		if !l.end(aborting) || l.open != 0 {
			t.Errorf("%d are open", l.open)
		}
		if late {
			finish()
		}
		if st := l.p.o.Gate.Stats(); st.InFlight != 0 || st.Connections != 0 || st.Answered != 0 {
			t.Errorf("the gate still has something, or counts an answer: %+v", st)
		}
	}
}

// While there is no room for what is held for clients, little is read at a time, also of a client
// that was waited for while there was.
func TestLittleIsReadWhenThereIsNoRoom(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "PING\r\n")
	p.want("+PONG\r\n")
	l.goOn()
	var others gate.Held
	g := l.p.o.Gate
	if !g.Hold(&others, g.MostHeld) {
		t.Fatal("there was no room to begin with")
	}
	p.send(strings.Repeat("INCR x\r\n", 4000))
	before := l.tally.In
	if p.event(0); l.tally.In-before != littleRead {
		t.Errorf("it reads %d bytes at once, want %d", l.tally.In-before, littleRead)
	}
	p.commit(1)
}
