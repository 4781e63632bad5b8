package loop

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testLease is a lease of a socket, and three loops that nothing runs but the test.
func testLease(t *testing.T) (s *lease, loops []*loop) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = newLease(-1, fds[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.close()
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	for range 3 {
		l, _ := idleLoop(t, -1)
		loops = append(loops, l)
	}
	if err := s.begin(loops); err != nil {
		t.Fatal(err)
	}
	return s, loops
}

// A loop keeps the sockets while it commits, unless it is behind and another sleeps; and a home of
// conversations takes them from one that is none when it goes to sleep.
func TestLease(t *testing.T) {
	t.Parallel()
	s, loops := testLease(t)
	a, b, c := loops[0], loops[1], loops[2]
	enter := func(l *loop, behind bool, phases ...phase) {
		for _, next := range phases {
			s.enter(l, next, behind)
		}
	}
	holder := func(want *loop, when string) {
		t.Helper()
		if s.holder != want {
			t.Errorf("the wrong loop holds the sockets %s", when)
		}
		for _, l := range loops {
			if is := watches(l, s.datagrams); is != (l == want) {
				t.Errorf("%s: a loop watches: %v", when, is)
			}
		}
	}
	enter(c, false, asleep)
	enter(b, true, committing, working)
	holder(a, "after another committed")
	enter(a, false, committing)
	s.since = s.since.Add(time.Hour) // the test may be late
	enter(b, false, asleep)
	holder(a, "when it commits")
	enter(a, false, working)
	enter(c, false, working)
	enter(b, false, working)
	enter(a, true, committing)
	holder(a, "when it is behind and nobody sleeps")
	enter(a, false, working)
	enter(b, false, asleep)
	enter(a, true, committing)
	holder(b, "when it is behind and one sleeps")
	enter(b, false, working)
	c.isHome = true
	enter(c, false, asleep)
	holder(c, "when a home goes to sleep, and the holder is none")
	enter(c, false, working)
	b.isHome = true
	enter(b, false, asleep)
	holder(c, "when another home does")
	enter(b, false, working)
	if len(s.sleepers) != 0 {
		t.Errorf("%d sleepers at the end", len(s.sleepers))
	}
	s.drain()
	enter(c, false, asleep)
	enter(b, true, committing)
	s.holder = nil // which nobody asks for any more
	holder(nil, "after the end")
}

// A loop that commits for long is relieved: by one that sleeps, which the alarm wakes, and by one
// that goes to sleep.
func TestLongCommitIsRelieved(t *testing.T) {
	t.Parallel()
	for _, sleeps := range []bool{true, false} {
		s, loops := testLease(t)
		a, b := loops[0], loops[1]
		if sleeps {
			s.enter(b, asleep, false)
		}
		s.enter(a, committing, false)
		began := s.since
		s.since = began.Add(time.Hour) // the test may be late
		if s.alarmed(b); s.holder != a {
			t.Fatal("relieved at once")
		}
		s.since = began
		// Of the loops' pollers one hears of the alarm at least, when it is time.
		events := b.poll.Wait(patience)
		for len(events) == 0 { // a wait may end too soon
			events = b.poll.Wait(patience)
		}
		if len(events) != 1 || events[0].Fd != alarmToken {
			t.Fatalf("%d events", len(events))
		}
		if sleeps {
			s.alarmed(b)
		} else {
			s.enter(b, asleep, false)
		}
		if s.holder != b {
			t.Error("not relieved")
		}
		s.enter(a, working, false)
		if s.alarmed(a); s.holder != b {
			t.Error("a loop that does not commit is relieved")
		}
	}
}

// The alarm goes off after every long commit, soon enough, and is not set for each.
func TestAlarmIsSetNowAndThen(t *testing.T) {
	t.Parallel()
	s, loops := testLease(t)
	for _, in := range []time.Duration{-time.Hour, -1, longCommit / 2} {
		s.due = time.Now().Add(in)
		s.enter(loops[0], committing, false)
		if got := s.due.Sub(s.since); got != 2*longCommit {
			t.Errorf("due in %v, and then %v after the beginning of a commit", in, got)
		}
		s.enter(loops[0], working, false)
	}
	due := time.Now().Add(time.Hour)
	s.due = due
	if s.enter(loops[0], committing, false); !s.due.Equal(due) {
		t.Error("set anew, though it goes off after the commit")
	}
}

// Who accepts again while the sockets are on hold has them watched when that ends, and not before.
func TestAcceptingResumesOnHold(t *testing.T) {
	t.Parallel()
	p, _, _, _ := idlePool(t, 1)
	s, l := p.lease, p.loops[0]
	watched := func(want bool, when string) {
		t.Helper()
		if watches(l, s.listener) != want || watches(l, s.datagrams) != want {
			t.Errorf("%s the sockets are watched: listener %t, datagrams %t; want %t", when,
				watches(l, s.listener), watches(l, s.datagrams), want)
		}
	}
	s.pause()
	s.resume.Stop() // the test calls what it would
	s.hold(l)
	s.accept()
	watched(false, "on hold")
	if !s.letGo(l) {
		t.Error("the hold does not end")
	}
	watched(true, "in the end")
}
