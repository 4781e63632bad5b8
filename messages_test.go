package gcd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// TestMessages: the failure of a test has words. "%+v: %v, %q" tells nothing to whoever did not
// write it; what was expected, or what is wrong with what came, does.
func TestMessages(t *testing.T) {
	t.Parallel()
	tests := 0
	for _, folder := range goFolders(t) {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			tests++
			for _, line := range wordless(t, name, nil) {
				t.Errorf("%s:%d: this message has no word", filepath.ToSlash(name), line)
			}
		}
	}
	if tests < 50 {
		t.Errorf("only %d files with tests were found", tests)
	}
}

// wordless returns the lines of a file where Errorf or Fatalf, and not fmt's, has a format without
// a word. src is as ParseFile takes it.
func wordless(t *testing.T, name string, src any) (lines []int) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	verb, word := regexp.MustCompile(`%[-+# 0-9.*\[\]]*[a-zA-Z%]`), regexp.MustCompile(`\pL{2}`)
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Errorf", "Fatalf"}, method.Sel.Name) {
			return true
		}
		if from, ok := method.X.(*ast.Ident); ok && from.Name == "fmt" {
			return true
		}
		if format, ok := call.Args[0].(*ast.BasicLit); ok && format.Kind == token.STRING {
			text, err := strconv.Unquote(format.Value)
			if err != nil {
				t.Fatalf("the string %s cannot be read: %v", format.Value, err)
			}
			if !word.MatchString(verb.ReplaceAllString(text, "")) {
				lines = append(lines, set.Position(call.Pos()).Line)
			}
		}
		return true
	})
	return lines
}

func TestMessagesAreFound(t *testing.T) {
	t.Parallel()
	const src = `package p
func f(t *testing.T) {
	t.Errorf("%+v: %v, %q", 1, 2, 3)
	t.Fatalf("%[1]d%% %-5.2f", 1, 2)
	t.Errorf("%s: got %d", "a", 1)
	_ = fmt.Errorf("%d", 1)
	t.Errorf(format, 1)
	k.t.Errorf("%v, %.40q", 1, 2)
}`
	if got := wordless(t, "p.go", src); !slices.Equal(got, []int{3, 4, 8}) {
		t.Errorf("found in the lines %d, want 3, 4 and 8", got)
	}
}
