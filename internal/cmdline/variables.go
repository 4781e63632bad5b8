package cmdline

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

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
		if !ours || slices.Contains(known, name) || strings.Contains(rest, "SERVICE_") || strings.Contains(rest, "PORT") {
			continue
		}
		unknown = append(unknown, UnknownVariable{name, nearest(capitals, known, max(2, len(rest)/2))})
	}
	return unknown
}
