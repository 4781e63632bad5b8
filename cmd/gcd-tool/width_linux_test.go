package main

import (
	"io"
	"strings"
	"testing"

	"gcd/internal/scripttest"
)

// TestHelpFits: the help of the program and of each command fits into the terminal, and has 80
// columns at most there and elsewhere.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	commands := []string{"", "version", "completion", "help"}
	for _, command := range program().Commands {
		commands = append(commands, command.Name)
	}
	for _, command := range commands {
		scripttest.HelpFits(t, func(args []string, stdout, stderr io.Writer) int {
			return run(t.Context(), args, stdout, stderr)
		}, strings.Fields("gcd-tool help "+command)...)
	}
}
