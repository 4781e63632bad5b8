package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The measures of a chart, in points.
const chartWidth, chartHeight = 345, 250

// Colours that are told apart by who does not see colours well, and dashes for print.
var (
	curveColours = []color.Color{color.RGBA{G: 0x72, B: 0xb2, A: 0xff}, color.RGBA{R: 0xd5, G: 0x5e, A: 0xff}}
	curveDashes  = [][]vg.Length{nil, {5, 3}}
)

// drawGrowth draws charts side by side as one SVG picture, the same bytes for the same results.
func drawGrowth(charts ...*growth) ([]byte, error) {
	width := vg.Length(chartWidth * len(charts))
	canvas := vgsvg.New(width, chartHeight)
	canvas.SetColor(color.White) // in every theme
	canvas.Fill(vg.Rectangle{Max: vg.Point{X: width, Y: chartHeight}}.Path())
	tiles := draw.Tiles{Rows: 1, Cols: len(charts), PadX: 12, PadTop: 6, PadBottom: 6, PadLeft: 6, PadRight: 12}
	for i, g := range charts {
		p, err := g.plot()
		if err != nil {
			return nil, err
		}
		p.Draw(tiles.At(draw.New(canvas), i, 0))
	}
	var b bytes.Buffer
	_, err := canvas.WriteTo(&b)
	// A browser without the font takes one as wide.
	fonts := []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), fonts), err
}

// plot draws medians and ranges by size, on logarithmic axes.
func (g *growth) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = g.fixed, g.x, "answers a second"
	p.Legend.Left = true // its words come after its lines, and may be wider than measured
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant, style.Font.Size = "Sans", 10
	}
	grid := plotter.NewGrid()
	for _, style := range []*draw.LineStyle{&grid.Vertical, &grid.Horizontal} {
		style.Color, style.Width = color.Gray{Y: 0xcc}, vg.Points(0.5)
	}
	p.Add(grid)
	for i, curve := range g.curves {
		var medians plotter.XYs
		var ranges plotter.YErrors
		for j, r := range curve {
			rates := r.of(rate)
			if low := slices.Min(rates); low > 0 { // nothing else has a logarithm
				m := median(rates)
				medians = append(medians, plotter.XY{X: float64(g.sizes[j]), Y: m})
				ranges = append(ranges, struct{ Low, High float64 }{m - low, slices.Max(rates) - m})
			}
		}
		if len(medians) == 0 {
			return nil, fmt.Errorf("no rate by %s can be drawn", g.x)
		}
		line, points, err := plotter.NewLinePoints(medians)
		if err != nil {
			return nil, err
		}
		bars, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{medians, ranges})
		if err != nil {
			return nil, err
		}
		colour := curveColours[i%len(curveColours)]
		line.Color, line.Width, line.Dashes = colour, vg.Points(1.5), curveDashes[i%len(curveDashes)]
		points.Color, points.Shape, points.Radius = colour, draw.CircleGlyph{}, vg.Points(2.2)
		bars.Color = colour
		p.Add(line, points, bars)
		p.Legend.Add(plural(growthWorkers[i], "worker"), line, points)
	}
	for _, axis := range []*plot.Axis{&p.X, &p.Y} { // whole decades
		axis.Min = math.Pow(10, math.Floor(math.Log10(axis.Min)))
		axis.Max = math.Max(10*axis.Min, math.Pow(10, math.Ceil(math.Log10(axis.Max))))
		axis.Scale, axis.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	}
	return p, nil
}

// decades are ticks at the powers of ten, labelled as the tables write numbers.
func decades(low, high float64) (ticks []plot.Tick) {
	for v := low; v > 0 && v <= high; v *= 10 {
		label := strings.NewReplacer(".00", "", ".0", "").Replace(perSecond(v))
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}
