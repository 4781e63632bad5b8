package scripttest

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// HelpFits runs a program's command line, which asks for help, on terminals of several widths and
// elsewhere: the text is the same, and fits into the terminal and into 80 columns.
func HelpFits(t *testing.T, run func(args []string, stdout, stderr io.Writer) (code int), args ...string) {
	t.Helper()
	const most = 80
	var elsewhere bytes.Buffer
	if code := run(args, &elsewhere, &elsewhere); code != 0 {
		t.Fatalf("%q: code %d, %s", args, code, elsewhere.String())
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	for _, width := range []int{0, 40, 60, most, 200} { // 0: it does not say
		terminal := NewTerminal(t)
		terminal.Resize(t, width)
		run(args, terminal.File, terminal.File)
		text, columns := terminal.Shown(), most
		if width > 0 {
			columns = min(width, most)
		}
		if long := Overlong(text, columns); len(long) > 0 {
			t.Errorf("%q on %d columns has %q", args, width, long)
		}
		if words(text) != words(elsewhere.String()) || columns == most && text != elsewhere.String() {
			t.Errorf("%q on %d columns is %q", args, width, text)
		}
	}
}
