package redis

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"gcd/codec"
	"gcd/internal/thin"
	"gcd/server/internal/gate"
	"gcd/server/internal/session"
	"gcd/server/internal/session/sessiontest"
	"gcd/store/core"
)

// While the counters are loaded it is answered what needs none, and the rest is refused; then all
// is answered, over the same connection.
func TestSessionWhileLoading(t *testing.T) {
	t.Parallel()
	loading := "-" + codec.CodeLoading.RedisError() + "\r\n"
	l := newLab(nil)
	w := l.world(false)
	l.door.gate.Refusing.Store(uint32(codec.CodeLoading))
	c := l.door.NewWorker(&w.Worker, false).NewSession(here, netip.AddrPort{})
	got, a := hear(c, "INCR x\r\nECHO e\r\nGET x\r\nPING\r\nNOSUCH\r\nCLIENT GETNAME\r\nMULTI\r\nINCR x\r\n"+
		"EXEC\r\nKEYS *\r\n")
	want := loading + "$1\r\ne\r\n" + strings.Repeat(loading, 3) + "$-1\r\n+OK\r\n" + loading + execAborted + loading
	if got != want || a.Next != session.Read {
		t.Errorf("answered %q, want %q; and it says %d", got, want, a.Next)
	}
	l.door.gate.Refusing.Store(0)
	if got, a = hear(c, "PING\r\nINCR x\r\n"); got != "" || a.Next != session.Commit || len(a.Group.Ops) != 1 {
		t.Errorf("then answered %q, and it says %d", got, a.Next)
	}
}

// What an operation is refused with is its answer, and no more than that; where it is not known
// what became of one, nothing is answered from there on, and the connection ends.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const in, before = "PING\r\nINCR x\r\nGET y\r\nINCR bad\r\nINCR x\r\nPING\r\n", "+PONG\r\n:1\r\n$-1\r\n"
	const multi = "INCR x\r\nMULTI\r\nINCR x\r\nINCR bad\r\nEXEC\r\nPING\r\n"
	const queued = ":1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n"
	for _, row := range []struct {
		err      error
		in, want string
		last     session.Next
	}{
		{core.ErrOverflow, in, before + "-ERR increment or decrement would overflow\r\n:2\r\n+PONG\r\n", session.Read},
		{core.ErrLogFull, in, before + "-MISCONF no room for the log: the disk is full\r\n:2\r\n+PONG\r\n",
			session.Read},
		{core.ErrUnknown, in, before, session.Linger},
		{core.ErrOverflow, multi, queued + "*2\r\n:2\r\n-ERR increment or decrement would overflow\r\n+PONG\r\n",
			session.Read},
		{core.ErrUnknown, multi, queued, session.Linger}, // and no part of an array
	} {
		l := newLab(nil)
		l.backend.Outcome = func(op *core.Op) error {
			if string(op.Topic) == "bad" {
				return row.err
			}
			return nil
		}
		sessiontest.Splits(row.in, 2, thin.Step(5), func(cut []string) {
			for mode := range 4 {
				sessiontest.Each(func(ch *sessiontest.Choices) bool {
					w := l.world(false, cut)
					w.Loops, w.Slow = mode&1 > 0, mode&2 > 0
					if err := w.Run(ch); err != nil {
						t.Fatalf("%q, choices %v: %v", cut, ch, err)
					}
					if c := w.Clients[0]; string(c.Got) != row.want || c.Last != row.last {
						t.Fatalf("%q, choices %v, %v: answered %q, and then %d; want %q, %d", cut, ch, row.err, c.Got,
							c.Last, row.want, row.last)
					}
					return true
				})
			}
		})
	}
}

// Who finds no place among the requests in flight is told so for each, in one turn, and is answered
// what needs none.
func TestNoPlaceInFlight(t *testing.T) {
	t.Parallel()
	busy := "-" + codec.CodeTooManyRequests.RedisError() + "\r\n"
	l := newLab(func(_ *Options, limits *gate.Options) { limits.MaxInFlight = 4 })
	g := l.door.gate
	others := gate.Claim{From: g.Source(here), Clients: 1, Requests: 4}
	for _, taken := range []bool{false, true} {
		w := l.world(false, []string{strings.Repeat("INCR x\r\n", 10) + "PING\r\nMULTI\r\nINCR x\r\nEXEC\r\n"})
		if taken && !g.Admit(others) {
			t.Fatal("there is no place for others")
		}
		want, groups := strings.Repeat(busy, 10)+"+PONG\r\n+OK\r\n+QUEUED\r\n"+busy, 0
		if !taken {
			want = ""
			for n := range 10 {
				want += fmt.Sprintf(":%d\r\n", n+1)
			}
			want, groups = want+"+PONG\r\n+OK\r\n+QUEUED\r\n*1\r\n:11\r\n", 4
		}
		err := w.Run(new(sessiontest.Choices))
		if taken {
			g.Done(others)
		} else if err != nil {
			t.Error(err)
		}
		if got := string(w.Clients[0].Got); got != want || len(l.backend.Groups()) != groups {
			t.Errorf("taken: %v: answered %q by %d groups, want %q by %d", taken, got, len(l.backend.Groups()), want,
				groups)
		}
		for _, ops := range l.backend.Groups() {
			if len(ops) > 4 {
				t.Errorf("%d operations are in flight at once", len(ops))
			}
		}
	}
}

// A client that is silent in a transaction may be so while there is room for others, and not when
// there is none.
func TestSilenceInATransaction(t *testing.T) {
	t.Parallel()
	for _, crowded := range []bool{false, true} {
		l := newLab(func(_ *Options, limits *gate.Options) { limits.MaxInFlightBytes = 2 << 20 })
		g := l.door.gate
		w := l.world(false)
		c := l.door.NewWorker(&w.Worker, false).NewSession(here, netip.AddrPort{})
		got, a := hear(c, "MULTI\r\nINCR x\r\n")
		if got != "+OK\r\n+QUEUED\r\n" || a.Next != session.Read || a.Clock != session.Silence {
			t.Fatalf("answered %q, and it says %d, by clock %d", got, a.Next, a.Clock)
		}
		var others gate.Held
		if crowded && !g.Hold(&others, g.MostHeld-1000) {
			t.Fatal("there is no room for others")
		}
		a = c.Advance(session.Event{Kind: session.Late})
		switch {
		case !crowded && (a.Next != session.Read || a.Clock != session.Silence):
			t.Errorf("it says %d, by clock %d", a.Next, a.Clock)
		case crowded && string(a.Out) != "-"+errHeld+"\r\n":
			t.Errorf("answered %q", a.Out)
		case crowded:
			if a = c.Advance(session.Event{Kind: session.Written}); a.Next != session.Linger {
				t.Errorf("then it says %d", a.Next)
			}
		}
		c.Advance(session.Event{Kind: session.Ended})
		if g.Hold(&others, 0); g.Stats().Held != 0 {
			t.Errorf("%d bytes are held at the end", g.Stats().Held)
		}
	}
}

// A connection that nobody else can have gets no backup, is told why, and goes on.
func TestNoDetachedConnection(t *testing.T) {
	t.Parallel()
	l := backupLab()
	got := map[string]int{}
	runs := sessiontest.Each(func(ch *sessiontest.Choices) bool {
		w := l.world(false, []string{"INCR x\r\nGCD.BACKUP\r\n", "INCR x\r\nGCD.BACKUP\r\nPING\r\n"})
		w.Undetach = true
		if err := w.Run(ch); err != nil {
			t.Fatal(err)
		}
		got[string(w.Clients[0].Got)]++
		return true
	})
	const backup, none = "$?\r\n;6\r\nbackup\r\n;0\r\n", "-ERR no backup now: out of descriptors\r\n"
	for _, first := range []string{backup, none} {
		for _, second := range []string{backup, none} {
			want := ":1\r\n" + first + ":2\r\n" + second + "+PONG\r\n"
			runs -= got[want]
			if got[want] == 0 {
				t.Errorf("never answered %q", want)
			}
		}
	}
	if runs != 0 {
		t.Errorf("answered something else: %v", got)
	}
}

// While a whole group comes into effect, what is read is read in its order by the backend.
func TestReadsBesideAWholeGroup(t *testing.T) {
	t.Parallel()
	const in, want = "GET x\r\nMGET x y\r\nEXISTS x\r\nDBSIZE\r\n", "$-1\r\n*2\r\n$-1\r\n$-1\r\n:0\r\n:0\r\n"
	for _, odd := range []bool{false, true} {
		l := newLab(nil)
		l.backend.Odd = odd
		got, _ := l.talk(t, in)
		if asked := len(l.backend.Groups()) > 0; got != want || asked != odd {
			t.Errorf("odd: %v: answered %q, by the backend: %v", odd, got, asked)
		}
	}
}

// A transaction that does not fit into one record is refused as a whole.
func TestTransactionThatDoesNotFit(t *testing.T) {
	t.Parallel()
	l := newLab(nil)
	l.backend.Most = 1
	got, _ := l.talk(t, "MULTI\r\nINCR x\r\nINCR y\r\nEXEC\r\nINCR x\r\n")
	if want := "+OK\r\n+QUEUED\r\n+QUEUED\r\n-" + errNotOneFits + "\r\n:1\r\n"; got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
}
