package loop

import (
	"testing"
	"time"
)

// A loop that is told to go round while it is awake does so before it sleeps; one that is awake is
// not woken by what it puts there itself, and one that sleeps is woken once.
func TestCompletions(t *testing.T) {
	t.Parallel()
	l, _ := idleLoop(t, -1)
	q := &l.completions
	sleeps := func() bool { // as wait asks
		q.asleep.Store(true)
		return !q.ready.Load()
	}
	q.wake()
	if sleeps() {
		t.Error("slept although it was told to go round")
	}
	q.take(nil)
	if !sleeps() {
		t.Fatal("did not sleep with nothing to do")
	}
	q.asleep.Store(false)
	one := &conn{}
	if q.put(one); len(l.poll.Wait(0)) != 0 {
		t.Error("was woken while it was awake")
	}
	if sleeps() {
		t.Error("slept on something to finish")
	}
	if items := q.take(nil); len(items) != 1 || items[0] != completion(one) {
		t.Errorf("took %v", items)
	}
	if !sleeps() {
		t.Fatal("did not sleep when all was taken")
	}
	q.put(one)
	q.put(one)
	if events := l.poll.Wait(patience); len(events) != 1 || events[0].Fd != wakeToken {
		t.Error("was not woken")
	}
	if events := l.poll.Wait(0); len(events) != 0 {
		t.Error("was woken twice")
	}
	if q.closeEmpty() {
		t.Error("closed on something to finish")
	}
	if left := q.close(); len(left) != 2 || q.put(one) {
		t.Errorf("%d were left, or one more was taken", len(left))
	}
	if q.wake(); len(q.take(nil)) != 0 {
		t.Error("something is kept that nobody will finish")
	}
}

func TestTimers(t *testing.T) {
	t.Parallel()
	due := never
	ts, other := timers{wait: 10, due: &due}, timers{wait: 5, due: &due}
	var c [4]conn
	for i := range c {
		c[i].deadline.c = &c[i]
		ts.start(&c[i].deadline, time.Duration(i))
	}
	c[1].deadline.stop()
	other.start(&c[2].deadline, 3)
	ts.start(&c[0].deadline, 4) // behind c[3] now
	if due != 8 {
		t.Errorf("the next is due at %d, want 8", due)
	}
	if got := ts.expired(12); got != nil {
		t.Error("expired too early")
	}
	for _, want := range []*conn{&c[3], &c[0], nil} {
		if got := ts.expired(14); got != want {
			t.Error("expired out of order")
		}
	}
	if got := other.expired(8); got != &c[2] || other.first != nil || other.last != nil || ts.last != nil {
		t.Error("the lists are not empty at the end")
	}
}

// A loop sleeps until the next timer is due, and no longer.
func TestLoopWakesForTimers(t *testing.T) {
	t.Parallel()
	l, b := idleLoop(t, -1)
	p := newPair(t, l, b, "\x00")
	if want := l.tally.Now + l.p.o.Settle; l.due != want {
		t.Fatalf("due at %v, want %v: the settle time", l.due, want)
	}
	l.tally.Now = l.due
	l.expire()
	p.commit(1)
	if p.c.state != closed || l.due != never {
		t.Errorf("state %d, due at %v, want closed and never", p.c.state, l.due)
	}
}
