package cmdline

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
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

// explainUsage turns an error of the library's flag parser into one that names the flag, or the variable, as the user wrote
// it, and says what it takes.
func explainUsage(c *cli.Context, err error, _ bool) error {
	message := err.Error()
	name := c.Command.Name
	if flag, ok := strings.CutPrefix(message, "flag provided but not defined: -"); ok {
		if name == c.App.Name {
			return Usagef(c.App.Name, "", "unknown flag %s: flags go behind a command", dashed(flag))
		}
		return Usagef(c.App.Name, name, "unknown flag %s%s", dashed(flag), DidYouMean(flag, flagNames(c.Command)))
	}
	for _, f := range c.Command.Flags {
		flag := f.(cli.DocGenerationFlag)
		// could not parse "x" as int value from environment variable "GCD_WORKERS" for flag workers: reason
		if _, reason, ok := strings.Cut(message, " for flag "+flag.Names()[0]+": "); ok {
			variable := flag.GetEnvVars()[0] // it came from there
			return Usagef(c.App.Name, name, "%s cannot be %q: %s", variable, os.Getenv(variable), form(flag, reason))
		}
		// invalid value "x" for flag -workers: reason
		// invalid boolean value "x" for -memory: reason
		for _, pattern := range []string{" for flag -", " for -"} {
			value, reason, ok := strings.Cut(message, pattern+flag.Names()[0]+": ")
			if ok {
				value = strings.TrimPrefix(strings.TrimPrefix(value, "invalid boolean value "), "invalid value ")
				return Usagef(c.App.Name, name, "%s cannot be %s: %s", dashed(flag.Names()[0]), value, form(flag, reason))
			}
		}
	}
	return Usagef(c.App.Name, name, "%s", message)
}

// form says what the values of a flag look like. Flags of our own types say it themselves, as the reason.
func form(flag cli.Flag, reason string) string {
	switch flag.(type) {
	case *cli.IntFlag:
		return "it takes a whole number"
	case *cli.Uint64Flag:
		return "it takes a whole number from 0 to 18446744073709551615"
	case *cli.DurationFlag:
		return "it takes a time such as 500ms, 10s or 5m"
	case *cli.BoolFlag:
		return "it takes true or false"
	}
	return reason
}

// typedKey is where Run keeps which flags were typed, in the metadata of the library.
const typedKey = "typed flags"

// typedFlags are the names of the flags in a command line that Arrange has put in order.
func typedFlags(args []string) map[string]bool {
	typed := map[string]bool{}
	for _, arg := range args[min(2, len(args)):] {
		if arg == "--" {
			break
		}
		if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "-") {
			typed[strings.TrimLeft(name, "-")] = true
		}
	}
	return typed
}

// Typed says whether a flag of a command stands on the command line.
func Typed(c *cli.Context, flag string) bool {
	typed, _ := c.App.Metadata[typedKey].(map[string]bool)
	return typed[flag]
}

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
	return Usagef(c.App.Name, c.Command.Name, "%s takes at most %d argument, and %q is one more", c.Command.Name, most, extra)
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

// DidYouMean returns the rest of a sentence that suggests the candidate next to what was typed, or "" when none is near.
func DidYouMean(typed string, candidates []string) string {
	best, distance := "", 3 // two slips of the finger are a typing error, three are another word
	for _, candidate := range candidates {
		name := candidate[strings.LastIndexByte(candidate, ' ')+1:] // of another program's command
		if d := slips(typed, strings.TrimLeft(name, "-")); d < distance && d < len(typed) {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// slips counts the letters to insert, delete or replace that turn a into b (the Levenshtein distance, in bytes).
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
