package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a picture of curves, with logarithmic axes.
type chart struct {
	title, x string
	curves   []curve
}

// The measures of a chart, in pixels.
const (
	chartWidth, chartHeight = 460, 320
	plotLeft, plotTop       = 62, 36
	plotWidth, plotHeight   = 376, 224
)

// Colours that are told apart in print and by who does not see colours well, and marks that tell them apart without.
var (
	curveColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7"}
	curveDashes  = []string{"", "6 4", "2 3", "8 3 2 3"}
)

// axis maps values to pixels, in decades.
type axis struct {
	low, high float64 // powers of ten
	from, to  float64 // pixels
}

func newAxis(values []float64, from, to float64) axis {
	a := axis{low: math.Inf(1), high: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		a.low, a.high = min(a.low, math.Floor(math.Log10(v))), max(a.high, math.Ceil(math.Log10(v)))
	}
	if a.high == a.low {
		a.high++
	}
	return a
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.low)/(a.high-a.low)*(a.to-a.from)
}

// drawCharts draws charts side by side as one SVG picture, on white so that it can be read in any theme.
func drawCharts(charts []chart) string {
	var b strings.Builder
	width := chartWidth * len(charts)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, chartHeight, width, chartHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, chartHeight)
	for i, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*chartWidth)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c chart) draw(b *strings.Builder) {
	var xs, ys []float64
	for _, curve := range c.curves {
		for i := range curve.xs {
			if curve.xs[i] > 0 && curve.ys[i] > 0 {
				xs, ys = append(xs, curve.xs[i]), append(ys, curve.ys[i])
			}
		}
	}
	if len(xs) == 0 {
		return
	}
	x, y := newAxis(xs, plotLeft, plotLeft+plotWidth), newAxis(ys, plotTop+plotHeight, plotTop)
	text := func(atX, atY float64, anchor, s string) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", atX, atY, anchor, html.EscapeString(s))
	}
	text(plotLeft+plotWidth/2, plotTop-16, "middle", c.title)
	text(plotLeft+plotWidth/2, plotTop+plotHeight+36, "middle", c.x)
	for power := x.low; power <= x.high; power++ {
		at := x.at(math.Pow(10, power))
		fmt.Fprintf(b, `<path d="M%.1f %dv%d" stroke="#ddd"/>`+"\n", at, plotTop, plotHeight)
		text(at, plotTop+plotHeight+16, "middle", decade(power))
	}
	for power := y.low; power <= y.high; power++ {
		at := y.at(math.Pow(10, power))
		fmt.Fprintf(b, `<path d="M%d %.1fh%d" stroke="#ddd"/>`+"\n", plotLeft, at, plotWidth)
		text(plotLeft-6, at+4, "end", decade(power)+"/s")
	}
	for i, curve := range c.curves {
		colour, dash := curveColours[i%len(curveColours)], curveDashes[i%len(curveDashes)]
		var points []string
		for j := range curve.xs {
			if curve.xs[j] > 0 && curve.ys[j] > 0 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(curve.xs[j]), y.at(curve.ys[j])))
			}
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`+"\n", strings.Join(points, " "), colour, dash)
		for _, p := range points {
			px, py, _ := strings.Cut(p, ",")
			fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="3" fill="%s"/>`+"\n", px, py, colour)
		}
		legend := float64(plotTop + plotHeight + 54)
		left := float64(plotLeft + i*110)
		fmt.Fprintf(b, `<path d="M%.1f %.1fh24" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`+"\n", left, legend-4, colour, dash)
		text(left+30, legend, "start", curve.name)
	}
}

// decade writes a power of ten: 1, 10, 100, 1 k, …
func decade(power float64) string {
	units := []string{"", " k", " M", " G", " T"}
	p := int(power)
	if p < 0 || p/3 >= len(units) {
		return fmt.Sprintf("1e%d", p)
	}
	return fmt.Sprintf("%.0f%s", math.Pow10(p%3), units[p/3])
}
