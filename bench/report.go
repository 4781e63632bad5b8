package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// pageUnits write values as the page does, by unit; others are written as they are.
var pageUnits = map[string]func(float64) string{
	rate: perSecond, cpu: micros, mean: micros, p50: micros, p99: micros,
	rateBefore: perSecond, rateDuring: perSecond, p99Before: micros, p99During: micros,
	idle: mega, full: mega, anonymous: mebi,
}

// text writes the median and the range.
func (r runs) text(unit string) string {
	write, ok := pageUnits[unit]
	if !ok {
		write = digits
	}
	return ranged(r.of(unit), write)
}

// latencies writes the medians of the two quantiles.
func (r runs) latencies() string {
	if len(r) == 0 {
		return "–"
	}
	return micros(r.median(p50)) + ", " + micros(r.median(p99))
}

// ranged writes the median and the range of values.
func ranged(values []float64, write func(float64) string) string {
	switch len(values) {
	case 0:
		return "–"
	case 1:
		return write(values[0])
	}
	return fmt.Sprintf("%s (%s–%s)", write(median(values)), write(slices.Min(values)), write(slices.Max(values)))
}

// perSecond writes a rate with three digits.
func perSecond(rate float64) string {
	switch {
	case rate >= 999_500:
		return digits(rate/1e6) + " M"
	case rate >= 999.5:
		return digits(rate/1e3) + " k"
	}
	return digits(rate)
}

// digits writes a number with three digits, or all those before the point.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	places := 3
	for _, least := range []float64{0.9995, 9.995, 99.95} {
		if math.Abs(v) >= least {
			places--
		}
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

func micros(v float64) string { return digits(v * 1e6) }
func mega(v float64) string   { return digits(v / 1e6) }
func mebi(v float64) string   { return digits(v / (1 << 20)) }

// wanted writes a ratio and, where there is one, the goal it has and whether it reaches it.
func wanted(value, goal float64) string { return judged(value, goal, "≥", value >= goal) }

// atMost is wanted for what should be small.
func atMost(value, goal float64) string { return judged(value, goal, "≤", value <= goal) }

func judged(value, goal float64, sign string, reached bool) string {
	switch {
	case value == 0:
		return "–"
	case goal == 0:
		return digits(value)
	case reached:
		return fmt.Sprintf("**%s** (%s %g)", digits(value), sign, goal)
	}
	return fmt.Sprintf("%s (✗ %s %g)", digits(value), sign, goal)
}

// table is a table in Markdown.
type table struct{ strings.Builder }

// newTable begins a table with its header.
func newTable(header string) *table {
	t := new(table)
	t.row(header)
	t.WriteString(strings.Repeat("|---", strings.Count(header, " | ")+1) + "|\n")
	return t
}

func (t *table) row(cells ...string) { fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | ")) }

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// grouped writes a number with a comma between groups of three digits.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// marks are the comments in the page around the place of a result.
func marks(name string) (begin, end string) {
	return "<!-- bench:" + name + " -->", "<!-- /bench:" + name + " -->"
}

// putResult puts a result in its place in the page, and leaves what is around it as it is. A page
// without a place gets one at its end.
func putResult(path, name, result string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte("# Benchmarks\n"), nil
	}
	if err != nil {
		return err
	}
	begin, end := marks(name)
	if !strings.Contains(string(text), begin) {
		text = fmt.Appendf(text, "\n## %s\n\n%s\n%s\n", name, begin, end)
	}
	before, rest, _ := strings.Cut(string(text), begin)
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return fmt.Errorf("%s has %s and no %s after it", path, begin, end)
	}
	page := before + begin + "\n" + strings.TrimSpace(result) + "\n" + end + after
	half := path + ".new" // the page is written whole or not at all
	if err := os.WriteFile(half, []byte(page), 0o644); err != nil {
		return err
	}
	return os.Rename(half, path)
}
