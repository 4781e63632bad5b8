// Command gcd runs a counter server and talks to one.
//
// Data goes to stdout and nothing else does; messages go to stderr, as "gcd: …" in lower case, with
// a line "hint: …" where there is something to do about it. How a command ended is its exit code;
// internal/cmdline has them all.
package main

import (
	"bytes"
	"context"
	"io"
	"os"

	"gcd/internal/cmdline"
)

func main() {
	if runsServer(os.Args) {
		os.Exit(runServer(os.Args, os.Stdout, os.Stderr))
	}
	ctx, end := cmdline.Interruptible(os.Exit)
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	end()
	os.Exit(code)
}

// runsServer says whether a command line is that of a server. One that asks for help is not: what
// it prints waits for whoever reads it, and a signal has to end that.
func runsServer(args []string) bool { return program(nil).Runs(args) == serveName }

// run executes the command line args, whose first element is the program's name, and returns the
// exit code. When ctx ends, the command is interrupted. The command serve is runServer's.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var last bytes.Buffer
	code := report(&last, program(nil).Run(ctx, args, stdout, stderr))
	cmdline.Say(ctx, stderr, last.Bytes())
	return code
}
