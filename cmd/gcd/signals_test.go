package main

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gcd/internal/cmdline"
	"gcd/store"
)

// newSignals are signals that no process sends.
func newSignals() *signals {
	return &signals{stop: make(chan os.Signal, 8), reload: make(chan os.Signal, 1)}
}

// TestSignalsThatCount: those that come together are one stop, of whatever kind they are, and one
// that comes half a second later is the second.
func TestSignalsThatCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSignals()
		stops, end := s.watch(func() { t.Error("a reload") })
		defer end()
		got := func(want ...os.Signal) {
			t.Helper()
			synctest.Wait()
			for _, sig := range want {
				select {
				case got := <-stops:
					if got != sig {
						t.Errorf("%v counts, want %v", got, sig)
					}
				default:
					t.Errorf("%v does not count", sig)
				}
			}
			if len(stops) > 0 {
				t.Errorf("%v counts", <-stops)
			}
		}
		s.stop <- syscall.SIGTERM
		s.stop <- syscall.SIGTERM
		s.stop <- syscall.SIGHUP
		got(syscall.SIGTERM)
		time.Sleep(499 * time.Millisecond)
		s.stop <- os.Interrupt
		got()
		time.Sleep(time.Millisecond)
		s.stop <- os.Interrupt
		got(os.Interrupt)
		for range 20 { // nobody asks any more, and nothing waits for that
			s.stop <- syscall.SIGTERM
			synctest.Wait()
		}
	})
}

// TestShutdownTwice: two signals at once are a planned stop, and a third half a second later ends
// it.
func TestShutdownTwice(t *testing.T) {
	t.Parallel()
	p := newProcess(t, time.Hour)
	s := newSignals()
	stops, end := s.watch(func() {})
	defer end()
	stopping := make(chan struct{})
	released := make(chan struct{})
	s.stop <- syscall.SIGTERM
	s.stop <- syscall.SIGTERM
	go func() {
		<-stopping
		close(released)
	}()
	err := p.supervise(t.Context(), stops, func(time.Duration) error {
		close(stopping)
		<-released
		return nil
	})
	if code := report(t.Output(), err); code != cmdline.ExitOK {
		t.Errorf("exit code %d, want %d", code, cmdline.ExitOK)
	}
}

// TestReloadDuringStart: a start goes on when it is asked to reload, and ends when it is told to.
func TestReloadDuringStart(t *testing.T) {
	t.Parallel()
	s := newSignals()
	reloaded := make(chan struct{}, 1)
	stops, end := s.watch(func() { reloaded <- struct{}{} })
	defer end()
	counters, err := await(t.Context(), stops, func() (*store.Store, error) {
		for range 3 {
			s.reload <- syscall.SIGHUP
			<-reloaded
		}
		return store.Open("", store.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := counters.Close(); err != nil {
		t.Fatal(err)
	}
	s.stop <- syscall.SIGTERM
	_, err = await(t.Context(), stops, func() (*store.Store, error) {
		<-t.Context().Done()
		return nil, nil
	})
	if code := report(t.Output(), err); code != cmdline.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, cmdline.ExitInterrupted)
	}
}
