package gate

import (
	"testing"
	"time"
)

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
	var e Errors
	for _, text := range []string{"ERR x", "OOM y", "OOM", "Odd z", "LOADING the dataset", "ERRATIC"} {
		e.Note(text)
	}
	for i, want := range []uint64{3, 0, 0, 1, 0, 0, 0, 0, 2, 0} {
		if got := e[i].Load(); got != want {
			t.Errorf("%d of %s, want %d", got, Words[i], want)
		}
	}
	if e.All() != 6 {
		t.Errorf("%d errors", e.All())
	}
}
