package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// dog is a watchdog under test: it says when it told, and the test when it is answered.
type dog struct {
	*watchdog
	began   time.Time
	told    []time.Duration // after its beginning
	answers chan error
	log     bytes.Buffer
}

const dogTimeout = 2 * time.Minute

func newDog(t *testing.T) *dog {
	d := &dog{began: time.Now(), answers: make(chan error)}
	d.watchdog = &watchdog{
		timeout: dogTimeout,
		alive: func(ctx context.Context) error {
			select {
			case err := <-d.answers:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		tell: func() { d.told = append(d.told, time.Since(d.began)) },
		log:  hclog.New(&hclog.LoggerOptions{Output: &d.log}),
	}
	go d.run(t.Context())
	return d
}

// after waits until so much time has passed since the beginning.
func (d *dog) after(minutes float64) {
	time.Sleep(time.Until(d.began.Add(time.Duration(minutes * float64(time.Minute)))))
	synctest.Wait()
}

func (d *dog) want(t *testing.T, minutes ...int) {
	t.Helper()
	var want []time.Duration
	for _, m := range minutes {
		want = append(want, time.Duration(m)*time.Minute)
	}
	if len(d.told) != len(want) {
		t.Fatalf("told at %v, want %v", d.told, want)
	}
	for i := range want {
		if d.told[i] != want[i] {
			t.Errorf("told at %v, want %v", d.told, want)
		}
	}
}

// TestWatchdogLives: it tells twice within the manager's timeout.
func TestWatchdogLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDog(t)
		close(d.answers)
		d.after(4.5)
		d.want(t, 1, 2, 3, 4)
		if d.log.Len() > 0 {
			t.Errorf("it says %s", d.log.String())
		}
	})
}

// TestWatchdogSlowDisk: a commit that takes nearly as long as the manager waits is no hang.
func TestWatchdogSlowDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDog(t)
		d.after(2.9) // asked at 1
		d.answers <- nil
		d.after(4.9) // asked at 3
		d.answers <- nil
		d.after(5.5)
		d.want(t, 1, 2, 3, 4, 5)
		if d.log.Len() > 0 {
			t.Errorf("it says %s", d.log.String())
		}
	})
}

// TestWatchdogHang: after something hangs for longer nothing is told, and it is said once; when it
// goes on after all, so does the telling.
func TestWatchdogHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDog(t)
		d.after(6.5)
		d.want(t, 1, 2) // and then the manager ends it, at 4
		if n := strings.Count(d.log.String(), "hangs: "); n != 1 {
			t.Errorf("it says %d times that it hangs: %s", n, d.log.String())
		}
		d.answers <- nil
		d.after(7.5)
		d.want(t, 1, 2, 7)
		if !strings.Contains(d.log.String(), "goes on after all") {
			t.Errorf("it says %s", d.log.String())
		}
	})
}

// TestWatchdogOfAnEnd: a server that has ended is not said to live.
func TestWatchdogOfAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDog(t)
		d.after(1.5)
		d.answers <- errors.New("closed")
		d.after(9)
		d.want(t, 1)
	})
}
