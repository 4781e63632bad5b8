package loop

import "time"

// timers is a list of connections that wait for the same length of time, so the first is always the
// next that is due: adding, removing and finding take no search. A connection is in a list by one
// of its timer nodes.
type timers struct {
	wait        time.Duration
	due         *time.Duration // of the first of all lists of a loop; start makes it earlier
	first, last *timer
}

// timer is a connection's place in one list of timers.
type timer struct {
	c          *conn
	list       *timers // nil when in none
	due        time.Duration
	prev, next *timer
}

// start puts t at the end of the list, due after its wait from now, and takes it out of any list
// before.
func (ts *timers) start(t *timer, now time.Duration) {
	if t.list != nil {
		t.stop()
	}
	t.list, t.due, t.prev = ts, now+ts.wait, ts.last
	if ts.last == nil {
		ts.first = t
	} else {
		ts.last.next = t
	}
	ts.last = t
	*ts.due = min(*ts.due, t.due)
}

// stop takes t out of the list that it is in.
func (t *timer) stop() {
	ts := t.list
	if t.prev == nil {
		ts.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		ts.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.list, t.prev, t.next = nil, nil, nil
}

// expired takes the first timer out if it is due, and returns its connection, or nil.
func (ts *timers) expired(now time.Duration) *conn {
	t := ts.first
	if t == nil || t.due > now {
		return nil
	}
	t.stop()
	return t.c
}
