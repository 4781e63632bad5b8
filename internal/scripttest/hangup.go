package scripttest

import (
	"os"
	"os/signal"
	"syscall"
)

// Hangups makes SIGHUP end the processes that a test starts from now on, as it does in a terminal,
// even if nohup started the test: a process that ignores a signal passes that on.
func Hangups() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}
