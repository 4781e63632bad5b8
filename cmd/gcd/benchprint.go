package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gcd/internal/cmdline"
	"gcd/loadgen"
)

// benchProgress says how a run goes: on a terminal in one line that changes, elsewhere in a line
// now and then.
type benchProgress struct {
	w        io.WriteCloser // the load does not wait for its reader
	terminal io.Writer      // that it goes to, if it is one
	every    time.Duration
	quiet    bool
	live     bool // one line that changes
	drawn    bool
}

func newBenchProgress(stderr io.Writer, quiet bool) *benchProgress {
	p := &benchProgress{w: cmdline.Shown(stderr), terminal: stderr, every: 5 * time.Second, quiet: quiet,
		live: !quiet && cmdline.DrawsAnew(stderr)}
	if p.live {
		p.every = time.Second / 2
	}
	return p
}

func (p *benchProgress) report(s loadgen.Sample) {
	took := s.End.Sub(s.Begin)
	if p.quiet || !p.live && took < p.every/2 { // what is left at the end is in the result
		return
	}
	what := "running"
	switch {
	case s.Warmup:
		what = "warming up"
	case s.Left >= 0:
		what = fmt.Sprintf("%v left", s.Left.Round(time.Second))
	}
	rate := 0.0
	if took > 0 {
		rate = float64(s.Ops) / took.Seconds()
	}
	line := fmt.Sprintf("%s: %s requests/s", what, thousands(uint64(rate)))
	if s.Latency.TotalCount() > 0 {
		line += fmt.Sprintf(", p50 %s, p99 %s", latency(s.Latency.ValueAtQuantile(50)),
			latency(s.Latency.ValueAtQuantile(99)))
	}
	if n := s.Errors.Total(); n > 0 {
		line += fmt.Sprintf(", %s failed", thousands(n))
	}
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", cmdline.Fit(line, p.terminal))
		p.drawn = true
	} else {
		fmt.Fprintf(p.w, "%s\n", line)
	}
}

// end removes the changing line.
func (p *benchProgress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.w.Close()
}

// benchTable is the result for people.
func benchTable(r *loadgen.Result) string {
	var b strings.Builder
	o := &r.Options
	fmt.Fprintf(&b, "%s to %s, %s", o.Network, o.Addr, quantity(uint64(o.Clients), "client"))
	if o.Network == loadgen.RESP {
		fmt.Fprintf(&b, ", pipeline %d", o.Pipeline)
	}
	fmt.Fprintf(&b, ", %s", quantity(o.Topics, "topic"))
	if o.Topics > 1 {
		fmt.Fprintf(&b, " %s", o.Dist)
	}
	if o.Rate > 0 {
		fmt.Fprintf(&b, ", open loop at %s requests/s", thousands(uint64(o.Rate)))
	} else {
		b.WriteString(", closed loop")
	}
	fmt.Fprintf(&b, ": %s in %v after %v of warm-up\n\n", quantity(r.Ops(), "answer"),
		r.Elapsed.Round(time.Millisecond), o.Warmup)

	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "requests/s\tp50\tp90\tp99\tp99.9\tmax\trefused\tnot sent\tunknown\t")
	fmt.Fprintf(w, "%s\t", thousands(uint64(r.Rate())))
	for _, quantile := range []float64{50, 90, 99, 99.9, 100} {
		text := "–" // nothing was measured
		if r.Ops() > 0 {
			text = latency(r.Latency.ValueAtQuantile(quantile))
		}
		fmt.Fprintf(w, "%s\t", text)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t\n", thousands(r.Errors.Refused), thousands(r.Errors.NotSent),
		thousands(r.Errors.Unknown))
	_ = w.Flush() // into b, which takes everything

	if r.Unsent > 0 {
		fmt.Fprintf(&b,
			"\nThe rate was not reached: %s requests/s asked for, %s reached, %s due and never sent, since all "+
				"clients waited for answers.\n",
			thousands(uint64(o.Rate)), thousands(uint64(r.Rate())), quantity(r.Unsent, "request"))
	}
	if v := r.Verified; v != nil {
		b.WriteString("\n" + verdict(v, r.Errors.Unknown))
	}
	return b.String()
}

// verdict says precisely what was verified, and what was wrong.
func verdict(v *loadgen.Verification, unknown uint64) string {
	var b strings.Builder
	what := fmt.Sprintf("all %s of %s that came back, warm-up included", quantity(v.Values, "value"),
		quantity(v.Topics, "topic"))
	if !v.OK() {
		fmt.Fprintf(&b, "NOT VERIFIED, of %s: %s\n", what, violations(v))
		for _, example := range v.Examples {
			fmt.Fprintf(&b, "  %s\n", example)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "Verified, of %s: none came twice, none is below one that was there when its request was sent, ",
		what)
	if v.Explained == 0 {
		b.WriteString("and of each topic it is all from 1 up to the highest.\n")
	} else {
		fmt.Fprintf(&b,
			"and of each topic it is all from 1 up to the highest but for %s, no more than its requests with an "+
				"unknown outcome (%s in all).\n",
			quantity(v.Explained, "value"), thousands(unknown))
	}
	return b.String()
}

// violations lists what a server did that it must not do.
func violations(v *loadgen.Verification) string {
	var list []string
	for _, kind := range []struct {
		n    uint64
		what string
	}{
		{v.Duplicates, "came twice"},
		{v.Gaps, "missing without a reason"},
		{v.Disorders, "out of order"},
		{v.Impossible, "impossible"},
	} {
		if kind.n > 0 {
			list = append(list, fmt.Sprintf("%s %s", thousands(kind.n), kind.what))
		}
	}
	return strings.Join(list, ", ")
}

// benchJSON is the result for programs. docs/benchmarks.md has its fields.
func benchJSON(r *loadgen.Result) (string, error) {
	var latencies map[string]float64 // null where nothing was measured
	if r.Ops() > 0 {
		latencies = map[string]float64{"mean": r.Latency.Mean() / 1e3}
		for name, quantile := range map[string]float64{"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100} {
			latencies[name] = float64(r.Latency.ValueAtQuantile(quantile)) / 1e3
		}
	}
	causes := make(map[string]string)
	for i, class := range []string{"refused", "not_sent", "unknown"} {
		if r.Causes[i] != nil {
			causes[class] = plain(r.Causes[i])
		}
	}
	o := &r.Options
	data, err := json.Marshal(struct {
		Network     loadgen.Network       `json:"network"`
		Addr        string                `json:"addr"`
		Clients     int                   `json:"clients"`
		Pipeline    int                   `json:"pipeline"`
		Threads     int                   `json:"threads"`
		Topics      uint64                `json:"topics"`
		Dist        loadgen.Dist          `json:"dist"`
		Prefix      string                `json:"prefix"`
		Rate        float64               `json:"rate"` // 0: closed loop
		Warmup      float64               `json:"warmup_seconds"`
		Elapsed     float64               `json:"elapsed_seconds"`
		Answers     uint64                `json:"answers"`
		PerSecond   float64               `json:"answers_per_second"`
		Latency     map[string]float64    `json:"latency_microseconds"`
		Errors      loadgen.Errors        `json:"errors"`
		FirstErrors map[string]string     `json:"first_errors"`
		Unsent      uint64                `json:"unsent"`
		Interrupted bool                  `json:"interrupted"`
		Verified    *loadgen.Verification `json:"verified,omitempty"`
	}{
		o.Network, o.Addr, o.Clients, o.Pipeline, o.Threads, o.Topics, o.Dist, o.Prefix, o.Rate,
		o.Warmup.Seconds(), r.Elapsed.Seconds(), r.Ops(), r.Rate(),
		latencies, r.Errors, causes, r.Unsent, r.Interrupted, r.Verified,
	})
	return string(data) + "\n", err
}

// latency writes nanoseconds with three digits.
func latency(nanoseconds int64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}} {
		value := float64(nanoseconds) / unit.size
		switch {
		case value >= 999.5 && unit.size < 1e9:
		case value >= 99.95:
			return fmt.Sprintf("%.0f %s", value, unit.name)
		case value >= 9.995:
			return fmt.Sprintf("%.1f %s", value, unit.name)
		default:
			return fmt.Sprintf("%.2f %s", value, unit.name)
		}
	}
	return ""
}

// thousands writes a number with a comma between groups of three digits.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// quantity writes a number of things.
func quantity(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(n) + " " + thing + "s"
}
