// Package cmdline is what gcd's programs share of their command lines: commands with flags before or behind the arguments,
// errors that name what was typed, help, completion, version, progress. It prints nothing but what it was asked for, and never exits.
package cmdline

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Program is one of them.
type Program struct {
	Name     string
	Usage    string // in a few words
	Intro    string // of the help, above the commands
	Outro    string // below them
	Commands []*cli.Command
	Sibling  Sibling
}

// Sibling is the other program, with whose commands the program's own may be taken for.
type Sibling struct {
	Name     string
	Commands []string
}

// category is that of the commands that every program has.
func (p *Program) category() string { return "About " + p.Name }

// Run executes the command line args, whose first element is the program's name. When ctx ends,
// the command is interrupted, also where it waits for whoever reads what it writes. What is wrong
// with the command line is a *UsageError; every other error is the command's.
func (p *Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	app := p.app(interruptible(ctx, stdout), interruptible(ctx, stderr))
	args, err := Arrange(app, args)
	if err != nil {
		return err
	}
	app.Metadata = map[string]any{typedKey: typedFlags(args)}
	return app.RunContext(ctx, args)
}

// app makes the tree of commands. The library prints and exits by itself in several places (help, usage errors, exit
// coders), and to os.Stdout and os.Stderr; all of them are turned off here, so that every error comes back to Run.
func (p *Program) app(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:           p.Name,
		Usage:          p.Usage,
		HideHelp:       true, // Arrange turns --help into the command help
		HideVersion:    true, // and --version into the command version
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(*cli.Context, error) {},
		// A flag that may be given several times takes what it is given as it is: topics have
		// commas, too.
		DisableSliceFlagSeparator: true,
		OnUsageError:              explainUsage,
		Commands: append(p.Commands[:len(p.Commands):len(p.Commands)], p.versionCommand(),
			p.completionCommand(), completeCommand(), p.helpCommand()),
		// Reached only when the first argument names no command.
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return Usagef(p.Name, "", "no command given")
			}
			return p.unknown(c.App, c.Args().First())
		},
	}
	for _, command := range app.Commands {
		command.HideHelp = true // or a topic named "help" could not be counted
		command.OnUsageError = explainUsage
		for _, flag := range command.Flags { // as Arrange does with what is typed
			if n, ok := flag.(*cli.IntFlag); ok {
				n.Base = 10
			}
		}
	}
	return app
}

// unknown is the error for a command that the program does not have.
func (p *Program) unknown(app *cli.App, name string) error {
	if slices.Contains(p.Sibling.Commands, name) {
		return &UsageError{
			Reason: fmt.Sprintf("%q is a command of %s: %s %s", name, p.Sibling.Name, p.Sibling.Name, name),
			Hint:   fmt.Sprintf("see %s %s --help", p.Sibling.Name, name),
		}
	}
	known := commandNames(app)
	for _, command := range p.Sibling.Commands {
		known = append(known, p.Sibling.Name+" "+command)
	}
	return Usagef(p.Name, "", "unknown command %q%s", name, DidYouMean(name, known))
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

// PrintLine writes one line of data. A number that was counted and cannot be printed must not look like success.
func PrintLine(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return fmt.Errorf("could not print %q: %w", line, err)
	}
	return nil
}

// OneLine is the text of an error on one line, without the name of the package that it comes from,
// which is one of packages. What several steps ended with is one cause, and is said once, by the
// one that says most.
func OneLine(err error, packages ...string) string {
	var said []string
	for text := range strings.SplitSeq(err.Error(), "\n") {
		for _, name := range packages {
			text = strings.TrimPrefix(text, name+": ")
		}
		switch i := slices.IndexFunc(said, func(other string) bool {
			return endsWith(text, other) || endsWith(other, text)
		}); {
		case i < 0:
			said = append(said, text)
		case len(text) > len(said[i]):
			said[i] = text
		}
	}
	return strings.Join(said, "; ")
}

// endsWith says whether the cause that a text ends with is this one.
func endsWith(text, cause string) bool {
	return text == cause || strings.HasSuffix(text, ": "+cause)
}

// Plural is a number of things, in words that fit it.
func Plural[N int | int64 | uint64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
