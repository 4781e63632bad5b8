package gate

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

// sample is what had gone on by a time since Gate.Began.
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
func (g *Gate) sample(now time.Duration) sample {
	return sample{now, g.Commands.Load(), g.Answered.Load(), g.in.Load(), g.out.Load()}
}

// Account counts bytes that were received and sent, and are of no tally.
func (g *Gate) Account(now time.Duration, in, out int) {
	g.in.Add(uint64(in))
	g.out.Add(uint64(out))
	if int64(now)-g.rates.last.Load() >= int64(sampleEvery) {
		g.takeSample(now)
	}
}

// takeSample takes a sample, which is due, unless somebody else just does.
func (g *Gate) takeSample(now time.Duration) {
	if g.rates.mu.TryLock() {
		g.rates.keep(g.sample(now))
		g.rates.mu.Unlock()
	}
}

func (r *rates) keep(one sample) {
	r.last.Store(int64(one.at))
	r.kept[r.next] = one
	r.next = (r.next + 1) % samples
}

// since is the newest sample that is as old as rateTime, and the time to divide by what there was
// since. Where it is much older nothing had gone on after it for a while, so that time is no
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

// Rates is how much goes on per second, and the bytes of all time.
type Rates struct{ Commands, Answered, In, Out, AllIn, AllOut uint64 }

// Rates are those of the last second.
func (g *Gate) Rates() Rates {
	now := time.Since(g.Began)
	from, took := g.rates.since(now)
	to := g.sample(now)
	return Rates{
		Commands: perSecond(from.commands, to.commands, took), Answered: perSecond(from.answered, to.answered, took),
		In: perSecond(from.in, to.in, took), Out: perSecond(from.out, to.out, took), AllIn: to.in, AllOut: to.out,
	}
}
