package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
	"golang.org/x/perf/benchunit"
)

// The units of what a load is measured by, without prefixes, as benchstat wants them.
const (
	rate = "answers/s"
	cpu  = "cpu-sec/answer" // of the server, user and system
	mean = "mean-sec"
	p50  = "p50-sec"
	p99  = "p99-sec"
	lost = "lost" // requests without an answer
	took = "sec"
)

// values are what one run measured, by unit.
type values map[string]float64

// load is what one run measured, of so many answers, topics, or whatever it was about.
type load struct {
	answers uint64
	values
}

// newLoad has the latencies of a histogram of nanoseconds.
func newLoad(h *hdrhistogram.Histogram, answers uint64, perSecond float64) load {
	at := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1e9 }
	return load{answers, values{rate: perSecond, p50: at(50), p99: at(99)}}
}

// runs are what the runs of one server in one cell measured, in the order of the rounds.
type runs []values

func (r runs) of(unit string) []float64 {
	var all []float64
	for _, v := range r {
		all = append(all, v[unit])
	}
	return all
}

func (r runs) median(unit string) float64 { return median(r.of(unit)) }

// over is the ratio of two medians, and pairs are the ratios of the runs of each round.
func (r runs) over(other runs, unit string) float64 { return ratio(r.median(unit), other.median(unit)) }

func (r runs) pairs(other runs, unit string) []float64 {
	var ratios []float64
	for i := range min(len(r), len(other)) {
		ratios = append(ratios, ratio(r[i][unit], other[i][unit]))
	}
	return ratios
}

// median is benchstat's, 0 of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	return benchmath.AssumeNothing.Summary(sample, 0.95).Center
}

// ratio is one divided by another, 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// String is for people who watch: the median of each unit, with three digits at least.
func (r runs) String() string {
	var all []string
	if len(r) > 0 {
		for _, unit := range slices.Sorted(maps.Keys(r[0])) {
			all = append(all, benchunit.Scale(r.median(unit), benchunit.Decimal)+" "+unit)
		}
	}
	return strings.Join(all, ", ")
}

// raw takes the results of all runs, in Go's benchmark format.
type raw struct {
	file   *os.File
	writer *benchfmt.Writer
	config []benchfmt.Config
}

// createRaw creates the file. about goes into it for people: as configuration it would keep
// benchstat from holding two runs together.
func createRaw(path, about string, config [][2]string) (*raw, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := &raw{file: file, writer: benchfmt.NewWriter(file)}
	for _, c := range config {
		r.config = append(r.config, benchfmt.Config{Key: c[0], Value: []byte(c[1]), File: true})
	}
	_, err = fmt.Fprintf(file, "# %s\nUnit %s better=higher\n", about, rate)
	return r, err
}

// record writes what one run measured.
func (r *raw) record(name string, got load) error {
	name = strings.ReplaceAll(name, " ", "-")
	result := benchfmt.Result{Config: r.config, Name: benchfmt.Name(name), Iters: int(got.answers)}
	for _, unit := range slices.Sorted(maps.Keys(got.values)) {
		result.Values = append(result.Values, benchfmt.Value{Value: got.values[unit], Unit: unit})
	}
	return r.writer.Write(&result)
}
