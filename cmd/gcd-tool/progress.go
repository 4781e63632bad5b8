package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"gcd/internal/cmdline"
	"gcd/tools"
)

// meter tells how far a command is and what came of it, on stderr.
type meter struct {
	shown *cmdline.Meter
	w     io.Writer
}

// newMeter makes the meter of a command that has the flag --quiet. Call end when the work is done,
// before anything else is printed.
func newMeter(c *cli.Context) *meter {
	w := c.App.ErrWriter
	if c.Bool("quiet") {
		w = io.Discard
	}
	return &meter{cmdline.NewMeter(w, time.Now), w}
}

// report is a tools.ProgressFunc.
func (m *meter) report(p tools.Progress) { m.shown.Report(p.Phase, p.Done, p.Total, p.Unit) }

// data returns what data is written to that is printed before end is called; w is stdout.
func (m *meter) data(w io.Writer) io.Writer { return cmdline.Visible(w, m.shown.Data(w)) }

// end ends the report of a work of which err is what became.
func (m *meter) end(err error) { m.shown.End(err) }

// note writes a line to stderr, unless --quiet. Only after end.
func (m *meter) note(format string, args ...any) { fmt.Fprintf(m.w, format+"\n", args...) }
