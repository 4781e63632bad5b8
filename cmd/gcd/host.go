package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/internal/logqueue"
)

// drainTime is how long the end of a server may wait for whoever reads its log.
const drainTime = 100 * time.Millisecond

// host is what a server uses of the process that it runs in.
type host struct {
	log     *logqueue.Queue // to stderr: whoever reads that cannot make the server wait
	signals *signals
}

// runServer is run for the command serve. All that a server says on stderr goes through one queue:
// its log, and after it the error that it ends with, even one in the command line.
func runServer(args []string, stdout io.Writer, stderr *os.File) int {
	caught := catchSignals(cmdline.IsTerminal(stderr))
	signal.Ignore(noReason()...)
	h := &host{log: logqueue.New(ownStderr(stderr), logqueue.Options{}), signals: caught}
	var last bytes.Buffer
	say := report
	if logsJSON(args) {
		say = reportJSON
	}
	code := say(&last, program(h).Run(context.Background(), args, stdout, h.log))
	h.log.Close(last.Bytes(), drainTime)
	return code
}

// lostLines makes the log line that says how many lines are missing, as text or JSON, as the log
// is.
func lostLines(c *cli.Context) func(uint64) []byte {
	return func(lines uint64) []byte {
		var b bytes.Buffer
		newLog(c, &b).Warn(cmdline.Plural(lines, "line", "lines")+" lost", "lines", lines,
			"reason", "nobody read them, or they could not be written")
		return b.Bytes()
	}
}
