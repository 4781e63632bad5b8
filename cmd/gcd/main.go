// Command gcd runs a counter server and talks to one.
//
// Data goes to stdout and nothing else does; messages go to stderr, as "gcd: …" in lower case, with a line "hint: …"
// where there is something to do about it. How a command ended is its exit code; exit.go has them all.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr))
}

// run executes the command line args, whose first element is the program's name, and returns the exit code. When ctx
// ends, the command is interrupted.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	return report(stderr, err)
}

// newApp makes the tree of commands. The library prints and exits by itself in several places (help, usage errors, exit
// coders), and to os.Stdout and os.Stderr; all of them are turned off here, so that every error comes back to run.
func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:           "gcd",
		Usage:          "a durable counter service",
		HideHelp:       true, // arrange turns --help into the command help
		HideVersion:    true, // and --version into the command version
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   explainUsage,
		Commands: []*cli.Command{
			serveCommand(),
			countCommand(),
			resetCommand(),
			benchCommand(),
			versionCommand(),
			completionCommand(),
			completeCommand(),
			helpCommand(),
		},
		// Reached only when the first argument names no command.
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("", "no command given")
			}
			return usagef("", "unknown command %q%s", c.Args().First(), didYouMean(c.Args().First(), commandNames(c.App)))
		},
	}
	for _, command := range app.Commands {
		command.HideHelp = true // or a topic named "help" could not be counted
		command.OnUsageError = explainUsage
	}
	return app
}

// visibleCommands are the commands that help and completion show.
func visibleCommands(app *cli.App) []*cli.Command {
	var visible []*cli.Command
	for _, command := range app.Commands {
		if !command.Hidden {
			visible = append(visible, command)
		}
	}
	return visible
}

func commandNames(app *cli.App) []string {
	var names []string
	for _, command := range visibleCommands(app) {
		names = append(names, command.Name)
	}
	return names
}

// printLine writes one line of data. A number that was counted and cannot be printed must not look like success.
func printLine(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return fmt.Errorf("could not print %q: %w", line, err)
	}
	return nil
}
