package cmdline_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
)

// TestMeterBar: on a terminal each phase has a bar, with the total or without, and then a line that stays.
func TestMeterBar(t *testing.T) {
	t.Parallel()
	terminal := scripttest.NewTerminal(t)
	m := cmdline.NewMeter(terminal.File, time.Now)
	m.Report("reading", 5, 0, "records")
	m.Report("writing", 1<<20, 1<<21, "bytes")
	terminal.WaitFor("writing ... 50.00% ")
	m.Report("writing", 3<<19, 1<<21, "bytes")
	terminal.WaitFor("writing ... 75.00% ")
	m.End(nil)
	m.Report("writing", 1<<21, 1<<21, "bytes")
	text := terminal.Shown()
	for _, want := range []string{`reading \.\.\. done! \[5 in `, `writing \.\.\. 75.00% ║█.* \[1\.57MB in `, `writing \.\.\. done! \[1\.57MB in .*\n$`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

// TestMeterEndedEarly: of a work that failed the last bar does not say that it is done, with a total or without; those before it do.
func TestMeterEndedEarly(t *testing.T) {
	t.Parallel()
	for _, total := range []uint64{0, 10} {
		terminal := scripttest.NewTerminal(t)
		m := cmdline.NewMeter(terminal.File, time.Now)
		m.Report("reading", 5, total, "records")
		m.Report("writing", 1, total, "topics")
		m.End(context.Canceled)
		m.End(nil)
		text := terminal.Shown()
		for _, want := range []string{`reading \.\.\. done! \[5 in `, `writing \.\.\. ended early \[1 in .*\n$`} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("total %d: %q is not in %q", total, want, text)
			}
		}
	}
}

// TestMeterEndsBeforeData: what is written to the terminal is behind the bar, and nothing of a bar behind it.
func TestMeterEndsBeforeData(t *testing.T) {
	t.Parallel()
	terminal := scripttest.NewTerminal(t)
	m := cmdline.NewMeter(terminal.File, time.Now)
	w := m.Data(terminal.File)
	m.Report("reading", 5, 10, "records")
	for row := range 3 {
		fmt.Fprintf(w, "row %d\n", row)
		m.Report("writing", uint64(row), 3, "topics")
	}
	m.End(nil)
	text := terminal.Shown()
	if bar, ok := strings.CutSuffix(text, "row 0\nrow 1\nrow 2\n"); !ok || !strings.Contains(bar, "reading") || strings.Contains(bar, "writing") {
		t.Errorf("%q", text)
	}
}

// TestMeterBesideData: data that goes elsewhere takes nothing from the bar, and a bar elsewhere nothing from the data.
func TestMeterBesideData(t *testing.T) {
	t.Parallel()
	terminal := scripttest.NewTerminal(t)
	var b bytes.Buffer
	m := cmdline.NewMeter(terminal.File, time.Now)
	fmt.Fprintln(m.Data(&b), "row")
	m.Report("writing", 1, 3, "topics")
	m.End(nil)
	if text := terminal.Shown(); !strings.Contains(text, "writing") || strings.Contains(text, "row") {
		t.Errorf("%q", text)
	}

	b.Reset()
	terminal = scripttest.NewTerminal(t)
	now := time.Unix(0, 0)
	m = cmdline.NewMeter(&b, func() time.Time { now = now.Add(5 * time.Second); return now })
	fmt.Fprintln(m.Data(terminal.File), "row")
	m.Report("writing", 1, 3, "topics")
	m.Report("writing", 2, 3, "topics")
	m.End(nil)
	if text := terminal.Shown(); text != "row\n" || !strings.HasPrefix(b.String(), "writing: 2 topics of 3") {
		t.Errorf("%q, %q", text, b.String())
	}
}
