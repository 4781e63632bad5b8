package redis

import (
	"testing"
	"time"

	"gcd/server/internal/gate"
)

// What a turn took is shared evenly among its commands, and INCR is what is left of them. What was
// refused before it was run is no call.
func TestCommandTimes(t *testing.T) {
	t.Parallel()
	d := NewDoor(Options{Gate: gate.New(gate.Options{})})
	incr, get, ping := d.commands["incr"], d.commands["get"], d.commands["ping"]
	w := d.NewWorker(nil, true)
	turn := func(taken int, ran ...runs) {
		c := &Session{worker: w, x: &exchange{door: d, taken: taken, ran: ran}}
		c.answer()
	}
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
	w.Flush(200 * time.Microsecond) // 10 for each
	want(incr, 11, 110, 0, 0)
	want(get, 7, 70, 0, 1)
	want(ping, 1, 10, 0, 0)

	w.Flush(30 * time.Microsecond) // nothing is answered yet
	turn(1)
	w.Flush(20 * time.Microsecond)
	want(incr, 12, 160, 0, 0)
	turn(0)
	w.Flush(0)
	want(incr, 12, 160, 0, 0)
	want(get, 7, 70, 0, 1)

	x := &exchange{door: d, taken: 4} // four INCR, of which one failed and two were refused; and a GET that was refused
	x.ran.of(incr).failed++
	x.ran.reject(incr)
	x.ran.reject(incr)
	x.taken++
	x.ran.reject(get)
	x.ran.of(get).calls++
	c := &Session{worker: w, x: x}
	c.answer()
	w.Flush(50 * time.Microsecond)
	want(incr, 14, 180, 2, 1)
	want(get, 7, 70, 1, 1)
}

// The number of a command has a byte, and INCR is what is meant where none is said.
func TestCommandNumbers(t *testing.T) {
	t.Parallel()
	d := NewDoor(Options{Gate: gate.New(gate.Options{})})
	for name, c := range d.commands {
		if d.numbered[c.number] != c {
			t.Errorf("%s has the number %d of %s", name, c.number, d.numbered[c.number].name)
		}
	}
	if d.numbered[0].name != "incr" {
		t.Errorf("the first is %s", d.numbered[0].name)
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
