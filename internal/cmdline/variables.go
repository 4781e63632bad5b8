package cmdline

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// ReadVariables has flags read from the environment. A flag that says itself which variables it is
// read from, be it none, is left alone.
func ReadVariables(prefix string, flags []cli.Flag) {
	for _, f := range flags {
		if names := variablesOf(f); *names == nil {
			*names = []string{Variable(prefix, f.Names()[0])}
		}
	}
}

// Variable is the name of a flag's variable: the prefix, and the flag's name in capitals.
func Variable(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// variablesOf is where a flag has the names of its variables.
func variablesOf(f cli.Flag) *[]string {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return &f.EnvVars
	case *cli.IntFlag:
		return &f.EnvVars
	case *cli.Uint64Flag:
		return &f.EnvVars
	case *cli.DurationFlag:
		return &f.EnvVars
	case *cli.StringFlag:
		return &f.EnvVars
	case *cli.GenericFlag:
		return &f.EnvVars
	}
	return &[]string{} // of no type that our programs have
}

// Variables are the names in the environment that any command of the program reads.
func (p *Program) Variables() []string {
	var names []string
	for _, command := range p.Commands {
		for _, flag := range command.Flags {
			names = append(names, flag.(cli.DocGenerationFlag).GetEnvVars()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// UnknownVariable is one that begins as those of a program do, and that nothing reads.
type UnknownVariable struct {
	Name    string
	Nearest string // of those that something reads; "" if none is like it
}

// UnknownVariables finds them in an environment. Those that Kubernetes sets for a service of the
// program's name are none: PREFIX_SERVICE_HOST, PREFIX_PORT_5555_TCP and so on. One whose prefix is
// in another case is one only if its whole name would be known in capitals.
func UnknownVariables(environ []string, prefix string, known []string) []UnknownVariable {
	var unknown []UnknownVariable
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		capitals := strings.ToUpper(name)
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours && slices.Contains(known, capitals) {
			rest, ours = strings.TrimPrefix(capitals, prefix), true
		}
		if !ours || slices.Contains(known, name) || strings.Contains(rest, "SERVICE_") ||
			strings.Contains(rest, "PORT") {
			continue
		}
		unknown = append(unknown, UnknownVariable{name, nearest(capitals, known, max(2, len(rest)/2))})
	}
	return unknown
}
