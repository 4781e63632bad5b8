// Package gcd_test holds the test of the whole module's shape; the packages test themselves.
package gcd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestArrows compares the imports between our packages with the table in docs/architecture.md, so that neither can
// drift from the other. Test files may import what they like.
func TestArrows(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	table := arrowTable(string(text))
	if len(table) == 0 {
		t.Fatal("docs/architecture.md has no table with the columns “package” and “imports (ours)”")
	}

	// An arrow that only one system's files have is an arrow.
	arrows := make(map[string][]string)
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for name, imports := range listImports(t, goos) {
			arrows[name] = append(arrows[name], imports...)
		}
	}

	for name, imports := range arrows {
		allowed, ok := table[name]
		if !ok {
			t.Errorf("package %s is missing from the table in docs/architecture.md", name)
			continue
		}
		slices.Sort(imports)
		for _, imported := range slices.Compact(imports) {
			if !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s, an arrow that the table in docs/architecture.md does not have", name, imported)
			}
		}
	}
	for name := range table {
		if _, ok := arrows[name]; !ok {
			t.Errorf("the table in docs/architecture.md has package %s, which does not exist", name)
		}
	}
}

// arrowTable reads the table: package → the packages it may import, both relative to the module.
func arrowTable(text string) map[string][]string {
	table := make(map[string][]string)
	name, imports := -1, -1
	for _, line := range strings.Split(text, "\n") {
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
				table[p] = codeSpans(cells[imports])
			}
		}
	}
	return table
}

// codeSpans returns what stands between back quotes.
func codeSpans(cell string) []string {
	var spans []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			spans = append(spans, part)
		}
	}
	return spans
}

// listImports asks the go command which of our packages each of our packages imports, when built for goos. Packages of
// tests alone are left out.
func listImports(t *testing.T, goos string) map[string][]string {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports", "./...")
	command.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	output, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list for %s: %v\n%s", goos, err, exit.Stderr)
		}
		t.Fatalf("go list for %s: %v", goos, err)
	}
	arrows := make(map[string][]string)
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p struct {
			ImportPath string
			GoFiles    []string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return arrows
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		name := relative(p.ImportPath)
		arrows[name] = nil
		for _, imported := range p.Imports {
			if imported == "gcd" || strings.HasPrefix(imported, "gcd/") {
				arrows[name] = append(arrows[name], relative(imported))
			}
		}
	}
}

func relative(importPath string) string {
	if importPath == "gcd" {
		return "."
	}
	return path.Clean(strings.TrimPrefix(importPath, "gcd/"))
}
