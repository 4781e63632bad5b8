package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"gcd/internal/cmdline"
)

// signals are the signals that mean something to a server. They are caught until the process ends,
// so that a late one does not change its exit code.
type signals struct {
	stop   chan os.Signal
	reload chan os.Signal
}

// catchSignals is called before anything else is done. SIGHUP asks for a reload; where stderr is a
// terminal it is a planned stop, since the terminal is closed and the server would stay, unless the
// server was started to ignore it, as by nohup(1).
func catchSignals(terminal bool) *signals {
	s := &signals{stop: make(chan os.Signal, 8), reload: make(chan os.Signal, 1)} // one reload is as good as many
	signal.Notify(s.stop, cmdline.StopSignals()...)
	hangup := s.reload
	if terminal && !signal.Ignored(syscall.SIGHUP) {
		hangup = s.stop
	}
	signal.Notify(hangup, syscall.SIGHUP)
	return s
}

// watch calls reload whenever a signal asks for that. It passes on the signals to stop that count:
// the first, and those that come half a second later or more, which ask for the end at once. It
// goes on until end is called.
func (s *signals) watch(reload func()) (stops <-chan os.Signal, end func()) {
	counted := make(chan os.Signal, 2) // the second must not be lost while the first is acted upon
	enough, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var asked cmdline.Stops
		for {
			select {
			case sig := <-s.stop:
				if asked.Counts(time.Now()) {
					select {
					case counted <- sig:
					default: // two are waiting: no more is needed
					}
				}
			case <-s.reload:
				reload()
			case <-enough:
				return
			}
		}
	}()
	return counted, func() {
		close(enough)
		<-ended
	}
}
