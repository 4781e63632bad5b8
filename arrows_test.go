// Package gcd_test holds the tests of the whole module's shape; the packages test themselves.
package gcd_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// arrowsPage has the table of the packages.
const arrowsPage = "docs/architecture.md"

// A row is one of the table: a package, and which of ours it may import.
type row struct {
	name    string
	imports []string
}

// TestArrows compares the imports between our packages with the table in docs/architecture.md, so
// that neither can drift from the other. Test files may import what they like.
func TestArrows(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(arrowsPage)
	if err != nil {
		t.Fatal(err)
	}
	rows := arrowTable(string(text))
	if len(rows) == 0 {
		t.Fatalf("%s has no table with the columns “package” and “imports (ours)”", arrowsPage)
	}
	found := arrows(t)
	for _, problem := range slices.Concat(disorder(rows), strays(rows, found)) {
		t.Error(problem)
	}

	// Whatever the table says, these never reach each other, by way of others neither.
	for _, never := range [][2]string{{"client", "store"}, {"wal", "store"}} {
		if slices.Contains(reached(found, never[0]), never[1]) {
			t.Errorf("%s must not reach %s; it reaches %s", never[0], never[1],
				strings.Join(reached(found, never[0]), ", "))
		}
	}
}

// reached returns what a package imports, and what that imports, and so on.
func reached(found map[string]map[string]string, from string) (all []string) {
	all = []string{from}
	for i := 0; i < len(all); i++ {
		for _, imported := range slices.Sorted(maps.Keys(found[all[i]])) {
			if !slices.Contains(all, imported) {
				all = append(all, imported)
			}
		}
	}
	return all[1:]
}

// disorder says what is wrong with the table by itself. A row names only packages above it, so no
// arrow goes up and none goes in a circle.
func disorder(rows []row) (problems []string) {
	seen := make(map[string]bool)
	for _, r := range rows {
		if seen[r.name] {
			problems = append(problems, fmt.Sprintf("%s has two rows for %s", arrowsPage, r.name))
		}
		for _, imported := range r.imports {
			switch {
			case seen[imported]:
			case slices.ContainsFunc(rows, func(r row) bool { return r.name == imported }):
				problems = append(problems, fmt.Sprintf("%s: the row of %s names %s, whose row is not above it: "+
					"an arrow upward, or a circle", arrowsPage, r.name, imported))
			default:
				problems = append(problems, fmt.Sprintf("%s: the row of %s names %s, which has no row of its own",
					arrowsPage, r.name, imported))
			}
		}
		seen[r.name] = true
	}
	return problems
}

// strays says where the table and the source differ. found has for each package what it imports,
// and where.
func strays(rows []row, found map[string]map[string]string) (problems []string) {
	table := make(map[string][]string)
	for _, r := range rows {
		table[r.name] = r.imports
		if found[r.name] == nil {
			problems = append(problems,
				fmt.Sprintf("%s has a row for %s, a package that does not exist", arrowsPage, r.name))
			continue
		}
		for _, imported := range r.imports {
			if found[r.name][imported] == "" {
				problems = append(problems, fmt.Sprintf("%s: the row of %s names %s, which it does not import",
					arrowsPage, r.name, imported))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		allowed, ok := table[name]
		if !ok {
			problems = append(problems, fmt.Sprintf("%s has no row for the package %s", arrowsPage, name))
			continue
		}
		for _, imported := range slices.Sorted(maps.Keys(found[name])) {
			if !slices.Contains(allowed, imported) {
				problems = append(problems,
					fmt.Sprintf("%s: %s imports %s, which its row in %s does not name; it names: %s",
						found[name][imported], name, imported, arrowsPage, strings.Join(allowed, ", ")))
			}
		}
	}
	return problems
}

// arrows returns for each of our packages which of ours it imports on any system, and where.
func arrows(t *testing.T) map[string]map[string]string {
	t.Helper()
	found := make(map[string]map[string]string)
	for _, goos := range systems {
		for name, p := range goPackages(t, goos) {
			if found[name] == nil {
				found[name] = make(map[string]string)
			}
			for imported, places := range p.ImportPos {
				ours, ok := strings.CutPrefix(imported, "gcd/")
				if !ok || !slices.Contains(p.Imports, imported) {
					continue
				}
				found[name][ours] = fmt.Sprintf("%s:%d", places[0].Filename, places[0].Line)
			}
		}
	}
	return found
}

// TestArrowsAreFound: each kind of arrow that must not be is told, with the row that it breaks.
func TestArrowsAreFound(t *testing.T) {
	t.Parallel()
	table := func(lines ...string) string {
		return "# Page\n\n| package | what | imports (ours) |\n|---|---|---|\n" + strings.Join(lines, "\n") +
			"\n\n| `x` | no | `y` |\n"
	}
	none := map[string]string{}
	for _, c := range []struct {
		name, text string
		found      map[string]map[string]string
		want       string // "": nothing is wrong
	}{
		{
			"as it should be", table("| `a` | first | |", "| `b/c` | second | `a` |"),
			map[string]map[string]string{"a": none, "b/c": {"a": "b/c/x.go:3"}}, "",
		},
		{
			"an import too many", table("| `a` | first | |", "| `b` | second | |", "| `c` | third | `a` |"),
			map[string]map[string]string{"a": none, "b": none, "c": {"a": "c/x.go:3", "b": "c/y.go:9"}},
			"c/y.go:9: c imports b, which its row in docs/architecture.md does not name; it names: a",
		},
		{
			"a subpackage without a row", table("| `a` | first | |"),
			map[string]map[string]string{"a": none, "a/internal/b": none},
			"docs/architecture.md has no row for the package a/internal/b",
		},
		{
			"a row without a package", table("| `a` | first | |", "| `b` | second | |"),
			map[string]map[string]string{"a": none},
			"docs/architecture.md has a row for b, a package that does not exist",
		},
		{
			"a row that names too much", table("| `a` | first | |", "| `b` | second | `a` |"),
			map[string]map[string]string{"a": none, "b": none},
			"docs/architecture.md: the row of b names a, which it does not import",
		},
		{
			"an arrow upward", table("| `a` | first | `b` |", "| `b` | second | |"),
			map[string]map[string]string{"a": {"b": "a/x.go:3"}, "b": none},
			"docs/architecture.md: the row of a names b, whose row is not above it: an arrow upward, or a circle",
		},
		{
			"a package that nobody knows", table("| `a` | first | `z` |"),
			map[string]map[string]string{"a": {"z": "a/x.go:3"}},
			"docs/architecture.md: the row of a names z, which has no row of its own",
		},
		{
			"two rows", table("| `a` | first | |", "| `a` | again | |"), map[string]map[string]string{"a": none},
			"docs/architecture.md has two rows for a",
		},
	} {
		rows := arrowTable(c.text)
		if got := strings.Join(slices.Concat(disorder(rows), strays(rows, c.found)), "\n"); got != c.want {
			t.Errorf("%s: it said %q, want %q", c.name, got, c.want)
		}
	}
}

// arrowTable reads the table, in its order. Names are relative to the module.
func arrowTable(text string) (rows []row) {
	name, imports := -1, -1
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			name, imports = -1, -1 // the table, if there was one, is over
		case slices.Contains(cells, "package") && slices.Contains(cells, "imports (ours)"):
			name, imports = slices.Index(cells, "package"), slices.Index(cells, "imports (ours)")
		case name >= 0 && max(name, imports) < len(cells):
			for _, p := range codeSpans(cells[name]) {
				rows = append(rows, row{p, codeSpans(cells[imports])})
			}
		}
	}
	return rows
}

// codeSpans returns what is between back quotes.
func codeSpans(cell string) []string {
	var spans []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			spans = append(spans, part)
		}
	}
	return spans
}

// TestRooms: the drawing of the rooms has no arrow that the table has not.
func TestRooms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(arrowsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, _ := strings.Cut(string(text), "```mermaid\nflowchart TB\n")
	drawing, _, _ = strings.Cut(drawing, "```")
	imports, names := make(map[string][]string), make(map[string]string)
	for _, r := range arrowTable(string(text)) {
		imports[r.name] = r.imports
	}
	for _, node := range regexp.MustCompile(`(\w+)\["([^"]+)"\]`).FindAllStringSubmatch(drawing, -1) {
		names[node[1]] = node[2]
	}
	word, drawn := regexp.MustCompile(`^\s*\w+`), 0
	for line := range strings.Lines(drawing) {
		from, to, isArrow := strings.Cut(line, "-->")
		if !isArrow {
			continue
		}
		for _, a := range strings.Split(from, "&") {
			for _, b := range strings.Split(to, "&") {
				a, b := names[strings.TrimSpace(word.FindString(a))], names[strings.TrimSpace(word.FindString(b))]
				if drawn++; a == "" || b == "" || !slices.Contains(imports[a], b) {
					t.Errorf("%s draws %q → %q, which its table does not have: %s", arrowsPage, a, b,
						strings.TrimSpace(line))
				}
			}
		}
	}
	if drawn < 15 {
		t.Errorf("only %d arrows were found in the drawing", drawn)
	}
}
