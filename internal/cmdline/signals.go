package cmdline

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// oneStop is the time within which several signals ask for one stop: timeout(1) and service
// managers send two at once, and a terminal that is closed sends more than one, too.
const oneStop = 500 * time.Millisecond

// Stops counts how often a program was asked to stop. The zero value has not been asked.
type Stops struct{ first time.Time }

// Counts takes a signal that comes now, and says whether it counts: the first does, and those that
// come half a second after it or later, which ask for the end at once.
func (s *Stops) Counts(now time.Time) bool {
	if s.first.IsZero() {
		s.first = now
		return true
	}
	return now.Sub(s.first) >= oneStop
}

// StopSignals are those that ask every program to stop: Ctrl-C, and kill.
func StopSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// Interruptible returns a context that ends with the first signal that asks the program to stop;
// the end of its terminal (SIGHUP) does, unless the program was started not to mind it, as by
// nohup(1). With the next one that counts, exit is called with the exit code, whatever the program
// is doing.
//
// SIGPIPE is ignored, so that a half-made file is not left by a command whose messages nobody
// reads. An output that nobody reads is an error of its Write.
//
// end ends the watching, when nothing is left to be interrupted. Signals have no effect from then
// on, so that one which comes late does not change the exit code.
func Interruptible(exit func(code int)) (ctx context.Context, end func()) {
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, StopSignals()...)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(context.Background())
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		interrupt(signals, enough, cancel, func() { exit(ExitInterrupted) })
	}()
	return ctx, func() {
		close(enough)
		<-ended
		cancel()
	}
}

// interrupt calls first for the first signal that counts, and again for each further one, until
// enough is closed.
func interrupt(signals <-chan os.Signal, enough <-chan struct{}, first, again func()) {
	var stops Stops
	for act := first; ; {
		select {
		case <-signals:
			if stops.Counts(time.Now()) {
				act()
				act = again
			}
		case <-enough:
			return
		}
	}
}
