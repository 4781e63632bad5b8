package sched_test

import (
	"testing"
	"time"

	"gcd/internal/sched"
)

// A loop goes through the scheduler before the runtime's monitor, which allows 10 ms, thinks ill of
// it, and not in each turn.
func TestCourtesy(t *testing.T) {
	t.Parallel()
	var c sched.Courtesy
	last, times := time.Duration(0), 0
	for now := time.Duration(0); now < time.Second; now += 150 * time.Microsecond {
		if now >= c.Due {
			c.Yield(now)
			if now-last > 8*time.Millisecond {
				t.Errorf("%v passed before %v", now-last, now)
			}
			last = now
			times++
		}
	}
	if times < 125 || times > 250 {
		t.Errorf("%d times in a second", times)
	}
}
