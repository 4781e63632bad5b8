package main

import (
	"bytes"
	"strings"
	"testing"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
)

// TestHelpFits: the help of the program and of each command fits into the terminal, and has 80
// columns at most there and elsewhere.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	commands := []string{""}
	for _, command := range program().Commands {
		commands = append(commands, command.Name)
	}
	for _, command := range append(commands, "version", "completion", "help") {
		args := strings.Fields("gcd-tool help " + command)
		var elsewhere bytes.Buffer
		if code := run(t.Context(), args, &elsewhere, &elsewhere); code != cmdline.ExitOK {
			t.Fatalf("%q: code %d, %s", args, code, elsewhere.String())
		}
		for _, width := range []int{0, 40, 60, 80, 200} { // 0: it does not say
			terminal := scripttest.NewTerminal(t)
			terminal.Resize(t, width)
			run(t.Context(), args, terminal.File, terminal.File)
			text, most := terminal.Shown(), min(width, 80)
			if most == 0 {
				most = 80
			}
			if long := scripttest.Overlong(text, most); len(long) > 0 {
				t.Errorf("%q on %d columns has %q", args, width, long)
			}
			if strings.Join(strings.Fields(text), " ") != strings.Join(strings.Fields(elsewhere.String()),
				" ") || width >= 80 && text != elsewhere.String() {
				t.Errorf("%q on %d columns is %q", args, width, text)
			}
		}
	}
}
