package redis

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/server/internal/session/sessiontest"
)

// here is a client on the server's own machine.
var here = gate.Peer{Addr: netip.MustParseAddrPort("127.0.0.1:4711")}

// lab is a door whose sessions have no sockets, over a backend in memory.
type lab struct {
	door    *Door
	backend *sessiontest.Backend
	peer    gate.Peer
}

// newLab makes one. change, which may be nil, has the options before.
func newLab(change func(*Options, *gate.Options)) *lab {
	l := &lab{backend: new(sessiontest.Backend), peer: here}
	limits := gate.Options{MaxConns: 100, MaxConnsPerSource: 100, MaxInFlight: 65_536, MaxInFlightBytes: 256 << 20,
		RefusalRate: 100, Logger: hclog.NewNullLogger()}
	o := Options{Backend: func() Backend { return l.backend }, Port: func() int { return 0 },
		Settings: func() []Setting { return nil }, Logger: limits.Logger}
	if change != nil {
		change(&o, &limits)
	}
	o.Gate = gate.New(limits)
	l.door = NewDoor(o)
	l.door.scanRun = 1
	return l
}

// world is one with a client for each conversation, over an empty backend. They share a worker,
// unless single.
func (l *lab) world(single bool, conversations ...[]string) *sessiontest.World {
	*l.backend = sessiontest.Backend{Outcome: l.backend.Outcome, Full: l.backend.Full, Odd: l.backend.Odd,
		Most: l.backend.Most}
	l.door.gate.Refusing.Store(uint32(0))
	w := sessiontest.New(l.door.gate, l.backend)
	worker := l.door.NewWorker(&w.Worker, single)
	for _, pieces := range conversations {
		w.Add(worker.NewSession(l.peer, netip.AddrPort{}), pieces...)
	}
	return w
}

// talk has one client say something, all at once and in the simplest order, and returns what it is
// answered.
func (l *lab) talk(t *testing.T, in string) (got string, last session.Next) {
	t.Helper()
	w := l.world(false, []string{in})
	if err := w.Run(new(sessiontest.Choices)); err != nil {
		t.Fatalf("%.200q: the session broke its contract: %v", in, err)
	}
	return string(w.Clients[0].Got), w.Clients[0].Last
}

// hear tells a session what was read, and returns what it says until it waits for something.
func hear(c *Session, in string) (out string, a session.Action) {
	return goOn(c, session.Event{Kind: session.Bytes, Bytes: []byte(in), Drained: true})
}

// goOn tells a session what has happened, and returns what it says until it waits for something.
func goOn(c *Session, e session.Event) (out string, a session.Action) {
	for {
		switch a = c.Advance(e); a.Next {
		case session.Write:
			out += string(a.Out)
			e = session.Event{Kind: session.Written}
		case session.Again, session.Look:
			e = session.Event{Kind: session.Turn}
		default:
			return out, a
		}
	}
}

// Backups are for clients on the server's own machine, unless they are allowed for all.
func TestBackupFromElsewhere(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"::ffff:127.0.0.1": true, "10.0.0.7": false, "::": false, "::ffff:10.0.0.7": false, "fe80::1": false,
		"2001:db8::1": false, "128.0.0.1": false} {
		for _, allowed := range []bool{false, true} {
			l := newLab(func(o *Options, _ *gate.Options) {
				o.AllowBackup = allowed
				o.Backup = func(context.Context, io.Writer, string) error { return nil }
			})
			l.peer = gate.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 4711)}
			got, _ := l.talk(t, "GCD.BACKUP\r\nPING\r\n")
			if sent := got == "$?\r\n;0\r\n+PONG\r\n"; sent != (want || allowed) || !sent && got[:7] != "-NOPERM" {
				t.Errorf("from %s, allowed for all: %t: %q", addr, allowed, got)
			}
		}
	}
}

// A client that has gone when its answer is there leaves nothing that it would still be charged
// for, and the backend's group as it is.
func TestSessionGivesBackWhatAGoneClientHeld(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{true, false} {
		l := newLab(nil)
		w := l.world(false)
		worker := l.door.NewWorker(&w.Worker, false)
		c := worker.NewSession(here, netip.AddrPort{})
		a := c.Advance(session.Event{Kind: session.Bytes, Bytes: []byte(strings.Repeat("INCR x\r\n", 3000))})
		if held := l.door.gate.Stats().Held; held == 0 || a.Next != session.Commit {
			t.Fatalf("%d bytes held, and it says %d; want some, and Commit", held, a.Next)
		}
		if answered {
			a = c.Advance(session.Event{Kind: session.Outcome})
		}
		c.Advance(session.Event{Kind: session.Ended, Err: nil})
		kept := 0 // what the backend has is not used again
		if answered {
			kept = 1
		}
		if held := l.door.gate.Stats().Held; held != 0 || len(worker.spare) != kept {
			t.Errorf("%d bytes are held, %d exchanges kept", held, len(worker.spare))
		}
		if l.door.count() != 0 {
			t.Error("the client is known still")
		}
	}
}

// Who waits for its next command is charged for nothing.
func TestSessionGivesBackBetweenCommands(t *testing.T) {
	t.Parallel()
	l := newLab(nil)
	worker := l.door.NewWorker(&l.world(false).Worker, false)
	c := worker.NewSession(here, netip.AddrPort{})
	if _, a := hear(c, strings.Repeat("PING\r\n", 8000)); a.Next != session.Read {
		t.Fatalf("it says %d, want Read", a.Next)
	}
	if held := l.door.gate.Stats().Held; held != 0 || len(worker.spare) != 1 {
		t.Errorf("%d bytes are held, %d exchanges kept", held, len(worker.spare))
	}
}

// A bug that shows when the answer is made costs its client alone, and nothing stays charged.
func TestSessionGivesBackWhatAPanicHeld(t *testing.T) {
	t.Parallel()
	l := newLab(nil)
	l.door.SetCommand("boom", func() { panic("a bug in a command") })
	worker := l.door.NewWorker(&l.world(false).Worker, false)
	c := worker.NewSession(here, netip.AddrPort{})
	in := "MULTI\r\n" + strings.Repeat("INCR x\r\n", 3000) + "BOOM\r\nEXEC\r\n"
	if _, a := hear(c, in); a.Next != session.Commit || l.door.gate.Stats().Held == 0 {
		t.Fatalf("it says %d, and %d bytes are held; want Commit, and some", a.Next, l.door.gate.Stats().Held)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		c.Advance(session.Event{Kind: session.Outcome})
	}()
	c.Advance(session.Event{Kind: session.Ended})
	if held := l.door.gate.Stats().Held; held != 0 || len(worker.spare) != 1 || l.door.count() != 0 {
		t.Errorf("%d bytes are held, %d exchanges kept, %d clients", held, len(worker.spare), l.door.count())
	}
}

// A connection that ends while another goroutine is about to send a backup over it takes nothing
// away that this needs.
func TestConnectionEndsBesideItsBackup(t *testing.T) {
	t.Parallel()
	asked := ""
	l := newLab(func(o *Options, _ *gate.Options) {
		o.Backup = func(_ context.Context, _ io.Writer, format string) error {
			asked = format
			return nil
		}
	})
	c := l.door.NewWorker(&l.world(false).Worker, false).NewSession(here, netip.AddrPort{})
	if _, a := hear(c, "GCD.BACKUP FORMAT csv\r\n"); a.Next != session.Detach {
		t.Fatalf("it says %d, want Detach", a.Next)
	}
	c.Advance(session.Event{Kind: session.Ended})
	ours, theirs := net.Pipe()
	defer ours.Close()
	theirs.Close()
	if c.Detached(ours); asked != backupCSV {
		t.Errorf("the backup is asked for in the format %q", asked)
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
		w := newLab(nil).world(false, []string{in, in})
		if err := w.Run(new(sessiontest.Choices)); err != nil {
			t.Fatal(err)
		}
		if got := w.Clients[0].Session.(*Session).modest; got != little {
			t.Errorf("%q asks for little: %v", in, got)
		}
	}
}

// However long the pipelines are that are answered at once, what they cost is little of a turn:
// beside somebody who asks for little one command, where the time is over with it, and else as many
// as there are between two looks at the clock.
func TestCommandsThatAreAnsweredAtOnceShareATurn(t *testing.T) {
	t.Parallel()
	const commands = 40
	for _, little := range []bool{false, true} {
		for _, command := range []string{"PING", "GET x", "NOSUCH", "MULTI", "TYPE x", "CLIENT ID", "COMMAND COUNT"} {
			l := newLab(nil)
			g := l.door.gate
			g.FullTime, g.SharedTime = 0, 0
			worker := l.door.NewWorker(workerAt(g, time.Since(g.Began)), false)
			if little {
				g.NoteLittle(1<<62, gate.Modest)
			}
			_, each := g.TurnTime(worker.Tally.Now)
			c := worker.NewSession(here, netip.AddrPort{})
			in := []byte(strings.Repeat(command+"\r\n", commands))
			e := session.Event{Kind: session.Bytes, Bytes: in, Drained: true}
			turns := 0
			for ; ; turns++ {
				before := g.Commands.Load()
				if a := c.Advance(e); a.Next != session.Write {
					break
				}
				a := c.Advance(session.Event{Kind: session.Written})
				if n := int(g.Commands.Load() - before); n != each ||
					a.Next != session.Again && a.Next != session.Read {
					t.Fatalf("%s beside a little one: %v: %d commands in turn %d, want %d", command, little, n, turns,
						each)
				}
				e = session.Event{Kind: session.Turn}
			}
			if turns != commands/each {
				t.Errorf("%s beside a little one: %v: %d turns, want %d", command, little, turns, commands/each)
			}
			c.Advance(session.Event{Kind: session.Ended, Err: nil})
		}
	}
}

// An answer that waits for its client is charged to him while it does, and a client for whose
// answer there is no room is not waited for.
func TestAnswersThatWaitAreCharged(t *testing.T) {
	t.Parallel()
	for _, crowded := range []bool{false, true} {
		l := newLab(func(o *Options, limits *gate.Options) {
			limits.MaxInFlightBytes = 2 << 20
			o.Settings = func() []Setting { return []Setting{{"long", strings.Repeat("x", 4000)}} }
		})
		g := l.door.gate
		c := l.door.NewWorker(workerAt(g, 0), false).NewSession(here, netip.AddrPort{})
		var others gate.Held
		if crowded && !g.Hold(&others, g.MostHeld) {
			t.Fatal("there is no room for others")
		}
		a := c.Advance(session.Event{Kind: session.Bytes, Bytes: []byte(strings.Repeat("CONFIG GET *\r\n", 20))})
		size := len(a.Out)
		if size < 2*freeHeld {
			t.Fatalf("answered %.100q", a.Out)
		}
		if waits := c.Untaken(); waits == crowded {
			t.Errorf("crowded: %v, and it waits: %v", crowded, waits)
		}
		if held := c.held.Bytes(); !crowded && held < size-freeHeld {
			t.Errorf("%d bytes are charged of an answer of %d", held, size)
		}
		c.Advance(session.Event{Kind: session.Ended, Err: nil})
		if g.Hold(&others, 0); g.Stats().Held != 0 {
			t.Errorf("%d bytes are held at the end", g.Stats().Held)
		}
	}
}

// Who waits for his client keeps no buffers, but what one worker's clients need at once.
func TestIdleSessionsKeepNothing(t *testing.T) {
	t.Parallel()
	l := newLab(nil)
	w := l.world(false)
	worker := l.door.NewWorker(&w.Worker, false)
	for range 3 {
		c := w.Add(worker.NewSession(here, netip.AddrPort{}), "INCR x\r\nINCR x\r\n")
		if err := w.Run(new(sessiontest.Choices)); err != nil {
			t.Fatal(err)
		}
		if s := c.Session.(*Session); s.x != nil || s.out != nil || len(worker.spare) != 1 {
			t.Errorf("an exchange: %v, %d bytes, %d exchanges were made", s.x != nil, cap(s.out), len(worker.spare))
		}
		w.Clients = nil
	}
}

// While somebody asks for little, connections with long pipelines have short turns; all are done in
// the end, and without him they are long.
func TestLongPipelinesHaveShortTurnsBesideALittleOne(t *testing.T) {
	t.Parallel()
	const clients, commands = 50, 200
	for _, row := range []struct {
		name        string
		little      bool
		least, most int // operations of all in their first turn
	}{
		{"alone", false, clients * commands, clients * commands},
		{"beside a little one", true, clients * gate.LittleOps, 1500},
	} {
		l := newLab(nil)
		g := l.door.gate
		worker := l.door.NewWorker(workerAt(g, time.Hour), false)
		if row.little {
			g.NoteLittle(1<<62, gate.Talker)
		}
		in := []byte(strings.Repeat("INCR x\r\n", commands))
		sessions, turns := make([]*Session, clients), make([]session.Action, clients)
		for i := range sessions {
			sessions[i] = worker.NewSession(here, netip.AddrPort{})
			turns[i] = sessions[i].Advance(session.Event{Kind: session.Bytes, Bytes: in, Drained: true})
		}
		total := 0
		for round := 0; ; round++ {
			ops := 0
			for _, a := range turns {
				if a.Next == session.Commit {
					ops += len(a.Group.Ops)
				}
			}
			if total += ops; ops == 0 {
				break
			}
			if round == 0 && (ops < row.least || ops > row.most) {
				t.Errorf("%s: %d operations in the first turn, want %d to %d", row.name, ops, row.least, row.most)
			}
			for _, a := range turns {
				if a.Next == session.Commit {
					g.Done(a.Claim)
				}
			}
			for i, c := range sessions {
				if turns[i].Next != session.Commit {
					continue
				}
				c.Advance(session.Event{Kind: session.Outcome})
				if turns[i] = c.Advance(session.Event{Kind: session.Written}); turns[i].Next == session.Again {
					turns[i] = c.Advance(session.Event{Kind: session.Turn})
				}
			}
		}
		if total != clients*commands {
			t.Errorf("%s: %d operations in all, want %d", row.name, total, clients*commands)
		}
	}
}

// Looks at more topics than a turn looks at go on in the next turns, and find each topic once.
func TestLooksGoByTurns(t *testing.T) {
	t.Parallel()
	l := newLab(nil)
	l.world(false)
	const topics = 3 * maxLook
	for i := range topics {
		l.backend.Set(fmt.Sprintf("t%05d", i), uint64(1+i%2))
	}
	c := l.door.NewWorker(workerAt(l.door.gate, 0), false).
		NewSession(here, netip.AddrPort{})
	count := func(in string) (turns, found int, out string) {
		e := session.Event{Kind: session.Bytes, Bytes: []byte(in), Drained: true}
		for a := c.Advance(e); ; a = c.Advance(e) {
			switch a.Next {
			case session.Look:
				turns++
				e = session.Event{Kind: session.Turn}
			case session.Write:
				out += string(a.Out)
				e = session.Event{Kind: session.Written}
			default:
				return turns, strings.Count(out, "$6\r\nt"), out
			}
		}
	}
	if turns, found, _ := count("KEYS *\r\n"); turns < 3 || found != topics {
		t.Errorf("KEYS finds %d topics in %d turns", found, turns)
	}
	if turns, found, _ := count("KEYS t*7\r\n"); turns < 3 || found != (topics+2)/10 {
		t.Errorf("KEYS finds %d topics that end in 7, in %d turns", found, turns)
	}
	found, calls := 0, 0
	for cursor := "0"; cursor != "0" || calls == 0; calls++ {
		_, n, out := count("SCAN " + cursor + " COUNT 5000\r\n")
		found += n
		_, cursor, _ = strings.Cut(out, "\r\n")    // behind the array's head
		_, cursor, _ = strings.Cut(cursor, "\r\n") // and the cursor's
		cursor, _, _ = strings.Cut(cursor, "\r\n")
	}
	if found != topics || calls != topics/maxLook {
		t.Errorf("SCAN finds %d topics in %d calls", found, calls)
	}
	c.Advance(session.Event{Kind: session.Ended})
}
