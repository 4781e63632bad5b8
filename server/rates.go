package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// How much goes on per second, over the last second. Whoever has a turn anyway takes a sample, if
// the last is old enough; nobody does it for its own sake, so while nothing goes on there are none.
const (
	rateTime    = time.Second
	sampleEvery = 100 * time.Millisecond
	samples     = 16 // more than rateTime has
)

// sample is what had gone on by a time since Server.began.
type sample struct {
	at                          time.Duration
	commands, answered, in, out uint64
}

// rates keeps the last samples.
type rates struct {
	last atomic.Int64 // when the newest of them was taken

	mu   sync.Mutex
	kept [samples]sample // the zero sample is that of the beginning
	next int             // the oldest of them, which goes next
}

// sample is what has gone on.
func (s *Server) sample(now time.Duration) sample {
	return sample{now, s.resp.answered.Load(), s.answered.Load(), s.traffic.in.Load(), s.traffic.out.Load()}
}

// noteRates takes a sample if it is time for one.
func (s *Server) noteRates(now time.Duration) {
	r := &s.rates
	if int64(now)-r.last.Load() < int64(sampleEvery) || !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	r.keep(s.sample(now))
}

func (r *rates) keep(one sample) {
	r.last.Store(int64(one.at))
	r.kept[r.next] = one
	r.next = (r.next + 1) % samples
}

// since is the newest sample that is as old as rateTime, and the time to divide by what there was
// since. Where it is much older nothing had gone on behind it for a while, so that time is no
// longer.
func (r *rates) since(now time.Duration) (from sample, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range samples {
		from = r.kept[(r.next+samples-1-i)%samples]
		if now-from.at >= rateTime {
			break
		}
	}
	return from, min(max(now-from.at, rateTime), rateTime+sampleEvery)
}

// perSecond is how much there was from then to now.
func perSecond(from, to uint64, took time.Duration) uint64 {
	if took <= 0 || to < from {
		return 0
	}
	return uint64(float64(to-from)/took.Seconds() + 0.5)
}

// traffic counts the bytes of all doors.
type traffic struct{ in, out atomic.Uint64 }

// took and gave count what a call on a socket has returned.
func (t *traffic) took(n int) {
	if n > 0 {
		t.in.Add(uint64(n))
	}
}

func (t *traffic) gave(n int) {
	if n > 0 {
		t.out.Add(uint64(n))
	}
}
