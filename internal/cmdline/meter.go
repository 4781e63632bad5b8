package cmdline

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"gcd/internal/logqueue"
)

// plainEvery is the time between two lines of progress where there is no terminal.
const plainEvery = 5 * time.Second

// shownTime is how long End may wait until the progress is written.
const shownTime = 100 * time.Millisecond

// What a bar takes of a terminal, in columns.
const (
	leastBar = 5
	mostBar  = 25
	barRoom  = 72 // for the text beside it
)

// Meter shows the progress of a command: on a terminal a bar with the rate and the time left,
// elsewhere a plain line now and then. Only the goroutine that works calls its methods. A bar is
// drawn by a goroutine of its own, and End waits for that one. The work may hold the lock of a
// directory, so it never waits for a stopped terminal or for a pipe that nobody reads.
type Meter struct {
	w     io.Writer
	shown io.WriteCloser // to w; nil: nothing was said yet
	now   func() time.Time
	ended bool

	bars    progress.Writer // nil: not on a terminal, or nothing was reported yet
	tracker *progress.Tracker
	total   uint64        // of the phase; 0: not known
	drawn   chan struct{} // closed when the drawing has ended

	phase string
	began time.Time // the first report of the phase
	first uint64    // what was done then
	said  time.Time
}

// NewMeter makes a meter that writes to w, which is stderr; give io.Discard to show nothing. now is
// time.Now. Call End when the work has ended, before anything else is printed.
func NewMeter(w io.Writer, now func() time.Time) *Meter { return &Meter{w: w, now: now} }

// Report says that done of total units are done; unit is "topics", "records" or "bytes". total is 0
// if it is not known. Within a phase done never falls; a new phase starts again from anywhere.
// After End it shows nothing.
func (m *Meter) Report(phase string, done, total uint64, unit string) {
	if m.ended {
		return
	}
	now := m.now()
	fresh := phase != m.phase
	if fresh {
		m.phase, m.began, m.first, m.said = phase, now, done, now
	}
	if DrawsAnew(m.w) {
		if fresh {
			m.beginPhase(&progress.Tracker{Message: phase, Total: int64(total), Units: units(unit)})
		}
		m.total = total
		m.tracker.SetValue(int64(done))
		return
	}
	if now.Sub(m.said) < plainEvery {
		return
	}
	m.said = now
	rate := float64(done-m.first) / now.Sub(m.began).Seconds()
	line := fmt.Sprintf("%s: %d %s", phase, done, unit)
	if total > 0 {
		line += fmt.Sprintf(" of %d", total)
	}
	line += fmt.Sprintf(", %.0f/s", rate)
	if total > done && rate > 0 {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	fmt.Fprintln(m.out(), line)
}

// out is the writer that never waits.
func (m *Meter) out() io.Writer {
	if m.shown == nil {
		m.shown = Shown(m.w)
	}
	return m.shown
}

// Shown returns a writer to w for progress. A Write never waits, and Close waits only for a moment.
// What was not written in time is dropped without a word.
func Shown(w io.Writer) io.WriteCloser {
	return shown{logqueue.New(w, logqueue.Options{Lost: func(uint64) []byte { return nil }})}
}

type shown struct{ *logqueue.Queue }

func (s shown) Close() error {
	s.Queue.Close(nil, shownTime)
	return nil
}

func units(unit string) progress.Units {
	if unit == "bytes" {
		return progress.UnitsBytes
	}
	return progress.UnitsDefault
}

// beginPhase completes the bar of the phase before, and adds a new one.
func (m *Meter) beginPhase(t *progress.Tracker) {
	m.finish(nil)
	if m.bars == nil {
		m.draw()
	}
	m.tracker = t
	m.bars.AppendTracker(t)
}

// draw begins to draw bars.
func (m *Meter) draw() {
	m.bars = progress.NewWriter()
	m.bars.SetOutputWriter(fitting{m.out(), m.w})
	m.bars.SetStyle(progress.StyleBlocks)
	m.bars.SetUpdateFrequency(time.Second / 5)
	width := terminalWidth(m.w)
	if width == 0 {
		width = textWidth
	}
	m.bars.SetTrackerLength(min(max(width-barRoom, leastBar), mostBar))
	m.bars.SetTrackerPosition(progress.PositionRight)
	style := m.bars.Style()
	style.Visibility.ETA, style.Visibility.TrackerOverall = true, false
	wide := width >= barRoom // else the text after the bar would be cut off
	style.Visibility.Tracker, style.Visibility.Value, style.Visibility.Speed = wide, wide, wide
	style.Options.PercentIndeterminate = ""
	style.Options.TimeInProgressPrecision = time.Second / 10
	style.Options.ErrorString = "ended early"
	m.drawn = make(chan struct{})
	go func() {
		defer close(m.drawn)
		m.bars.Render()
	}()
}

// finish completes the bar of the phase; if err is not nil the phase ended early.
func (m *Meter) finish(err error) {
	switch {
	case m.tracker == nil:
	case err == nil:
		if m.total > 0 { // the last report may have come before the end
			m.tracker.SetValue(int64(m.total))
		}
		m.tracker.MarkAsDone()
	default:
		m.tracker.MarkAsErrored()
	}
}

// End ends the drawing and the lines. err is how the work ended: unless it is nil, the last bar
// does not say that it is done. A second call does nothing.
func (m *Meter) End(err error) {
	if m.ended {
		return
	}
	m.finish(err)
	for m.bars != nil && !m.ended {
		m.bars.Stop() // does nothing before Render has begun, so try again
		select {
		case <-m.drawn:
			m.ended = true
		case <-time.After(time.Millisecond):
		}
	}
	m.ended = true
	if m.shown != nil {
		m.shown.Close()
	}
}

// Data returns a writer to w, for data that is written while the work goes on. On a terminal a bar
// would erase rows of the data with itself, so there the meter ends before the first byte: from
// then on the data itself shows the progress.
func (m *Meter) Data(w io.Writer) io.Writer {
	if !IsTerminal(w) || !DrawsAnew(m.w) {
		return w
	}
	return &shownData{w, m}
}

type shownData struct {
	io.Writer
	meter *Meter
}

func (d *shownData) Write(b []byte) (int, error) {
	d.meter.total = 0 // more topics may come
	d.meter.End(nil)
	return d.Writer.Write(b)
}
