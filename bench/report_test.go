package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{nil, "–"}, {[]float64{3}, "3.00"}, {[]float64{3, 1, 2}, "2.00 (1.00–3.00)"},
		{[]float64{4, 1, 2, 3}, "2.50 (1.00–4.00)"}, {[]float64{1, 2}, "1.50 (1.00–2.00)"},
	} {
		if got := ranged(test.values, digits); got != test.want {
			t.Errorf("%v: %q, want %q", test.values, got, test.want)
		}
	}
	if got := median(nil); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	for value, want := range map[float64]string{
		0: "0", 0.0123: "0.012", 0.9996: "1.00", 1.234: "1.23",
		9.996: "10.0", 12.34: "12.3", 99.96: "100", 1234.5: "1234",
	} {
		if got := digits(value); got != want {
			t.Errorf("%v: %q, want %q", value, got, want)
		}
	}
	for value, want := range map[float64]string{
		12: "12.0", 999.4: "999", 999.6: "1.00 k", 102_345: "102 k",
		999_400: "999 k", 999_600: "1.00 M", 7_712_345: "7.71 M",
	} {
		if got := perSecond(value); got != want {
			t.Errorf("%v: %q, want %q", value, got, want)
		}
	}
	for n, want := range map[int]string{1: "1", 999: "999", 1000: "1,000", 1_000_000: "1,000,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written as %q, want %q", n, got, want)
		}
	}
	for _, test := range []struct{ got, want string }{
		{wanted(1.5, 1.3), "**1.50** (≥ 1.3)"}, {wanted(1.2, 1.3), "1.20 (✗ ≥ 1.3)"},
		{wanted(1.2, 0), "1.20"}, {wanted(0, 1), "–"},
		{atMost(0.9, 1), "**0.900** (≤ 1)"}, {atMost(1.1, 1), "1.10 (✗ ≤ 1)"}, {atMost(0, 1), "–"},
		{micros(0.000_123_456), "123"}, {mega(12_500_000), "12.5"}, {mebi(3 << 20), "3.00"},
		{plural(1, "run"), "1 run"}, {plural(1000, "run"), "1,000 runs"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := newTable("a | b")
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
		if err := putResult(path, name, result); err != nil {
			t.Fatal(err)
		}
	}
	page := "# Title\n\n<!-- bench:tcp -->\nnothing yet\n<!-- /bench:tcp -->\n\nThe end.\n"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	write("tcp", "first\n")
	write("udp", "other")
	write("tcp", "second\n\n")
	got, err := os.ReadFile(path)
	want := "# Title\n\n<!-- bench:tcp -->\nsecond\n<!-- /bench:tcp -->\n\nThe end.\n" +
		"\n## udp\n\n<!-- bench:udp -->\nother\n<!-- /bench:udp -->\n"
	if err != nil || string(got) != want {
		t.Errorf("the page is (%v)\n%s\nwant\n%s", err, got, want)
	}
	path = filepath.Join(t.TempDir(), "broken.md")
	if err := os.WriteFile(path, []byte("<!-- bench:tcp -->\nno end"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := putResult(path, "tcp", "x"); err == nil {
		t.Error("a place without an end was filled")
	}
	path = filepath.Join(t.TempDir(), "new.md")
	write("tcp", "x")
	if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), "# Benchmarks\n") {
		t.Errorf("a new page: %s", got)
	}
}

// pageSection is the place of a result in the page.
func pageSection(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := marks(name)
	if strings.Count(string(text), begin) != 1 || strings.Count(string(text), end) != 1 {
		t.Fatalf("%s has no place for %s, or several", page, name)
	}
	_, rest, _ := strings.Cut(string(text), begin+"\n")
	section, _, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s: the place for %s ends before it begins", page, name)
	}
	return section
}

const page = "../docs/benchmarks.md"

// TestPageHasPlaces: the page of the documents has a place for every group.
func TestPageHasPlaces(t *testing.T) {
	t.Parallel()
	pageSection(t, "machine")
	for _, g := range groups() {
		pageSection(t, g.name)
	}
}

// rows are the cells of the tables of a section, headers included.
func rows(section string) [][]string {
	var all [][]string
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") {
			all = append(all, strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | "))
		}
	}
	return all
}

// number reads what digits and perSecond write.
func number(t *testing.T, text string) float64 {
	t.Helper()
	factor := 1.0
	if before, ok := strings.CutSuffix(text, " k"); ok {
		text, factor = before, 1e3
	} else if before, ok := strings.CutSuffix(text, " M"); ok {
		text, factor = before, 1e6
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("%q is no number: %v", text, err)
	}
	return v * factor
}

var ofRuns = regexp.MustCompile(`^([\d.]+(?: [kM])?) \(([\d.]+(?: [kM])?)–([\d.]+(?: [kM])?)\)$`)

// three are runs that have the median and the range of a cell, in a unit of which the page shows
// one divided by scale.
func three(t *testing.T, cell, unit string, scale float64) runs {
	t.Helper()
	found := ofRuns.FindStringSubmatch(cell)
	if found == nil {
		t.Fatalf("%q is no median with a range", cell)
	}
	var r runs
	for _, text := range found[1:] {
		r = append(r, values{unit: number(t, text) * scale})
	}
	return r
}

// TestPageIsWhatWouldBeWritten: the medians, ranges and goals in the page are as they are
// written today, so that sections of several days are alike.
func TestPageIsWhatWouldBeWritten(t *testing.T) {
	t.Parallel()
	goal := regexp.MustCompile(`^(\*\*|)([\d.]+)(?:\*\*|) \((?:✗ |)([≥≤]) ([\d.]+)\)$`)
	medians, goals := 0, 0
	for _, g := range groups() {
		for _, row := range rows(pageSection(t, g.name)) {
			for _, cell := range row {
				if ofRuns.MatchString(cell) {
					medians++
					write := digits
					if strings.ContainsAny(cell, "kM") {
						write = perSecond
					}
					if got := ranged(three(t, cell, took, 1).of(took), write); got != cell {
						t.Errorf("%s: %q would be written as %q", g.name, cell, got)
					}
				}
				if found := goal.FindStringSubmatch(cell); found != nil {
					goals++
					judge := map[string]func(float64, float64) string{"≥": wanted, "≤": atMost}[found[3]]
					if got := judge(number(t, found[2]), number(t, found[4])); got != cell {
						t.Errorf("%s: %q would be written as %q", g.name, cell, got)
					}
				}
			}
		}
	}
	if medians < 300 || goals < 80 {
		t.Errorf("found %d medians and %d goals in %s", medians, goals, page)
	}
}

// pageGrowth has the results in the page.
func pageGrowth(t *testing.T) (topics, connections *growth) {
	t.Helper()
	var all []*growth
	for _, row := range rows(pageSection(t, "growth")) {
		if x, fixed, ok := strings.Cut(row[0], " ("); ok {
			all = append(all, &growth{x: x, fixed: strings.TrimSuffix(fixed, ")"), curves: make([][]runs, len(row)-1)})
			continue
		}
		g := all[len(all)-1]
		g.sizes = append(g.sizes, int(number(t, strings.ReplaceAll(row[0], ",", ""))))
		for i, cell := range row[1:] {
			g.curves[i] = append(g.curves[i], three(t, cell, rate, 1))
		}
	}
	if len(all) != 2 {
		t.Fatalf("%d tables of growth in %s, want 2", len(all), page)
	}
	return all[0], all[1]
}

var update = flag.Bool("update", false, "draw the picture of the page anew")

// TestGrowthOfThePage: from the results in the page come its tables and its picture, which
// is the same to the byte each time. -update draws it.
func TestGrowthOfThePage(t *testing.T) {
	t.Parallel()
	topics, connections := pageGrowth(t)
	want := growthTables(topics, connections) + growthPicture
	if got := pageSection(t, "growth"); !strings.HasPrefix(got, want) {
		t.Errorf("%s has\n%s\nand not\n%s", page, got, want)
	}
	picture, err := drawGrowth(topics, connections)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(page), pictureName)
	if *update {
		if err := os.WriteFile(path, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, picture) {
		t.Errorf("%s is not the picture of what %s says (%v): go test -run TestGrowthOfThePage -update draws it",
			path, page, err)
	}
}

// TestPeersOfThePage: from the results in the page comes its table.
func TestPeersOfThePage(t *testing.T) {
	t.Parallel()
	section := pageSection(t, "peers")
	one, many := make(map[string]runs), make(map[string]runs)
	for _, row := range rows(section)[1:] {
		for at, measured := range map[int]map[string]runs{2: one, 5: many} {
			if row[at] == "–" {
				continue
			}
			r, cpus := three(t, row[at], rate, 1), three(t, row[at+1], cpu, 1e-6)
			low, high, _ := strings.Cut(row[at+2], ", ")
			for i := range r {
				r[i][cpu] = cpus[i][cpu]
				r[i][p50], r[i][p99] = number(t, low)*1e-6, number(t, high)*1e-6
			}
			measured[row[0]] = r
		}
	}
	if want := peerTable(1_000_000, one, many, nil); !strings.HasPrefix(section, want) {
		t.Errorf("%s has\n%s\nand not\n%s", page, section, want)
	}
	missing := peerTable(1_000_000, one, many, map[string]string{"etcd": "etcd is not installed"})
	if !strings.Contains(missing, "\n| etcd | yes | etcd is not installed |  |") {
		t.Errorf("without etcd:\n%s", missing)
	}
}

// TestVersionRow: pairs are held against each other, so that a machine that is slower in one round
// does not count.
func TestVersionRow(t *testing.T) {
	t.Parallel()
	ours := runs{{rate: 990, cpu: 1e-6, p50: 1e-4, p99: 2e-4}, {rate: 100, cpu: 3e-6}, {rate: 2000, cpu: 2e-6}}
	theirs := runs{{rate: 1000, cpu: 1e-6, p50: 1e-4, p99: 2e-4}, {rate: 102, cpu: 2e-6}, {rate: 1990, cpu: 2e-6}}
	got := strings.Join(versionRow("resp", ours, theirs), " | ")
	want := "resp | **0.990** (≥ 0.98), 0.980–1.01 | **1.00** (≤ 1.02), 1.00–1.50 | " +
		"990 (100–2.00 k) | 1.00 k (102–1.99 k) | 2.00 (1.00–3.00) | 2.00 (1.00–2.00) | 0, 0 | 0, 0"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := versionRow("resp", ours[:1], theirs[:1])[1]; got != "**0.990** (≥ 0.98)" {
		t.Errorf("of one pair: %q", got)
	}
}

func TestDrawGrowth(t *testing.T) {
	t.Parallel()
	of := func(rates ...float64) (r runs) {
		for _, v := range rates {
			r = append(r, values{rate: v})
		}
		return r
	}
	g := &growth{x: "a < b", fixed: "c & d", sizes: []int{1, 1000, 10_000_000}, curves: [][]runs{
		{of(1e6), of(5e5, 4e5, 6e5), of(1e4)},
		{of(1e6), of(0), of(1e4)}, // nothing has a logarithm but what is more than zero
	}}
	svg, err := drawGrowth(g, g)
	if err != nil {
		t.Fatal(err)
	}
	again, err := drawGrowth(g, g)
	if err != nil || !bytes.Equal(svg, again) {
		t.Errorf("drawn twice it differs, %v", err)
	}
	texts := make(map[string]int)
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if text, ok := token.(xml.CharData); ok {
			texts[strings.TrimSpace(string(text))]++
		}
	}
	for _, want := range []string{
		"a < b", "c & d", "answers a second", "1 worker", "2 workers", "1", "10 M", "100 k", "1 M",
	} {
		if texts[want] < 2 {
			t.Errorf("%q is in %d of two charts: %v", want, texts[want], texts)
		}
	}
	if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
		t.Errorf("not all are numbers in\n%s", svg)
	}
	if !bytes.Contains(svg, []byte("sans-serif")) {
		t.Error("it has no font that every browser has")
	}
	g.curves[0] = []runs{of(0), of(0), of(0)}
	if _, err := drawGrowth(g); err == nil {
		t.Error("a curve without a point was drawn")
	}
}

// TestDependencies: docs/dependencies.md has a line for each module that this one requires for
// itself, and no other.
func TestDependencies(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Of the comparison\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile(`(?m)^\| \[([^\]]+)\]`).FindAllStringSubmatch(section, -1) {
		documented = append(documented, row[1])
	}
	output, err := exec.CommandContext(within(t, time.Minute), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var module struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(output, &module); err != nil {
		t.Fatal(err)
	}
	var required []string
	for _, r := range module.Require {
		if !r.Indirect && r.Path != "gcd" {
			required = append(required, r.Path)
		}
	}
	slices.Sort(documented)
	slices.Sort(required)
	if !slices.Equal(documented, required) {
		t.Errorf("docs/dependencies.md has\n%q, go.mod requires\n%q", documented, required)
	}
}
