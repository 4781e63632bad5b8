package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
	"gcd/loadgen"
)

// TestHelpFits: the help of the program and of each command fits into the terminal, and has 80
// columns at most there and elsewhere.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	commands := []string{""}
	for _, command := range program(nil).Commands {
		commands = append(commands, command.Name)
	}
	for _, command := range append(commands, "version", "completion", "help") {
		args := strings.Fields("gcd help " + command)
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
		t.Errorf("%q", text)
	}
}
