package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gcd/internal/scripttest"
	"gcd/loadgen"
)

// TestHelpFits: the help of the program and of each command fits into the terminal, and has 80
// columns at most there and elsewhere.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	commands := []string{"", "version", "completion", "help"}
	for _, command := range program(nil).Commands {
		commands = append(commands, command.Name)
	}
	for _, command := range commands {
		scripttest.HelpFits(t, func(args []string, stdout, stderr io.Writer) int {
			return run(t.Context(), args, stdout, stderr)
		}, strings.Fields("gcd help "+command)...)
	}
}

// TestBenchProgressFits: the line that changes is cut to the width of the terminal, or a row of it
// would stay with each change.
func TestBenchProgressFits(t *testing.T) {
	t.Parallel()
	for _, width := range []int{20, 40, 80} {
		terminal := scripttest.NewTerminal(t)
		terminal.Resize(t, width)
		p := newBenchProgress(terminal.File, false)
		s := loadgen.Sample{End: time.Unix(1, 0), Begin: time.Unix(0, 0), Ops: 1_000_000, Left: time.Hour,
			Latency: hdrhistogram.New(1, 1e12, 3)}
		s.Latency.RecordValues(123_456_789, 1_000_000)
		s.Errors.Refused = 123_456
		p.report(s)
		p.end()
		text := terminal.Shown()
		if long := scripttest.Overlong(text, width); len(long) > 0 || !strings.Contains(text, "left: ") {
			t.Errorf("on %d columns: %q", width, text)
		}
	}
}

// TestBenchOnADumbTerminal: where no line can be drawn anew each stands for itself.
func TestBenchOnADumbTerminal(t *testing.T) {
	t.Setenv("TERM", "dumb")
	terminal := scripttest.NewTerminal(t)
	p := newBenchProgress(terminal.File, false)
	p.report(loadgen.Sample{End: time.Unix(10, 0), Begin: time.Unix(0, 0), Ops: 1_000_000, Left: time.Hour,
		Latency: hdrhistogram.New(1, 1e12, 3)})
	p.end()
	if text := terminal.Shown(); text != "1h0m0s left: 100,000 requests/s\n" {
		t.Errorf("the dumb terminal has %q, want one line without escape sequences", text)
	}
}
