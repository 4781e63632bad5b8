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

// host is what a server has of the process that it runs in.
type host struct {
	log     *logqueue.Queue // to stderr: whoever reads that cannot make the server wait
	signals *signals
}

// runServer is run for the command serve. All that a server says on stderr goes through one queue:
// its log, and behind it the error that it ends with, also one of the command line.
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

// lostLines makes the line of the log that says how many are not in it, in the log's form.
func lostLines(c *cli.Context) func(uint64) []byte {
	return func(lines uint64) []byte {
		var b bytes.Buffer
		newLog(c, &b).Warn(cmdline.Plural(lines, "line", "lines")+" lost", "lines", lines,
			"reason", "nobody read them, or they could not be written")
		return b.Bytes()
	}
}
