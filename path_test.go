package gcd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is a line of the path of one COUNT: a function, and what it calls.
type step struct {
	name  string // package.Function, or package.Type.Method
	depth int
	calls []*step
}

var stepLine = regexp.MustCompile("^( *)- `([a-z]+(?:\\.[A-Za-z]+){1,2})`")

// TestPathOfACount: docs/architecture.md follows one COUNT in the order of the code. Each function
// of the list is there, and calls those that are listed below it, in their order.
func TestPathOfACount(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "### The path of one COUNT\n")
	if section, _, _ = strings.Cut(section, "\n#"); !found {
		t.Fatal("docs/architecture.md has no section on the path of one COUNT")
	}
	top := &step{depth: -1}
	open := []*step{top}
	for line := range strings.Lines(section) {
		m := stepLine.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(strings.TrimSpace(line), "- ") {
				t.Errorf("docs/architecture.md: a step without a function: %s", line)
			}
			continue
		}
		s := &step{name: m[2], depth: len(m[1]) / 2}
		for open[len(open)-1].depth >= s.depth {
			open = open[:len(open)-1]
		}
		caller := open[len(open)-1]
		caller.calls = append(caller.calls, s)
		open = append(open, s)
	}
	if len(top.calls) == 0 {
		t.Fatal("docs/architecture.md has no steps in the path of one COUNT")
	}
	functions := allFunctions(t)
	var follow func(s *step)
	follow = func(s *step) {
		f := functions[s.name]
		if f == nil {
			t.Errorf("docs/architecture.md: the path has %s, and there is no such function", s.name)
			return
		}
		from := f.Body.Pos()
		for _, called := range s.calls {
			if from = callAfter(f, called.name, from); from == token.NoPos {
				t.Errorf("docs/architecture.md: the path has %s call %s, but it does not, or not in that order",
					s.name, called.name)
				break
			}
			follow(called)
		}
	}
	for _, s := range top.calls {
		follow(s)
	}
}

// callAfter finds the first call of a function in another one's body after a position.
func callAfter(f *ast.FuncDecl, name string, from token.Pos) token.Pos {
	name = name[strings.LastIndexByte(name, '.')+1:]
	first := token.NoPos
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, is := n.(*ast.CallExpr)
		if !is {
			return true
		}
		at := call.Lparen
		switch fun := call.Fun.(type) {
		case *ast.SelectorExpr:
			is = fun.Sel.Name == name
		case *ast.Ident:
			is = fun.Name == name
		default:
			is = false
		}
		if is && at > from && (first == token.NoPos || at < first) {
			first = at
		}
		return true
	})
	return first
}

// allFunctions are those of the module's packages, as a step names them.
func allFunctions(t *testing.T) map[string]*ast.FuncDecl {
	t.Helper()
	found := make(map[string]*ast.FuncDecl)
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, is := decl.(*ast.FuncDecl); is && f.Body != nil {
				found[file.Name.Name+"."+receiver(f)+f.Name.Name] = f
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// receiver is the type of a method and a dot; nothing for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if pointer, is := of.(*ast.StarExpr); is {
		of = pointer.X
	}
	if generic, is := of.(*ast.IndexExpr); is {
		of = generic.X
	}
	return of.(*ast.Ident).Name + "."
}
