package cmdline

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Arrange puts the arguments into the order that the library understands: it stops to look for flags at the first
// argument that is none, so that "gcd count orders --addr …" would count "orders" on the wrong server. Behind Arrange the
// flags come first, then "--", then the rest. What stood behind a "--" already is never taken for a flag, which is how a
// topic that begins with "-" is given.
//
// Whole numbers are rewritten, since the library would take 0100 for 64 and 0x10 for 16.
//
// --help and -h become the command help, --version becomes the command version.
func Arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	program, name, rest := args[0], args[1], args[2:]
	switch name {
	case "--help", "-help", "-h":
		return append([]string{program, "help", "--"}, rest...), nil
	case "--version", "-version":
		return append([]string{program, "version"}, rest...), nil
	}
	command := app.Command(name)
	if command == nil || command.SkipFlagParsing {
		return args, nil // for the library to refuse, or for the command to read as it stands
	}

	var flags, positional []string
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		if arg == "--" {
			positional = append(positional, rest[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			positional = append(positional, arg)
			continue
		}
		typed, value, hasValue := strings.Cut(arg, "=")
		flagName := strings.TrimLeft(typed, "-")
		if flagName == "help" || flagName == "h" {
			return []string{program, "help", "--", command.Name}, nil
		}
		flag := findFlag(command, flagName)
		if flag == nil || !flag.TakesValue() {
			flags = append(flags, arg)
			continue // the library names the flag that it does not know
		}
		if !hasValue {
			if i+1 == len(rest) {
				return nil, Usagef(app.Name, command.Name, "flag --%s needs a value", flagName)
			}
			i++
			value = rest[i]
			// "--addr $SERVER --network udp" with an empty variable
			if next := strings.TrimLeft(value, "-"); next != value && findFlag(command, next) != nil {
				return nil, Usagef(app.Name, command.Name, "flag --%s needs a value, but %s follows", flagName, value)
			}
		}
		value, err := decimal(flag, value)
		if err != nil {
			return nil, Usagef(app.Name, command.Name, "%s cannot be %q: %s", dashed(flagName), value, form(flag, err.Error()))
		}
		if hasValue {
			flags = append(flags, typed+"="+value)
		} else {
			flags = append(flags, typed, value)
		}
	}

	arranged := append([]string{program, command.Name}, flags...)
	if len(positional) > 0 {
		arranged = append(append(arranged, "--"), positional...)
	}
	return arranged, nil
}

// AsksForHelp says whether a command line, whose second element is the name of a command, asks for
// help with it.
func AsksForHelp(commands []*cli.Command, args []string) bool {
	arranged, err := Arrange(&cli.App{Commands: commands}, args)
	return err == nil && arranged[1] == "help"
}

// decimal rewrites the value of a flag that takes a whole number so that the library takes it for decimal. Other values stay as they are.
func decimal(flag cli.Flag, value string) (string, error) {
	switch flag.(type) {
	case *cli.IntFlag:
		n, err := strconv.Atoi(value)
		if err != nil {
			return value, err
		}
		return strconv.Itoa(n), nil
	case *cli.Uint64Flag:
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return value, err
		}
		return strconv.FormatUint(n, 10), nil
	}
	return value, nil
}

// findFlag returns the flag of a command by one of its names, or nil.
func findFlag(command *cli.Command, name string) cli.DocGenerationFlag {
	for _, flag := range command.Flags {
		for _, n := range flag.Names() {
			if n == name {
				return flag.(cli.DocGenerationFlag)
			}
		}
	}
	return nil
}
