package server

import (
	"testing"
	"time"
)

// What a turn took is shared evenly among its commands, and INCR is what is left of them. What was
// refused before it was run is no call.
func TestCommandTimes(t *testing.T) {
	t.Parallel()
	d := newRespDoor()
	incr, get, ping := d.commands["incr"], d.commands["get"], d.commands["ping"]
	var times commandTimes
	turn := func(taken int, ran ...runs) { times.finish(&exchange{taken: taken, ran: ran}) }
	want := func(c *command, calls, usec, rejected, failed uint64) {
		t.Helper()
		n, nanos, r, f := c.use.calls.Load(), c.use.nanos.Load(), c.use.rejected.Load(), c.use.failed.Load()
		if n != calls || nanos != usec*1000 || r != rejected || f != failed {
			t.Errorf("%s: %d calls, %d ns, %d rejected, %d failed; want %d, %d µs, %d and %d", c.name, n, nanos,
				r, f, calls, usec, rejected, failed)
		}
	}
	turn(10)
	turn(5, runs{get, 2, 0, 1}, runs{ping, 1, 0, 0}, runs{nil, 1, 0, 0}) // one INCR, one that there is not
	turn(5, runs{get, 5, 0, 0})
	times.settle(d, 200*time.Microsecond) // 10 for each
	want(incr, 11, 110, 0, 0)
	want(get, 7, 70, 0, 1)
	want(ping, 1, 10, 0, 0)

	times.settle(d, 30*time.Microsecond) // nothing is answered yet
	turn(1)
	times.settle(d, 20*time.Microsecond)
	want(incr, 12, 160, 0, 0)
	turn(0)
	times.settle(d, 0)
	want(incr, 12, 160, 0, 0)
	want(get, 7, 70, 0, 1)

	x := &exchange{taken: 4} // four INCR, of which one failed and two were refused; and a GET that was refused
	x.ran.of(incr).failed++
	x.ran.reject(incr)
	x.ran.reject(incr)
	x.taken++
	x.ran.reject(get)
	x.ran.of(get).calls++
	times.finish(x)
	times.settle(d, 50*time.Microsecond)
	want(incr, 14, 180, 2, 1)
	want(get, 7, 70, 1, 1)
}

// The number of a command has a byte, and INCR is what is meant where none is said.
func TestCommandNumbers(t *testing.T) {
	t.Parallel()
	d := newRespDoor()
	for name, c := range d.commands {
		if d.numbered[c.number] != c {
			t.Errorf("%s has the number %d of %s", name, c.number, d.numbered[c.number].name)
		}
	}
	if d.numbered[0].name != "incr" {
		t.Errorf("the first is %s", d.numbered[0].name)
	}
}

// Rates are over the last second, in which nothing may have gone on for a while.
func TestRates(t *testing.T) {
	t.Parallel()
	var r rates
	want := func(when string, now time.Duration, commands, rate uint64) {
		t.Helper()
		from, took := r.since(now)
		if got := perSecond(from.commands, commands, took); got != rate {
			t.Errorf("%s: %d a second, want %d", when, got, rate)
		}
	}
	want("at the beginning", time.Millisecond, 5, 5)
	for i := range 95 { // 10 in each tenth of a second
		r.keep(sample{at: time.Duration(i+1) * sampleEvery, commands: uint64(10 * (i + 1))})
		if i == 4 {
			want("in the first second", 6*sampleEvery, 60, 60)
		}
	}
	want("while it goes on", 9500*time.Millisecond, 950, 100)
	want("between two samples", 9550*time.Millisecond, 955, 100)
	want("half a second behind the end", 10*time.Second, 950, 50)
	want("behind a minute of nothing", time.Minute, 950, 0)
	r.keep(sample{at: time.Minute, commands: 951})
	want("at a burst behind it", time.Minute+time.Millisecond, 950+550, 500)
	want("a second behind the burst", time.Minute+1100*time.Millisecond, 950+550, 499)
	if got := perSecond(2, 1, time.Second) + perSecond(1, 2, 0); got != 0 {
		t.Errorf("%d a second of nothing", got)
	}
}

func TestErrorCounts(t *testing.T) {
	t.Parallel()
	var e errorCounts
	for _, text := range []string{"ERR x", "OOM y", "OOM", "Odd z", "LOADING the dataset", "ERRATIC"} {
		e.note(text)
	}
	for i, want := range []uint64{3, 0, 0, 1, 0, 0, 0, 2} {
		if got := e[i].Load(); got != want {
			t.Errorf("%d of %s, want %d", got, errorWords[i], want)
		}
	}
	if e.all() != 6 {
		t.Errorf("%d errors", e.all())
	}
}

func TestHuman(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.00K", 1536: "1.50K",
		5 << 20: "5.00M", 3 << 30: "3.00G", 1 << 40: "1.00T", 1 << 50: "1.00P", 1 << 62: "4096.00P"} {
		if got := human(bytes); got != want {
			t.Errorf("%d bytes are %s, want %s", bytes, got, want)
		}
	}
}
