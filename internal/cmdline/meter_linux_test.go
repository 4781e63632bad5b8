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

// TestMeterBar: on a terminal each phase has a bar, with the total or without, and then a line that
// stays.
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
	m.Report("writing", 1<<20, 1<<21, "bytes")
	text := terminal.Shown()
	for _, want := range []string{`reading \.\.\. done! \[5 in `, `writing \.\.\. 75.00% ║█.* \[1\.57MB in `,
		`writing \.\.\. done! \[2\.10MB in .*\n$`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

// TestMeterEndedEarly: of a work that failed the last bar does not say that it is done, with a
// total or without; those before it do.
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
		read := fmt.Sprintf(`reading \.\.\. done! \[%d in `, max(5, total))
		for _, want := range []string{read, `writing \.\.\. ended early \[1 in .*\n$`} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("total %d: %q is not in %q", total, want, text)
			}
		}
	}
}

// TestMeterSaysAll: a phase that is done says all that there was, though the last report came
// before its end.
func TestMeterSaysAll(t *testing.T) {
	t.Parallel()
	terminal := scripttest.NewTerminal(t)
	terminal.Resize(t, 200)
	m := cmdline.NewMeter(terminal.File, time.Now)
	m.Report("reading", 32_768, 33_196, "records")
	m.Report("writing", 1, 2, "records")
	m.End(nil)
	text := terminal.Shown()
	for _, want := range []string{`reading \.\.\. done! \[33\.20K in `, `writing \.\.\. done! \[2 in .*\n$`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

// TestMeterDumb: on a terminal on which nothing can be drawn anew there are plain lines.
func TestMeterDumb(t *testing.T) {
	t.Setenv("TERM", "dumb")
	terminal := scripttest.NewTerminal(t)
	now := time.Unix(0, 0)
	m := cmdline.NewMeter(terminal.File, func() time.Time { now = now.Add(5 * time.Second); return now })
	m.Report("writing", 1, 3, "topics")
	m.Report("writing", 2, 3, "topics")
	fmt.Fprintln(m.Data(terminal.File), "row")
	m.End(nil)
	if text := terminal.Shown(); !strings.Contains(text, "writing: 2 topics of 3") ||
		!strings.Contains(text, "row\n") ||
		strings.Contains(text, "\x1b") {
		t.Errorf("the dumb terminal has %q, want the progress and the row, and no escape sequence", text)
	}
}

// TestMeterEndsBeforeData: what is written to the terminal comes after the bar, and nothing of a
// bar comes after it.
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
	if bar, ok := strings.CutSuffix(text, "row 0\nrow 1\nrow 2\n"); !ok || !strings.Contains(bar, "reading") ||
		strings.Contains(bar, "writing") {
		t.Errorf("the terminal has %q, want the bar of reading, ended before the three rows", text)
	}
}

// TestMeterBesideData: data that goes elsewhere takes nothing from the bar, and a bar elsewhere
// nothing from the data.
func TestMeterBesideData(t *testing.T) {
	t.Parallel()
	terminal := scripttest.NewTerminal(t)
	var b bytes.Buffer
	m := cmdline.NewMeter(terminal.File, time.Now)
	fmt.Fprintln(m.Data(&b), "row")
	m.Report("writing", 1, 3, "topics")
	m.End(nil)
	if text := terminal.Shown(); !strings.Contains(text, "writing") || strings.Contains(text, "row") {
		t.Errorf("the terminal has %q, want the bar alone: the data goes elsewhere", text)
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
		t.Errorf("the terminal has %q, the file %q; want the row, and the progress", text, b.String())
	}
}

// TestMeterFits: no line of a bar is longer than the terminal is wide, or it could not be drawn
// anew, also where nobody knows how much there is.
func TestMeterFits(t *testing.T) {
	t.Parallel()
	for _, width := range []int{20, 40, 80, 200} {
		terminal := scripttest.NewTerminal(t)
		terminal.Resize(t, width)
		m := cmdline.NewMeter(terminal.File, time.Now)
		for _, total := range []uint64{0, 123_456_789_012} {
			phase := fmt.Sprintf("comparing the snapshot with %d", total)
			m.Report(phase, 23_456_789_012, total, "topics")
			terminal.WaitFor(phase[:min(len(phase), width)])
		}
		m.End(nil)
		text := terminal.Shown()
		if long := scripttest.Overlong(text, width); len(long) > 0 || strings.Contains(text, "???") {
			t.Errorf("on %d columns: %q, %q", width, long, text)
		}
		if bar := strings.ContainsAny(text, "║"); bar != (width >= 80) {
			t.Errorf("on %d columns there is a bar: %v", width, bar)
		}
	}
}

// TestVisible: on a terminal nothing that was written by others turns text round or is not seen;
// elsewhere every byte is as it is.
func TestVisible(t *testing.T) {
	t.Parallel()
	const text = "a\u202eb\u200b\u2066c\u00e9 €\U000e0001\x1b[2Jd\ufeff\n"
	terminal := scripttest.NewTerminal(t)
	w := cmdline.Visible(terminal.File, terminal.File)
	for i := range len(text) { // characters come in pieces
		if _, err := w.Write([]byte(text[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := terminal.Shown(), `a\u202eb\u200b\u2066cé €\U000e0001\u001b[2Jd\ufeff`+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var b bytes.Buffer
	if _, err := cmdline.Visible(&b, &b).Write([]byte(text)); err != nil || b.String() != text {
		t.Errorf("what is no terminal got %q, %v, want the bytes as they are", b.String(), err)
	}
}
