package loadgen

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	s := newSchedule(&Options{Warmup: 10, Duration: 100, Requests: 7})
	for i, step := range []struct {
		now  int64
		most int
		n    int
		wait int64
	}{
		{0, 5, 5, 0}, {9, 5, 5, 0}, // the warm-up is not bounded by the number of requests
		{10, 5, 5, 0}, {11, 5, 2, 0}, {12, 5, 0, -1}, {0, 5, 5, 0},
	} {
		if _, n, wait := s.take(step.now, step.most); n != step.n || wait != step.wait {
			t.Errorf("step %d: %d, %d", i, n, wait)
		}
	}
	s = newSchedule(&Options{Duration: 100})
	if _, n, _ := s.take(99, 5); n != 5 {
		t.Errorf("%d before the end", n)
	}
	if _, n, wait := s.take(100, 5); n != 0 || wait >= 0 {
		t.Errorf("%d at the end, wait %d", n, wait)
	}
	s.stopped.Store(true)
	if _, n, wait := s.take(50, 5); n != 0 || wait >= 0 {
		t.Errorf("%d after it was stopped, wait %d", n, wait)
	}
	if s.unsent(100) != 0 {
		t.Error("a closed loop owes nothing")
	}
}

func TestOpenLoopSchedule(t *testing.T) {
	t.Parallel()
	// One each 100 nanoseconds: due at 0, 100, …, 900.
	s := newSchedule(&Options{Rate: 1e7, Duration: 1000})
	for i, step := range []struct {
		now   int64
		most  int
		first int64
		n     int
		wait  int64
	}{
		{0, 3, 0, 1, 0}, {0, 3, 0, 0, 100}, {99, 3, 0, 0, 1}, {100, 3, 1, 1, 0},
		{650, 3, 2, 3, 0}, {650, 3, 5, 2, 0}, {650, 3, 0, 0, 50}, {999, 99, 7, 3, 0}, {999, 1, 0, 0, -1},
	} {
		first, n, wait := s.take(step.now, step.most)
		if n != step.n || wait != step.wait || n > 0 && first != step.first {
			t.Errorf("step %d: %d, %d, %d", i, first, n, wait)
		}
	}
	// 3 in the warm-up, due at 0, 100 and 200, and 4 after it.
	s = newSchedule(&Options{Rate: 1e7, Warmup: 250, Duration: 1000, Requests: 4})
	if _, n, _ := s.take(150, 1); n != 1 {
		t.Errorf("took %d in the warm-up, want 1", n)
	}
	if got := s.unsent(240); got != 0 {
		t.Errorf("%d unsent of the warm-up, which owes nothing", got)
	}
	if got := s.unsent(620); got != 4 {
		t.Errorf("%d unsent, want 4", got)
	}
	if got := s.unsent(320); got != 1 {
		t.Errorf("%d unsent after 320, want 1", got)
	}
	// What the warm-up left is forgotten when it has ended.
	if _, n, wait := s.take(260, 99); n != 0 || wait != 40 {
		t.Errorf("took %d, wait %d, want none for 40", n, wait)
	}
	if first, n, _ := s.take(350, 99); first != 3 || n != 1 || s.due(first) != 300 {
		t.Errorf("took %d from number %d on, want 1 from 3 on", n, first)
	}
	if got := s.unsent(620); got != 3 {
		t.Errorf("%d unsent, want 3", got)
	}
	if _, n, _ := s.take(1200, 99); n != 3 {
		t.Errorf("took %d, want 3", n)
	}
	if _, n, wait := s.take(1200, 99); n != 0 || wait >= 0 {
		t.Errorf("took %d more, wait %d", n, wait)
	}
}

// TestBefore compares the arithmetic with counting, for rates that divide nothing.
func TestBefore(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		s := newSchedule(&Options{Rate: math.Exp(random.Float64() * 20)})
		at := random.Int64N(int64(time.Minute))
		if n := s.before(at); n > 0 && s.due(n-1) >= at || s.due(n) < at {
			t.Fatalf("seed %d: interval %v: %d before %d, due %d and %d", seed, s.interval, n, at, s.due(n-1), s.due(n))
		}
	}
}

// TestDueTimes: a request that is sent late is measured from when it was due.
func TestDueTimes(t *testing.T) {
	t.Parallel()
	o := Options{Network: RESP, Rate: 1000, Pipeline: 10}.withDefaults()
	r := &run{Options: o, schedule: newSchedule(&o)}
	var err error
	if r.door, err = newDoor(&o); err != nil {
		t.Fatal(err)
	}
	l := lane{run: r, topics: newTopics(&o, 0, 0, &r.next), rec: newRecorder(0)}
	var x inFlight
	// Everybody waited for 5.5 milliseconds, then six requests are due at once.
	if _, wait := l.begin(&x, nil, 5_500_000); wait != 0 || len(x.requests) != 6 {
		t.Fatalf("%d requests, wait %d", len(x.requests), wait)
	}
	answers := []byte(":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n")
	if _, err := l.receive(&x, answers, false, 6_000_000); err != nil || !x.done() {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{1e6, 2e6, 3e6, 4e6, 5e6, 6e6} {
		got := time.Duration(l.rec.latency.ValueAtQuantile(float64(i+1) * 100 / 6.001))
		if got < want || got > want+want/500 {
			t.Errorf("latency %d is %v, want %v", i, got, want)
		}
	}
}

// TestWarmAnswers: a request that began in the warm-up is its, whenever the answer comes.
func TestWarmAnswers(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, 1e7} { // a request each 100 nanoseconds
		o := Options{Network: RESP, Rate: rate, Warmup: 150}.withDefaults()
		r := &run{Options: o, schedule: newSchedule(&o), door: mustDoor(t, o)}
		l := lane{run: r, topics: newTopics(&o, 0, 0, &r.next), rec: newRecorder(r.schedule.measure)}
		var x inFlight
		for _, step := range []struct {
			begin, end int64
			warm       uint64
			measured   int64
		}{{0, 50, 1, 0}, {140, 200, 2, 0}, {200, 210, 2, 1}} {
			if _, wait := l.begin(&x, nil, step.begin); wait != 0 {
				t.Fatalf("rate %v: nothing to send at %d", rate, step.begin)
			}
			if _, err := l.receive(&x, []byte(":1\r\n"), false, step.end); err != nil {
				t.Fatal(err)
			}
			if l.rec.warm != step.warm || l.rec.latency.TotalCount() != step.measured {
				t.Errorf("rate %v, at %d: %d of the warm-up and %d measured, want %d and %d",
					rate, step.end, l.rec.warm, l.rec.latency.TotalCount(), step.warm, step.measured)
			}
		}
	}
}

// TestSurplus: what follows the last answer is an error, in the same read or a later one, and what
// belongs to an answer is kept.
func TestSurplus(t *testing.T) {
	t.Parallel()
	o := Options{Network: RESP, Pipeline: 2}.withDefaults()
	r := &run{Options: o, schedule: newSchedule(&o), door: mustDoor(t, o)}
	for _, reads := range [][]string{{":1\r\n:2\r\n:"}, {":1\r\n:2\r\n", ":3\r\n"}, {":1\r", ":1\r\n:2\r\n:3"}} {
		l := lane{run: r, topics: newTopics(&o, 0, 0, &r.next), rec: newRecorder(0)}
		var x inFlight
		l.begin(&x, nil, 0)
		for i, data := range reads {
			rest, err := l.receive(&x, []byte(data), false, 1)
			last := i == len(reads)-1
			if last != errors.Is(err, errTwoAnswers) || !last && x.done() != (len(rest) == 0) {
				t.Errorf("%q, read %d: rest %q, %v", reads, i, rest, err)
			}
		}
		if got := l.rec.latency.TotalCount(); got != 2 {
			t.Errorf("%q: %d answers", reads, got)
		}
	}
}
