package loadgen

import (
	"math"
	"sync/atomic"
	"time"
)

// schedule decides when requests are sent. Times are nanoseconds since the run began.
type schedule struct {
	interval float64 // between two requests of an open loop; 0 in a closed one
	measure  int64   // what is due from here on is measured
	warm     int64   // how many requests of an open loop are due before that: the ones from here on are measured
	end      int64   // nothing is sent from here on
	limit    int64   // how many may be taken: of a closed loop those that are measured, of an open loop all

	taken   atomic.Int64
	stopped atomic.Bool
}

func newSchedule(o *Options) *schedule {
	s := &schedule{measure: int64(o.Warmup), end: math.MaxInt64, limit: math.MaxInt64}
	if o.Duration > 0 {
		s.end = int64(o.Warmup + o.Duration)
	}
	if o.Requests > 0 {
		s.limit = int64(o.Requests)
	}
	if o.Rate > 0 {
		s.interval = float64(time.Second) / o.Rate
		s.warm = s.before(s.measure)
		if o.Requests > 0 {
			s.limit += s.warm
		}
	}
	return s
}

// take hands out up to most requests to be sent at now: the numbers from first on. When n is 0 none
// is due: the next one in wait nanoseconds, or never again if wait is negative. What an open loop's
// warm-up could not send is forgotten when it ends: what is measured must not wait for it.
func (s *schedule) take(now int64, most int) (first int64, n int, wait int64) {
	if s.stopped.Load() || now >= s.end {
		return 0, 0, -1
	}
	if s.interval == 0 {
		if now < s.measure {
			return 0, most, 0
		}
		if s.limit == math.MaxInt64 {
			return 0, most, 0 // nobody needs the count, and all threads would write to it
		}
		first = s.taken.Add(int64(most)) - int64(most)
		if first >= s.limit {
			return 0, 0, -1
		}
		return first, int(min(int64(most), s.limit-first)), 0
	}
	for {
		taken := s.taken.Load()
		first = taken
		if now >= s.measure {
			first = max(first, s.warm)
		}
		n = int(min(int64(most), s.limit-first, s.before(now+1)-first))
		switch {
		case first >= s.limit || s.due(first) >= s.end:
			return 0, 0, -1
		case n <= 0:
			return 0, 0, max(s.due(first)-now, 1)
		case s.taken.CompareAndSwap(taken, first+int64(n)):
			return first, n, 0
		}
	}
}

// due is when a request of an open loop should be sent.
func (s *schedule) due(number int64) int64 { return int64(float64(number) * s.interval) }

// before is how many requests of an open loop are due before a time.
func (s *schedule) before(t int64) int64 {
	n := int64(float64(t) / s.interval)
	for n > 0 && s.due(n-1) >= t {
		n--
	}
	for s.due(n) < t {
		n++
	}
	return n
}

// unsent is how many requests of an open loop were due from the end of the warm-up until the time
// at which sending ended, and were never sent, because every client still waited for an answer.
func (s *schedule) unsent(stopped int64) uint64 {
	if s.interval == 0 {
		return 0
	}
	return uint64(max(0, min(s.limit, s.before(min(stopped, s.end)))-max(s.warm, s.taken.Load())))
}
