package cmdline

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestStops(t *testing.T) {
	t.Parallel()
	var s Stops
	at := time.Now()
	for _, test := range []struct {
		after time.Duration // the first
		want  bool
	}{
		{0, true}, {0, false}, {time.Microsecond, false}, {499 * time.Millisecond, false},
		{500 * time.Millisecond, true}, {501 * time.Millisecond, true}, {time.Hour, true},
	} {
		if got := s.Counts(at.Add(test.after)); got != test.want {
			t.Errorf("a signal %v after the first counts: %t, want %t", test.after, got, test.want)
		}
	}
}

// TestInterrupt: of whatever kind the signals are, those that come together are one.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signals, enough := make(chan os.Signal, 8), make(chan struct{})
		first, again := 0, 0
		go interrupt(signals, enough, func() { first++ }, func() { again++ })
		signals <- syscall.SIGHUP
		signals <- syscall.SIGTERM
		synctest.Wait()
		time.Sleep(499 * time.Millisecond)
		signals <- os.Interrupt
		synctest.Wait()
		if first != 1 || again != 0 {
			t.Errorf("within half a second %d first and %d further ones count, want 1 and 0", first, again)
		}
		time.Sleep(time.Millisecond)
		signals <- syscall.SIGTERM
		synctest.Wait()
		if first != 1 || again != 1 {
			t.Errorf("then %d first and %d further ones count, want 1 and 1", first, again)
		}
		close(enough)
		synctest.Wait()
	})
}
