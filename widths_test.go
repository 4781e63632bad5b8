package gcd_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// Columns that fit on a screen beside another window. A tab counts as four of them, as most editors
// and forges show it.
const (
	codeColumns     = 120
	commentColumns  = 100
	proseColumns    = 100 // of a line that holds more than one sentence
	sentenceColumns = 240
	cellColumns     = 120
	tab             = 4
)

// TestProse: a page has one sentence a line, or short lines, so that a change shows as the sentence
// that changed. Sentences and the cells of tables are short enough to be read.
func TestProse(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		text, err := os.ReadFile(filepath.FromSlash(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range wideProse(string(text)) {
			t.Errorf("in %s:%s", page, problem)
		}
	}
}

// TestGoWidths: Go code and comments fit on a screen.
func TestGoWidths(t *testing.T) {
	t.Parallel()
	for _, folder := range goFolders(t) {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			problems, err := wideGo(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range problems {
				t.Errorf("%s: line %s", filepath.ToSlash(file), problem)
			}
		}
	}
}

// TestDecisions: each decision has a number of its own, and a line in the index under its title.
func TestDecisions(t *testing.T) {
	t.Parallel()
	const folder = "docs/decisions"
	index, err := os.ReadFile(filepath.Join(filepath.FromSlash(folder), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	taken := make(map[string]string)
	for _, page := range pages(t) {
		name := path.Base(page)
		if path.Dir(page) != folder || name == "README.md" {
			continue
		}
		text, err := os.ReadFile(filepath.FromSlash(page))
		if err != nil {
			t.Fatal(err)
		}
		number, _, _ := strings.Cut(name, "-")
		if !numbered.MatchString(name) {
			t.Errorf("%s: want a name such as 0001-what-it-is-about.md", page)
		} else if other, ok := taken[number]; ok {
			t.Errorf("%s and %s have the same number", page, other)
		}
		taken[number] = page
		first, _, _ := strings.Cut(string(text), "\n")
		title := strings.TrimPrefix(first, "# ")
		if line := fmt.Sprintf("| %s | [%s](%s) |\n", number, title, name); !bytes.Contains(index, []byte(line)) {
			t.Errorf("%s/README.md lacks the line %s", folder, line)
		}
		for _, part := range []string{"## Context\n", "## Decision\n", "## Consequences\n"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s has no part %q", page, strings.TrimSpace(part))
			}
		}
	}
	if len(taken) < 10 {
		t.Errorf("only %d decisions were found", len(taken))
	}
}

var numbered = regexp.MustCompile(`^\d{4}(-[a-z0-9]+)+\.md$`)

// pages returns the paths of all pages, with slashes and from the root.
func pages(t *testing.T) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != ".", entry.Name() == "node_modules":
			return fs.SkipDir
		case !entry.IsDir() && path.Ext(name) == ".md":
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("only %d pages were found", len(found))
	}
	return found
}

var (
	linkTargets  = regexp.MustCompile(`\]\([^)\n]*\)`)
	sentenceEnds = regexp.MustCompile("[.!?][)\\]\"”*_]* +[\\p{Lu}\\d`*\\[(“\"]")
	listOfNames  = regexp.MustCompile("^`[^`]+`(, `[^`]+`)*$")
	generated    = regexp.MustCompile(`^<!-- (/?)bench:`)
)

// wideProse returns what is too wide on a page, each with its line. Code is as wide as it has to
// be, and so are figures that a program writes between marks. The targets of links are not read, so
// they take no columns. A list of names has as many as there are.
func wideProse(text string) []string {
	var problems []string
	fenced, figures := false, false
	for i, line := range strings.Split(text, "\n") {
		add := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("%d: ", i+1)+fmt.Sprintf(format, args...))
		}
		if mark := generated.FindStringSubmatch(line); mark != nil {
			figures = mark[1] == ""
		}
		if strings.HasPrefix(strings.TrimLeft(line, " "), "```") {
			fenced = !fenced
			continue
		}
		if fenced || figures {
			continue
		}
		line = linkTargets.ReplaceAllString(line, "]")
		columns := utf8.RuneCountInString(line)
		if strings.HasPrefix(line, "|") {
			for _, cell := range strings.Split(strings.ReplaceAll(line, `\|`, "/"), "|") {
				cell = strings.TrimSpace(cell)
				if n := utf8.RuneCountInString(cell); n > cellColumns && !listOfNames.MatchString(cell) {
					add("a cell has %d columns, want at most %d: say it below the table", n, cellColumns)
				}
			}
			continue
		}
		if columns > sentenceColumns {
			add("a sentence has %d columns, want at most %d: make two of it, or a list", columns, sentenceColumns)
		}
		if columns > proseColumns && severalSentences(line) {
			add("more than one sentence in %d columns: give each a line", columns)
		}
	}
	return problems
}

// severalSentences tells whether a sentence ends within a line and another one begins. One within
// parentheses, or in code, is a part of that around it.
func severalSentences(line string) bool {
	line = codeParts.ReplaceAllString(line, "``")
	for _, at := range sentenceEnds.FindAllStringIndex(line, -1) {
		before := strings.TrimLeft(line[:at[1]-1], " ")
		if strings.Count(before, "(") > strings.Count(before, ")") || listNumber.MatchString(before) {
			continue
		}
		return true
	}
	return false
}

var listNumber = regexp.MustCompile(`^\d+\. +$`)

// wideGo returns what is too wide in a Go file, each with its line. Texts of several lines and
// directives to the compiler are as wide as they have to be, and so is a comment of a single word.
func wideGo(text []byte) ([]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	comments, raw := make(map[int]bool), rawLines(text)
	for _, group := range file.Comments {
		for _, comment := range group.List {
			for n := set.Position(comment.Pos()).Line; n <= set.Position(comment.End()).Line; n++ {
				comments[n] = true
			}
		}
	}
	var problems []string
	for i, line := range strings.Split(string(text), "\n") {
		n, most, kind := i+1, codeColumns, "code"
		words := strings.Fields(line)
		if comments[n] && !raw[n] && len(words) > 0 && strings.HasPrefix(words[0], "/") {
			if most, kind = commentColumns, "a comment"; strings.HasPrefix(words[0], "//go:") || len(words) <= 2 {
				continue
			}
		}
		if w := columns(line); w > most && !raw[n] {
			problems = append(problems, fmt.Sprintf("%d: %s has %d columns, want at most %d", n, kind, w, most))
		}
	}
	return problems, nil
}

// rawLines returns the lines of texts between backquotes that have several.
func rawLines(text []byte) map[int]bool {
	lines := make(map[int]bool)
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return lines
		}
		first, more := file.Line(pos), strings.Count(literal, "\n")
		if kind == token.STRING && more > 0 {
			for n := first; n <= first+more; n++ {
				lines[n] = true
			}
		}
	}
}

// columns is how wide a line is on a screen.
func columns(line string) int {
	n := 0
	for _, r := range line {
		if r == '\t' {
			n += tab - n%tab
		} else {
			n++
		}
	}
	return n
}

func TestWidthsAreFound(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 20)
	for text, want := range map[string]string{
		long + "ends. And " + long:                                     "1: more than",
		"1. " + long + "ends.\n   And goes on.":                        "",
		"Short. And short.":                                            "",
		long + "(ends. And so on) and is one sentence.":                "",
		"Says `" + long + "ends. And` so on.":                          "",
		strings.Repeat(long, 3):                                        "1: a sentence has 300",
		"[x](" + strings.Repeat("y", 300) + ")":                        "",
		"```\n" + strings.Repeat(long, 3) + "\n```\n" + long:           "",
		"| a | " + strings.Repeat("b", 121) + " |":                     "1: a cell has 121",
		"| a | `" + strings.Repeat("b`, `", 40) + "b` |":               "",
		"| a | " + strings.Repeat("b", 120) + " |":                     "",
		"\n<!-- bench:x -->\n" + strings.Repeat(long, 3) + "\n":        "",
		"<!-- bench:x -->\n<!-- /bench:x -->\n| " + long + long + " |": "3: a cell",
	} {
		if got := strings.Join(wideProse(text), "; "); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
	wide := strings.Repeat("x", 97)
	for text, want := range map[string]string{
		"// a " + wide + "\nvar a = 1":                               "3: a comment has 102",
		"// " + wide + "x\nvar a = 1":                                "",
		"//go:generate a " + wide + "\nvar a = 1":                    "",
		"/*\na " + wide + wide + "\n*/\nvar a = 1":                   "4: code has 196",
		"func f() {\n\t// a " + wide[4:] + "\n}":                     "4: a comment has 102",
		"var a = \"" + wide + wide + "\"":                            "3: code has 204",
		"var a = `" + wide + wide + "\n" + wide + wide + "`":         "",
		"var a = 1 // " + wide + " and a comment after what is code": "3: code has",
	} {
		found, err := wideGo([]byte("package p\n\n" + text + "\n"))
		if err != nil {
			t.Fatalf("%.60q could not be looked at: %v", text, err)
		}
		if got := strings.Join(found, "; "); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
}
