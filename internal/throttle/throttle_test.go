package throttle

import (
	"context"
	"slices"
	"testing"
	"time"
)

// What worked rests nine times as long; what it slept is no work, and little work is gone on with.
func TestThrottle(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	var slept []time.Duration
	r := Throttle{now: func() time.Time { return now }, sleep: func(d time.Duration) {
		slept = append(slept, d)
		now = now.Add(d + time.Second) // it overslept: that is no work
	}}
	for _, work := range []time.Duration{0, leastWork / 2, leastWork / 2, 0, 3 * leastWork, time.Hour, leastWork - 1} {
		now = now.Add(work)
		r.Rest()
	}
	if want := []time.Duration{restRatio * leastWork, 3 * restRatio * leastWork, longRest}; !slices.Equal(slept, want) {
		t.Errorf("it rested for %v, want %v", slept, want)
	}
}

// A rest ends with the context.
func TestRestEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	New(ctx).sleep(time.Hour)
}
