package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gcd/internal/servertest"
)

// eachDoor runs a test for every network and every way of driving connections.
func eachDoor(t *testing.T, test func(t *testing.T, o Options)) {
	for _, network := range []Network{TCP, UDP, RESP, RESPOnce} {
		for _, portable := range []bool{false, true} {
			if !haveLoops && !portable {
				continue
			}
			t.Run(fmt.Sprintf("%s/portable=%t", network, portable), func(t *testing.T) {
				t.Parallel()
				o := Options{
					Network: network, Clients: 4, Threads: 2, Topics: 3, Verify: true, Requests: 600,
					Timeout: time.Minute, portable: portable,
				}
				if network == RESP {
					o.Pipeline = 7
				}
				test(t, o)
			})
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		f := startFake(t, o.Network, nil)
		o.Addr = f.addr
		var ops uint64
		o.Progress = func(s Sample) { ops += s.Ops }
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops() != o.Requests || ops != o.Requests || r.Errors.Total() != 0 ||
			r.Interrupted || r.Unsent != 0 || r.Elapsed <= 0 || r.Rate() <= 0 {
			t.Errorf("%d answers, %d in samples, errors %+v, interrupted %t, unsent %d, %v",
				r.Ops(), ops, r.Errors, r.Interrupted, r.Unsent, r.Elapsed)
		}
		if v := r.Verified; !v.OK() || v.Values != o.Requests || v.Topics != 3 || v.Explained != 0 {
			t.Errorf("verified %+v", v)
		}
		var sum uint64
		for topic, n := range f.counted() {
			sum += n
			if !slices.Contains([]string{"bench:000000000000", "bench:000000000001", "bench:000000000002"}, topic) {
				t.Errorf("counted topic %q", topic)
			}
		}
		if sum != o.Requests {
			t.Errorf("the server counted %d times", sum)
		}
	})
}

// TestLies: whatever a server does that it must not do is found out, over each network.
func TestLies(t *testing.T) {
	t.Parallel()
	for _, lie := range []struct {
		name string
		lie  func(n int, topic string, sum uint64) outcome
		kind func(v *Verification) uint64
		text string
	}{
		{"the same value twice", func(n int, _ string, sum uint64) outcome {
			if n == 100 {
				sum--
			}
			return outcome{sum: sum}
		}, func(v *Verification) uint64 { return v.Duplicates }, "twice"},
		{"values left out", func(n int, _ string, sum uint64) outcome {
			if n > 100 {
				sum += 2
			}
			return outcome{sum: sum}
		}, func(v *Verification) uint64 { return v.Impossible }, "answered 103 to the request of number 101"},
		{"nothing", func(n int, _ string, sum uint64) outcome {
			if n == 100 {
				sum = 0
			}
			return outcome{sum: sum}
		}, func(v *Verification) uint64 { return v.Impossible }, "answered 0"},
		{"far too many", func(n int, _ string, sum uint64) outcome {
			if n == 100 {
				sum = 1 << 62
			}
			return outcome{sum: sum}
		}, func(v *Verification) uint64 { return v.Impossible }, "answered 4611686018427387904"},
	} {
		t.Run(lie.name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, func(t *testing.T, o Options) {
				f := startFake(t, o.Network, lie.lie)
				// One request at a time, or a larger value may be handed out first and rightly so.
				o.Addr, o.Clients, o.Pipeline, o.Topics = f.addr, 1, 1, 1
				r, err := runWithin(t.Context(), t, o)
				if err != nil {
					t.Fatal(err)
				}
				v := r.Verified
				if v.OK() || lie.kind(v) == 0 {
					t.Errorf("verified %+v", v)
				}
				if !strings.Contains(strings.Join(v.Examples, "\n"), lie.text) ||
					!strings.HasPrefix(v.Examples[0], `"bench:000000000000" `) {
					t.Errorf("examples %q", v.Examples)
				}
			})
		})
	}
}

// TestTwoAnswers: a second answer to one request must not pass for the answer to the next one.
func TestTwoAnswers(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		f := startFake(t, o.Network, func(n int, _ string, sum uint64) outcome {
			return outcome{sum: sum, twice: n == 100}
		})
		o.Addr, o.Clients, o.Topics = f.addr, 1, 1
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Errors.Unknown == 0 && r.Verified.OK() {
			t.Errorf("not noticed: errors %+v, verified %+v", r.Errors, r.Verified)
		}
	})
}

// TestUnknown: requests that were counted and not answered are unknown, and explain the gaps that
// they leave.
func TestUnknown(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		f := startFake(t, o.Network, func(n int, _ string, sum uint64) outcome {
			return outcome{sum: sum, silent: n == 50 || n == 300}
		})
		o.Addr = f.addr
		if o.Network == UDP {
			o.Timeout = time.Second
		}
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Errors.Unknown < 2 || r.Errors.NotSent+r.Errors.Refused > 0 || r.Causes[2] == nil {
			t.Errorf("errors %+v, %v", r.Errors, r.Causes)
		}
		if r.Ops()+r.Errors.Unknown != o.Requests {
			t.Errorf("%d answers and %d unknown outcomes of %d requests", r.Ops(), r.Errors.Unknown, o.Requests)
		}
		if v := r.Verified; !v.OK() || v.Explained == 0 || v.Values != r.Ops() {
			t.Errorf("verified %+v", v)
		}
	})
}

// TestLateAnswer: an answer that comes when nobody waits for it any more is not taken for the next
// request's.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		if o.Network != UDP {
			t.Skip("a connection that gave up is closed")
		}
		f := startFake(t, UDP, func(n int, _ string, sum uint64) outcome { return outcome{sum: sum, late: n == 50} })
		o.Addr, o.Clients, o.Topics, o.Timeout = f.addr, 1, 1, time.Second
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if v := r.Verified; !v.OK() || r.Errors.Unknown == 0 || v.Explained != r.Errors.Unknown {
			t.Errorf("errors %+v, verified %+v", r.Errors, v)
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		f := startFake(t, o.Network, func(n int, _ string, sum uint64) outcome {
			return outcome{sum: sum, refuse: n%100 == 0}
		})
		o.Addr = f.addr
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Errors != (Errors{Refused: 6}) || r.Ops() != 594 ||
			!strings.Contains(fmt.Sprint(r.Causes[0]), "too many requests") {
			t.Errorf("errors %+v, %v, %d answers", r.Errors, r.Causes, r.Ops())
		}
		if v := r.Verified; !v.OK() || v.Explained != 0 {
			t.Errorf("verified %+v", v)
		}
	})
}

// TestRefusedBeforeRESP: a refusal in the protocol's own language refuses all that is under way on
// the connection: the server has not looked at what that speaks.
func TestRefusedBeforeRESP(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		if o.Network != RESP && o.Network != RESPOnce {
			t.Skip("it is that language")
		}
		f := startFake(t, o.Network, func(n int, _ string, sum uint64) outcome {
			if n <= 10 {
				return outcome{plain: "\xff\x0etry again soon"}
			}
			return outcome{sum: sum}
		})
		o.Addr = f.addr
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Errors{Refused: 10 * uint64(max(o.Pipeline, 1))}); r.Errors != want {
			t.Errorf("errors %+v, %v, want %+v", r.Errors, r.Causes, want)
		}
		if !strings.Contains(fmt.Sprint(r.Causes[0]), "try again soon") ||
			r.Ops()+r.Errors.Refused != o.Requests || !r.Verified.OK() || r.Verified.Explained != 0 {
			t.Errorf("%d answers, errors %+v, %v, verified %+v", r.Ops(), r.Errors, r.Causes, r.Verified)
		}
	})
}

// TestNoRESP: a server that has no RESP ends the run, long before its time.
func TestNoRESP(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		if o.Network != RESP && o.Network != RESPOnce {
			t.Skip("it is not asked for")
		}
		f := startFake(t, o.Network, func(n int, _ string, sum uint64) outcome {
			if n <= 10 {
				return outcome{plain: "\xff\x0etry again soon"}
			}
			return outcome{plain: "\xff\x02"}
		})
		o.Addr, o.Requests, o.Duration = f.addr, 0, time.Hour
		if r, err := runWithin(t.Context(), t, o); !errors.Is(err, ErrNoRESP) || r != nil {
			t.Errorf("the run returned %+v, %v, want ErrNoRESP and no result", r, err)
		}
	})
}

// TestNobody: a server that is not there ends the run, long before its time.
func TestNobody(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		network := "tcp"
		if o.Network == UDP {
			network = "udp"
		}
		o.Addr, o.Requests, o.Duration = servertest.Absent(t, network), 0, time.Hour
		r, err := Run(context.Background(), o)
		if !errors.Is(err, ErrNotReached) || r != nil || !strings.Contains(fmt.Sprint(err), "refused") {
			t.Errorf("the run returned %+v, %v, want ErrNotReached, why, and no result", r, err)
		}
	})
}

// TestInterrupt ends the context in the middle of a run.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		f := startFake(t, o.Network, func(n int, _ string, sum uint64) outcome {
			if n == 100 {
				interrupt()
			}
			return outcome{sum: sum}
		})
		o.Addr, o.Requests, o.Duration = f.addr, 0, time.Hour
		r, err := runWithin(ctx, t, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Interrupted || r.Ops() < 90 || r.Errors.Total() > 0 || !r.Verified.OK() {
			t.Errorf("interrupted %t, %d answers, errors %+v, verified %+v",
				r.Interrupted, r.Ops(), r.Errors, r.Verified)
		}
	})
}

// TestWarmup: answers of the warm-up are verified and not measured.
func TestWarmup(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		for o.Warmup = 20 * time.Millisecond; ; o.Warmup *= 2 {
			f := startFake(t, o.Network, nil) // whose topics nobody has counted
			o.Addr = f.addr
			r, err := runWithin(t.Context(), t, o)
			if err != nil {
				t.Fatal(err)
			}
			var counted uint64
			for _, n := range f.counted() {
				counted += n
			}
			if r.Ops() != o.Requests || r.Ops()+r.Warm != counted || r.Verified.Values != counted || !r.Verified.OK() {
				t.Errorf("%d answers, %d of the warm-up, %d counted, verified %+v",
					r.Ops(), r.Warm, counted, r.Verified)
			}
			if r.Warm > 0 {
				return
			}
			if o.Warmup > 10*time.Second { // else a busy machine did not come to it in time
				t.Fatal("no answer was of the warm-up")
			}
		}
	})
}

// TestOpenLoop: requests are sent by the clock, all that are due, and measured from when they were
// due.
func TestOpenLoop(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		f := startFake(t, o.Network, nil)
		o.Addr, o.Rate, o.Requests = f.addr, 5000, 300
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops() != 300 || r.Unsent != 0 || !r.Verified.OK() {
			t.Errorf("%d answers, %d unsent, verified %+v", r.Ops(), r.Unsent, r.Verified)
		}
		// The last one was due after 299 intervals, and cannot have been answered before.
		if least := 299 * time.Second / 5000; r.Elapsed < least {
			t.Errorf("ended after %v, before %v", r.Elapsed, least)
		}
	})
}

// TestOverload: at a rate far above what the server does, what the warm-up left is forgotten, so
// that what is measured is measured, and from a time within the window.
func TestOverload(t *testing.T) {
	t.Parallel()
	eachDoor(t, func(t *testing.T, o Options) {
		f := startFake(t, o.Network, nil)
		o.Addr, o.Rate, o.Warmup = f.addr, 1e9, 2*time.Millisecond
		r, err := runWithin(t.Context(), t, o)
		if err != nil {
			t.Fatal(err)
		}
		if due := uint64(o.Rate * o.Warmup.Seconds()); r.Warm >= due {
			t.Errorf("all %d requests that were due in the warm-up were sent", due)
		}
		if r.Ops() != o.Requests || r.Unsent != 0 || !r.Verified.OK() {
			t.Errorf("%d answers, %d unsent, verified %+v", r.Ops(), r.Unsent, r.Verified)
		}
		if most := time.Duration(r.Latency.Max()); most > r.Elapsed+r.Elapsed/500 { // the histogram rounds
			t.Errorf("a latency of %v in a window of %v", most, r.Elapsed)
		}
	})
}

// TestFill: every topic once, in ranges.
func TestFill(t *testing.T) {
	t.Parallel()
	f := startFake(t, RESP, nil)
	r, err := runWithin(t.Context(), t, Options{Network: RESP, Addr: f.addr, Clients: 3, Threads: 3,
		Pipeline: 16, Topics: 1000, Requests: 1000, Dist: Sequential, By: 10_001, Prefix: "fill:"})
	if err != nil {
		t.Fatal(err)
	}
	sums := f.counted()
	if r.Ops() != 1000 || len(sums) != 1000 {
		t.Errorf("%d answers, %d topics", r.Ops(), len(sums))
	}
	for topic, sum := range sums {
		if sum != 10_001 || !strings.HasPrefix(topic, "fill:000000000") {
			t.Errorf("topic %q has sum %d", topic, sum)
		}
	}
}
