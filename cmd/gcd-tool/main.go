// Command gcd-tool works on the data directories of gcd: it dumps, restores, checks and mends them.
//
// Data goes to stdout and nothing else does; messages and progress go to stderr, errors as
// "gcd-tool: …" in lower case, with a line "hint: …" where there is something to do about it. How a
// command ended is its exit code; internal/cmdline has them all.
package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
)

const (
	categoryRead  = "Read (changes nothing, also beside a running server)"
	categoryWrite = "Write (no server may run)"
)

const helpIntro = `Says what the counters of a data directory are, since when, and what was handed
out; checks and restores it. A directory is the one that "gcd serve --data" was given.`

const helpOutro = `Exit codes:
  0    done
  1    failed
  3    there is no such topic
  7    the data directory, or the dump, is damaged, or a table is wrong
  8    the data directory is in use by a server
  9    the data directory is not gcd's, or it or the dump is of a newer version
  64   the command line is wrong
  130  interrupted by a signal`

func main() {
	ctx, end := cmdline.Interruptible(os.Exit)
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	end()
	os.Exit(code)
}

// run executes the command line args, whose first element is the program's name, and returns the
// exit code. When ctx ends, the command is interrupted.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var last bytes.Buffer
	code := report(&last, program().Run(ctx, args, stdout, stderr))
	cmdline.Say(ctx, stderr, last.Bytes())
	return code
}

func program() *cmdline.Program {
	return &cmdline.Program{
		Name:    "gcd-tool",
		Usage:   "looks into gcd's data directories, and restores them",
		Intro:   helpIntro,
		Outro:   helpOutro,
		Sibling: cmdline.Sibling{Name: "gcd", Commands: serverCommands()},
		Commands: []*cli.Command{
			dumpCommand(),
			verifyCommand(),
			inspectCommand(),
			historyCommand(),
			restoreCommand(),
			importCommand(),
			compactCommand(),
			repairCommand(),
		},
	}
}

// serverCommands are those of gcd that gcd-tool does not have, too.
func serverCommands() []string {
	return []string{"serve", "init", "token", "auth", "backup", "count", "reset", "ping", "bench"}
}

// usagef makes an error in the command line of a command.
func usagef(command, format string, args ...any) error {
	return cmdline.Usagef("gcd-tool", command, format, args...)
}

// named returns the arguments of a command that takes just these, in the order of their names.
func named(c *cli.Context, names ...string) ([]string, error) {
	args := c.Args().Slice()
	for i, name := range names {
		if i >= len(args) || args[i] == "" {
			return nil, usagef(c.Command.Name, "%s is missing: gcd-tool %s [FLAGS] %s", name, c.Command.Name,
				c.Command.ArgsUsage)
		}
	}
	if len(args) > len(names) {
		return nil, usagef(c.Command.Name, "%q is one argument too many: gcd-tool %s [FLAGS] %s", args[len(names)],
			c.Command.Name, c.Command.ArgsUsage)
	}
	return args, nil
}

// lockWaitFlag is of every command that needs the directory for itself.
func lockWaitFlag() cli.Flag {
	return &cli.DurationFlag{Name: "lock-wait", Value: 10 * time.Second, Category: "Messages",
		Usage: "The `TIME` to wait for another gcd-tool that has the directory. For a server it never waits."}
}

// lockWait is what it says, as package tools takes it.
func lockWait(c *cli.Context) time.Duration {
	if wait := c.Duration("lock-wait"); wait > 0 {
		return wait
	}
	return -1
}

// quietFlag is of every command that may take long.
func quietFlag() cli.Flag {
	return &cli.BoolFlag{Name: "quiet", Category: "Messages", Usage: "Say nothing but errors."}
}
