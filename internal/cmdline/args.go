package cmdline

import (
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// A line is what follows the name of a command, taken apart. Flags may stand before, between
// and after the arguments; after a "--" nothing is a flag, which is how a topic that begins with
// "-" is given.
type line struct {
	flags  []typedFlag
	args   []string
	open   bool // the last flag needs a value, and none followed
	dashes bool // there was a "--"
}

// A typedFlag is a flag as it was typed.
type typedFlag struct {
	word   string                // all of it, without a value that is a word of its own
	name   string                // without dashes
	flag   cli.DocGenerationFlag // nil: the command has none of this name
	value  string
	joined bool // the value is of the same word: --flag=value
}

// split takes the words after a command apart. It refuses nothing.
func split(command *cli.Command, words []string) line {
	if command.SkipFlagParsing {
		return line{args: words}
	}
	var l line
	for _, word := range words {
		switch {
		case l.open:
			l.flags[len(l.flags)-1].value, l.open = word, false
		case word == "--" && !l.dashes:
			l.dashes = true
		case l.dashes || len(word) < 2 || word[0] != '-':
			l.args = append(l.args, word)
		default:
			name, value, joined := strings.Cut(word, "=")
			name = strings.TrimPrefix(name[1:], "-")
			f := findFlag(command, name)
			l.flags = append(l.flags, typedFlag{word, name, f, value, joined})
			l.open = f != nil && f.TakesValue() && !joined
		}
	}
	return l
}

// asksForHelp says whether --help is among the flags, whatever else is wrong with them.
func (l line) asksForHelp() bool {
	for _, typed := range l.flags {
		if typed.flag == nil && (typed.name == "help" || typed.name == "h") {
			return true
		}
	}
	return false
}

// read gives the flags of a command their values, from the environment and from the line, which
// wins. It notes in app's metadata which flags were typed. Every mistake is found here and not by
// the library, whose errors differ in their text alone.
func (l line) read(app *cli.App, command *cli.Command) (*flag.FlagSet, error) {
	wrong := func(format string, args ...any) (*flag.FlagSet, error) {
		return nil, Usagef(app.Name, command.Name, format, args...)
	}
	for _, typed := range l.flags {
		// "--addr $SERVER --network udp" with an empty variable
		next := strings.TrimLeft(typed.value, "-")
		if !typed.joined && next != typed.value && findFlag(command, next) != nil {
			return wrong("flag --%s needs a value, but %s follows", typed.name, typed.value)
		}
	}
	if l.open {
		return wrong("flag --%s needs a value", l.flags[len(l.flags)-1].name)
	}

	set := flag.NewFlagSet(command.Name, flag.ContinueOnError)
	for _, f := range command.Flags {
		if n, ok := f.(*cli.IntFlag); ok {
			n.Base = 10
		}
		if f.Apply(set) != nil { // its variable has a value that it does not take
			variable := f.(cli.DocGenerationFlag).GetEnvVars()[0]
			value := os.Getenv(variable)
			return wrong("%s cannot be %q: %s", variable, value, form(f, value))
		}
	}
	for _, typed := range l.flags {
		switch {
		case typed.flag == nil:
			return nil, typed.unknown(app.Name, command.Name, DidYouMean(typed.name, flagNames(command)))
		case !typed.flag.TakesValue() && !typed.joined:
			typed.value = "true"
		}
		name := typed.flag.Names()[0]
		value, err := decimal(typed.flag, typed.value)
		if err != nil || set.Set(name, value) != nil {
			return wrong("%s cannot be %q: %s", dashed(typed.name), typed.value, form(typed.flag, typed.value))
		}
		app.Metadata[name] = true
	}
	return set, set.Parse(append([]string{"--"}, l.args...))
}

// unknown is the error for a flag that a command does not have ("" for the program itself). more
// goes on after the flag.
func (f typedFlag) unknown(program, command, more string) error {
	if f.name == "" || f.name[0] == '-' {
		return Usagef(program, command, "bad flag syntax: %s", f.word)
	}
	return Usagef(program, command, "unknown flag %s%s", dashed(f.name), more)
}

// decimal writes the value of a flag that takes a whole number so that the library, which would
// take 0100 for 64 and 0x10 for 16, takes it for decimal. Other values stay as they are.
func decimal(f cli.Flag, value string) (string, error) {
	switch f.(type) {
	case *cli.IntFlag:
		n, err := strconv.Atoi(value)
		return strconv.Itoa(n), err
	case *cli.Uint64Flag:
		n, err := strconv.ParseUint(value, 10, 64)
		return strconv.FormatUint(n, 10), err
	}
	return value, nil
}

// form says what values a flag takes, after it refused this one.
func form(f cli.Flag, value string) string {
	switch f := f.(type) {
	case *cli.IntFlag:
		return "it takes a whole number"
	case *cli.Uint64Flag:
		return "it takes a whole number from 0 to 18446744073709551615"
	case *cli.DurationFlag:
		return "it takes a time such as 500ms, 10s or 5m"
	case *cli.BoolFlag:
		return "it takes true or false"
	case *cli.GenericFlag: // of a type of ours, which says so itself
		if err := f.Value.Set(value); err != nil {
			return err.Error()
		}
	}
	return "it takes no such value"
}

// findFlag returns the flag of a command by one of its names, or nil.
func findFlag(command *cli.Command, name string) cli.DocGenerationFlag {
	for _, f := range command.Flags {
		if slices.Contains(f.Names(), name) {
			return f.(cli.DocGenerationFlag)
		}
	}
	return nil
}
