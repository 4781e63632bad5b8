package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/perf/benchfmt"
)

// readRaw reads a file of raw results as benchstat does.
func readRaw(t *testing.T, path string) (results map[string]runs, config map[string]string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	results, config = make(map[string]runs), make(map[string]string)
	reader := benchfmt.NewReader(file, path)
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			v := values{}
			for _, value := range record.Values {
				v[value.Unit] = value.Value
			}
			results[record.Name.String()] = append(results[record.Name.String()], v)
			for _, c := range record.Config {
				config[c.Key] = string(c.Value)
			}
		case *benchfmt.SyntaxError:
			t.Error(record)
		}
	}
	if err := reader.Err(); err != nil {
		t.Error(err)
	}
	if reader.Units().GetBetter(rate) != 1 {
		t.Errorf("%s does not say that a higher %s is better", path, rate)
	}
	return results, config
}

// TestCell: subjects are measured in turn, each round beginning with the next one, those that are
// not installed are left out, and each run is recorded.
func TestCell(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.newCell("Some", "topics", 5, "kind", "x y")
	var order []string
	for i, name := range []string{"a b", "c", "d"} {
		c.add(name, func() (load, error) {
			order = append(order, name)
			return load{uint64(i + 1), values{rate: float64(len(order)), p50: 1e-6}}, nil
		})
	}
	absent := func() (*instance, error) { return nil, fmt.Errorf("e is %w: apt-get install e", errNotInstalled) }
	c.start("e", absent, func(*instance, time.Duration) (load, error) { return load{}, errors.New("it is not there") })
	c.add("f", func() (load, error) { return load{}, fmt.Errorf("f is %w", errNotInstalled) })
	measured, err := c.measure()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a b", "c", "d", "c", "d", "a b"}; !slices.Equal(order, want) {
		t.Errorf("measured %q, want %q", order, want)
	}
	if len(measured) != 3 || !slices.Equal(measured["a b"].of(rate), []float64{1, 6}) {
		t.Errorf("measured %v", measured)
	}
	if len(c.missing) != 2 || !strings.Contains(c.missing["e"], "apt-get install e") {
		t.Errorf("missing %v", c.missing)
	}
	results, config := readRaw(t, b.raw)
	got := results["Some/topics=5/kind=x-y/by=a-b"]
	if len(results) != 3 || len(got) != 2 || got[1][rate] != 6 || got[1][p50] != 1e-6 {
		t.Errorf("recorded %v", results)
	}
	if config["disk"] != "a disk" || config["cpu"] != "a processor" || len(config) != 2 {
		t.Errorf("configuration %v", config)
	}

	broken := errors.New("broken")
	for _, run := range []func() (load, error){
		func() (load, error) { return load{}, broken },
		func() (load, error) { return load{0, values{}}, nil },
	} {
		c := b.newCell("Broken")
		c.add("g", run)
		c.add("h", func() (load, error) { panic("measured after a failure") })
		if _, err := c.measure(); err == nil || !strings.HasPrefix(err.Error(), "Broken: g") {
			t.Errorf("%v, want the failure of g", err)
		}
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	ours, theirs := runs{{rate: 3}, {rate: 1}, {rate: 2}}, runs{{rate: 1}, {rate: 1}, {rate: 4}, {rate: 9}}
	if got := ours.over(theirs, rate); got != 2/2.5 {
		t.Errorf("the ratio of the medians is %v", got)
	}
	if got := ours.pairs(theirs, rate); !slices.Equal(got, []float64{3, 1, 0.5}) {
		t.Errorf("the ratios of the pairs are %v", got)
	}
	if got := ours.over(nil, rate); got != 0 {
		t.Errorf("against nothing it is %v", got)
	}
	if !slices.Equal(ours.of(rate), []float64{3, 1, 2}) {
		t.Errorf("the median has sorted the runs: %v", ours)
	}
	unsorted := []float64{3, 1, 2}
	if got := median(unsorted); got != 2 || unsorted[0] != 3 {
		t.Errorf("the median is %v, and it left %v", got, unsorted)
	}
	if got := ours.String(); got != "2.000 answers/s" {
		t.Errorf("the result is written as %q, want its median and unit", got)
	}
}
