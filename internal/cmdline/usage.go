package cmdline

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// A UsageError says what is wrong with a command line.
type UsageError struct {
	Reason string
	Hint   string // where to read on
}

func (e *UsageError) Error() string { return e.Reason }

// Usagef makes an error in the command line of a program's command ("" for the program itself).
func Usagef(program, command, format string, args ...any) error {
	help := program
	if command != "" {
		help += " " + command
	}
	return &UsageError{Reason: fmt.Sprintf(format, args...), Hint: "see " + help + " --help"}
}

// Typed says whether a flag of a command was given on the command line.
func Typed(c *cli.Context, flag string) bool { return c.App.Metadata[flag] != nil }

// Given is the name of a flag as the user gave its value: dashed, or that of the variable in the
// environment that it came from.
func Given(c *cli.Context, flag string) string {
	if f := findFlag(c.Command, flag); f != nil && !Typed(c, flag) {
		for _, variable := range f.GetEnvVars() {
			if _, set := os.LookupEnv(variable); set && c.IsSet(flag) {
				return variable
			}
		}
	}
	return dashed(flag)
}

// TakesArgs refuses arguments beyond the most that a command takes.
func TakesArgs(c *cli.Context, most int) error {
	if c.NArg() <= most {
		return nil
	}
	extra := c.Args().Get(most)
	if most == 0 {
		return Usagef(c.App.Name, c.Command.Name, "%s takes no arguments, but got %q", c.Command.Name, extra)
	}
	return Usagef(c.App.Name, c.Command.Name, "%s takes at most %d argument, and %q is one more",
		c.Command.Name, most, extra)
}

func dashed(flag string) string {
	if len(flag) == 1 {
		return "-" + flag
	}
	return "--" + flag
}

func flagNames(command *cli.Command) []string {
	var names []string
	for _, flag := range command.Flags {
		names = append(names, dashed(flag.Names()[0]))
	}
	return names
}

// DidYouMean returns the rest of a sentence that suggests the candidate next to what was typed, or
// "" when none is near.
func DidYouMean(typed string, candidates []string) string {
	// Two slips of the finger are a typing error, three are another word.
	if best := nearest(typed, candidates, min(2, len(typed)-1)); best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return ""
}

// nearest returns the candidate that takes the fewest slips to come from what was typed, letters
// that are inserted, deleted or replaced, of those that take no more than most; "" if there is
// none. The dashes of flags and the program in front of a command are not compared.
func nearest(typed string, candidates []string, most int) string {
	best, fewest := "", most+1
	for _, candidate := range candidates {
		name := strings.TrimLeft(candidate[strings.LastIndexByte(candidate, ' ')+1:], "-")
		if n := smetrics.WagnerFischer(typed, name, 1, 1, 1); n < fewest {
			best, fewest = candidate, n
		}
	}
	return best
}
