package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"gcd/tools"
)

// plainEvery is how often a work says how far it is where there is no terminal.
const plainEvery = 5 * time.Second

// meter shows how far a work is: a bar with rate and time left on a terminal, a plain line now and then elsewhere. Its methods are of
// the goroutine that works; with a bar another one draws it, which end waits for.
type meter struct {
	w     io.Writer
	quiet bool
	now   func() time.Time

	bars    progress.Writer // nil: not on a terminal
	tracker *progress.Tracker
	drawn   chan struct{} // closed when the drawing has ended

	phase string
	began time.Time // of the phase
	said  time.Time
}

// newMeter makes the meter of a command that has the flag --quiet. Call end when the work is done, before anything else is printed to stderr.
func newMeter(c *cli.Context) *meter {
	m := &meter{w: c.App.ErrWriter, quiet: c.Bool("quiet"), now: time.Now}
	if isTerminal(m.w) && !m.quiet {
		m.draw()
	}
	return m
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// draw begins to draw bars.
func (m *meter) draw() {
	m.bars = progress.NewWriter()
	m.bars.SetOutputWriter(m.w)
	m.bars.SetStyle(progress.StyleBlocks)
	m.bars.SetUpdateFrequency(time.Second / 5)
	m.bars.SetTrackerLength(25)
	style := m.bars.Style()
	style.Visibility.ETA, style.Visibility.Speed, style.Visibility.TrackerOverall = true, true, false
	m.drawn = make(chan struct{})
	go func() {
		defer close(m.drawn)
		m.bars.Render()
	}()
}

// report is a tools.ProgressFunc.
func (m *meter) report(p tools.Progress) {
	if m.quiet {
		return
	}
	now := m.now()
	if p.Phase != m.phase {
		m.phase, m.began, m.said = p.Phase, now, now
		m.finish()
		if m.bars != nil {
			m.tracker = &progress.Tracker{Message: p.Phase, Total: int64(p.Total), Units: units(p.Unit)}
			m.bars.AppendTracker(m.tracker)
		}
	}
	if m.bars != nil {
		m.tracker.SetValue(int64(p.Done))
		return
	}
	if now.Sub(m.said) < plainEvery {
		return
	}
	m.said = now
	rate := float64(p.Done) / now.Sub(m.began).Seconds()
	line := fmt.Sprintf("%s: %d %s", p.Phase, p.Done, p.Unit)
	if p.Total > 0 {
		line += fmt.Sprintf(" of %d", p.Total)
	}
	line += fmt.Sprintf(", %.0f/s", rate)
	if p.Total > p.Done && rate > 0 {
		left := time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second))
		line += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	fmt.Fprintln(m.w, line)
}

func units(unit string) progress.Units {
	if unit == "bytes" {
		return progress.UnitsBytes
	}
	return progress.UnitsDefault
}

// finish completes the bar of the phase.
func (m *meter) finish() {
	if m.tracker != nil {
		m.tracker.MarkAsDone()
	}
}

// end ends the drawing.
func (m *meter) end() {
	m.finish()
	for m.bars != nil {
		m.bars.Stop() // says nothing before Render has begun, so ask again
		select {
		case <-m.drawn:
			m.bars = nil
		case <-time.After(time.Millisecond):
		}
	}
}

// note writes a line to stderr, unless --quiet. Not while bars are drawn.
func (m *meter) note(format string, args ...any) {
	if !m.quiet {
		fmt.Fprintf(m.w, format+"\n", args...)
	}
}
