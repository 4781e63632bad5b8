package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{nil, "–"}, {[]float64{3}, "3.00"}, {[]float64{3, 1, 2}, "2.00 (1.00–3.00)"}, {[]float64{4, 1, 2, 3}, "2.50 (1.00–4.00)"},
	} {
		if got := ranged(test.values, digits); got != test.want {
			t.Errorf("%v: %q, want %q", test.values, got, test.want)
		}
	}
	for value, want := range map[float64]string{0: "0", 0.0123: "0.012", 0.9996: "1.00", 1.234: "1.23", 9.996: "10.0", 12.34: "12.3", 99.96: "100", 1234.5: "1234"} {
		if got := digits(value); got != want {
			t.Errorf("%v: %q, want %q", value, got, want)
		}
	}
	for value, want := range map[float64]string{12: "12.0", 999.4: "999", 999.6: "1.00 k", 102_345: "102 k", 999_400: "999 k", 999_600: "1.00 M", 7_712_345: "7.71 M"} {
		if got := perSecond(value); got != want {
			t.Errorf("%v: %q, want %q", value, got, want)
		}
	}
	for n, want := range map[int]string{1: "1", 999: "999", 1000: "1,000", 1_000_000: "1,000,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for _, test := range []struct{ got, want string }{
		{wanted(1.5, 1.3), "**1.50** (≥ 1.3)"}, {wanted(1.2, 1.3), "1.20 (✗ ≥ 1.3)"}, {wanted(1.2, 0), "1.20"}, {wanted(0, 1), "–"},
		{atMost(0.9, 1), "**0.900** (≤ 1)"}, {atMost(1.1, 1), "1.10 (✗ ≤ 1)"}, {atMost(0, 1), "–"},
		{micros(123_456), "123"}, {plural(1, "run"), "1 run"}, {plural(1000, "run"), "1,000 runs"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := table{header: []string{"a", "b"}}
	table.row("1", "2")
	if got, want := table.String(), "| a | b |\n|---|---|\n| 1 | 2 |\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPage: a result replaces the one before it, and nothing else.
func TestPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	write := func(name, result string) {
		t.Helper()
		p, err := openPage(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.put(name, result); err != nil {
			t.Fatal(err)
		}
		if err := p.save(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("# Title\n\n<!-- bench:tcp -->\nnothing yet\n<!-- /bench:tcp -->\n\nThe end.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("tcp", "first\n")
	write("udp", "other")
	write("tcp", "second\n\n")
	got, err := os.ReadFile(path)
	want := "# Title\n\n<!-- bench:tcp -->\nsecond\n<!-- /bench:tcp -->\n\nThe end.\n\n## udp\n\n<!-- bench:udp -->\nother\n<!-- /bench:udp -->\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	p := &page{text: "<!-- bench:tcp -->\nno end"}
	if err := p.put("tcp", "x"); err == nil {
		t.Error("a place without an end was filled")
	}
	path = filepath.Join(t.TempDir(), "new.md")
	write("tcp", "x")
	if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), "# Benchmarks\n") {
		t.Errorf("a new page: %s", got)
	}
}

// TestPageHasPlaces: the page of the documents has a place for every group.
func TestPageHasPlaces(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"machine"}
	for _, g := range groups() {
		names = append(names, g.name)
	}
	for _, name := range names {
		begin, end := marks(name)
		if strings.Count(string(text), begin) != 1 || strings.Count(string(text), end) != 1 || strings.Index(string(text), begin) > strings.Index(string(text), end) {
			t.Errorf("docs/benchmarks.md has no place for %s", name)
		}
	}
}

func TestCharts(t *testing.T) {
	t.Parallel()
	svg := drawCharts([]chart{
		{title: "a < b", x: "topics", curves: []curve{
			{name: "1 worker", xs: []float64{1, 1000, 1e7}, ys: []float64{1e6, 5e5, 1e4}},
			{name: "2 workers", xs: []float64{1, 1000, 0}, ys: []float64{1e6, 0, 1e4}},
		}},
		{title: "nothing"},
	})
	elements := make(map[string]int)
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if start, ok := token.(xml.StartElement); ok {
			elements[start.Name.Local]++
		}
	}
	// Points that a logarithm cannot take are left out.
	if elements["polyline"] != 2 || elements["circle"] != 4 || elements["g"] != 2 {
		t.Errorf("elements %v", elements)
	}
	for _, want := range []string{">a &lt; b<", ">1 worker<", ">10 M<", ">100 k/s<", ">10 k/s<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	a := newAxis([]float64{3, 2000}, 0, 100)
	if a.at(1) != 0 || a.at(10_000) != 100 || a.at(100) != 50 {
		t.Errorf("axis %+v: %v, %v, %v", a, a.at(1), a.at(10_000), a.at(100))
	}
	if one := newAxis([]float64{100}, 0, 10); one.at(100) != 0 || one.at(1000) != 10 {
		t.Errorf("an axis of one value: %+v", one)
	}
}
