// Package cmdline is what gcd's programs share of their command lines: commands with flags before
// or after the arguments, errors that name what was typed, help, completion, version, progress. It
// prints nothing but what it was asked for, and never exits.
package cmdline

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Program is one of the programs.
type Program struct {
	Name     string
	Usage    string // in a few words
	Intro    string // of the help, above the commands
	Outro    string // below them
	Commands []*cli.Command
	Sibling  Sibling
}

// Sibling is the other program, whose commands users may type by mistake.
type Sibling struct {
	Name     string
	Commands []string
}

// category is the heading for the commands that every program has.
func (p *Program) category() string { return "About " + p.Name }

// Run executes the command line args, whose first element is the program's name. When ctx ends, the
// command is interrupted, even while it waits for the reader of its output. What is wrong with the
// command line is a *UsageError; every other error is the command's.
func (p *Program) Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	app := p.app(interruptible(ctx, stdout), interruptible(ctx, stderr))
	command, l, err := p.find(app, args[min(1, len(args)):])
	if err != nil {
		return err
	}
	set, err := l.read(app, command)
	if err != nil {
		return err
	}
	c := cli.NewContext(app, set, nil)
	c.Context, c.Command = ctx, command
	return command.Action(c)
}

// Runs returns the name of the command that Run would run for a command line, which is help for
// one that asks for help with another; "" if it names none.
func (p *Program) Runs(args []string) string {
	command, _, err := p.find(p.app(nil, nil), args[min(1, len(args)):])
	if err != nil {
		return ""
	}
	return command.Name
}

// app makes the tree of commands. Its types are the library's, which reads flags from the
// environment and can write pages about the tree. The library does not run the tree: it would print
// and exit by itself in several places, and take no flags after the first argument.
func (p *Program) app(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:      p.Name,
		Usage:     p.Usage,
		Writer:    stdout,
		ErrWriter: stderr,
		Metadata:  map[string]any{}, // the names of the flags that were typed
		Commands: append(p.Commands[:len(p.Commands):len(p.Commands)], p.versionCommand(),
			p.completionCommand(), completeCommand(), p.helpCommand()),
	}
}

// find returns the command that words name, and the line after it.
func (p *Program) find(app *cli.App, words []string) (*cli.Command, line, error) {
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	} else if len(words) > 0 {
		switch l := split(&cli.Command{}, words[:1]); {
		case l.asksForHelp():
			return app.Command(helpName), line{args: words[1:]}, nil
		case words[0] == "--version", words[0] == "-version":
			words = append([]string{versionName}, words[1:]...)
		case len(l.flags) > 0:
			return nil, line{}, l.flags[0].unknown(p.Name, "", ": flags go after a command")
		}
	}
	if len(words) == 0 {
		return nil, line{}, Usagef(p.Name, "", "no command given")
	}
	command := app.Command(words[0])
	if command == nil {
		return nil, line{}, p.unknown(app, words[0])
	}
	l := split(command, words[1:])
	if l.asksForHelp() {
		return app.Command(helpName), line{args: []string{command.Name}}, nil
	}
	return command, l, nil
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

func commandNames(app *cli.App) []string {
	var names []string
	for _, command := range app.VisibleCommands() {
		names = append(names, command.Name)
	}
	return names
}

// PrintLine writes one line of data. A number that was counted but cannot be printed must not look
// like success.
func PrintLine(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return fmt.Errorf("could not print %q: %w", line, err)
	}
	return nil
}

// OneLine is the text of an error on one line, without the name of the package in front, which is
// one of packages. Where several steps ended with the same cause, only the longest text is said.
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

// endsWith says whether a text ends with this cause.
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
