package scripttest

import (
	"os"
	"os/signal"
	"syscall"
)

// Hangups has the processes that a test starts from now on end by SIGHUP, as they do in a terminal,
// although nohup started the test: whoever ignores a signal hands that on.
func Hangups() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}
