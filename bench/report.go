package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// rates, cpus, p50s and p99s are one figure of all points.
func rates(points []point) []float64 { return figures(points, func(p point) float64 { return p.rate }) }
func cpus(points []point) []float64  { return figures(points, func(p point) float64 { return p.cpu }) }
func p50s(points []point) []float64 {
	return figures(points, func(p point) float64 { return float64(p.p50) })
}
func p99s(points []point) []float64 {
	return figures(points, func(p point) float64 { return float64(p.p99) })
}
func losses(points []point) []float64 {
	return figures(points, func(p point) float64 { return p.lost })
}

func figures(points []point, figure func(point) float64) []float64 {
	all := make([]float64, len(points))
	for i, p := range points {
		all[i] = figure(p)
	}
	return all
}

// median is the middle one, and the mean of the two in the middle of an even number; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratio is one divided by another, 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// ranged writes the median and the range of values.
func ranged(values []float64, write func(float64) string) string {
	if len(values) == 0 {
		return "–"
	}
	middle := write(median(values))
	if len(values) == 1 {
		return middle
	}
	return fmt.Sprintf("%s (%s–%s)", middle, write(slices.Min(values)), write(slices.Max(values)))
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
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// micros writes nanoseconds as microseconds.
func micros(nanoseconds float64) string { return digits(nanoseconds / 1e3) }

// wanted writes a ratio and, where there is one, the goal it has and whether it reaches it.
func wanted(value, goal float64) string {
	switch {
	case value == 0:
		return "–"
	case goal == 0:
		return digits(value)
	case value >= goal:
		return fmt.Sprintf("**%s** (≥ %s)", digits(value), strconv.FormatFloat(goal, 'g', -1, 64))
	}
	return fmt.Sprintf("%s (✗ ≥ %s)", digits(value), strconv.FormatFloat(goal, 'g', -1, 64))
}

// atMost is wanted for what should be small.
func atMost(value, goal float64) string {
	switch {
	case value == 0:
		return "–"
	case value <= goal:
		return fmt.Sprintf("**%s** (≤ %s)", digits(value), strconv.FormatFloat(goal, 'g', -1, 64))
	}
	return fmt.Sprintf("%s (✗ ≤ %s)", digits(value), strconv.FormatFloat(goal, 'g', -1, 64))
}

// table is a table in Markdown.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var b strings.Builder
	write := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	write(t.header)
	b.WriteString(strings.Repeat("|---", len(t.header)) + "|\n")
	for _, cells := range t.rows {
		write(cells)
	}
	return b.String()
}

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
