package gcd_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	mostFiles = 32  // Go files of a folder, tests not counted
	mostLines = 600 // of a Go file
)

// variables are those that look as if they could change, and why they do not.
var variables = map[string]string{
	"bareAnswer":                  "a system call reads it, by its address",
	"benchmath.DefaultThresholds": "benchstat's package takes them by their address",
	"castagnoli":                  "crc32 makes this table",
	"curveColours":                "colours of another package's type",
	"completionScripts":           "the compiler fills it with files",
	"csvEscapes":                  "a function fills this table, and it is handed on by its address since it is long",
	"errNoLineEnd":                "an error of a function of ours",
	"errOpenQuote":                "an error of a function of ours",
	"errRowTooLong":               "an error of a function of ours",
	"files":                       "it is another table and one name more",
	"floods":                      "a table with functions that a function makes",
	"jsonEscapes":                 "as csvEscapes",
	"zeroBlock":                   "zeros to compare with",
	"zeroSector":                  "zeros that many sectors share",
}

// TestFolders: a folder has no more files than one can look over, and is named after what it holds.
func TestFolders(t *testing.T) {
	t.Parallel()
	for _, folder := range goFolders(t) {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
		if len(files) > mostFiles {
			t.Errorf("%s has %d Go files that are no tests, want at most %d: it is more than one package", folder,
				len(files), mostFiles)
		}
		if says := path.Base(folder); saysNothing(says) {
			t.Errorf("%s: a package named %q is one for odds and ends; name it after what it does", folder, says)
		}
	}
}

// saysNothing tells names that fit everything.
func saysNothing(name string) bool {
	return slices.Contains([]string{
		"base", "common", "helper", "helpers", "lib", "misc", "shared", "stuff", "types", "util", "utils",
	}, name)
}

// TestFiles: no Go file is longer than one reads in one go.
func TestFiles(t *testing.T) {
	t.Parallel()
	for _, folder := range goFolders(t) {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if lines := bytes.Count(text, []byte("\n")); lines > mostLines {
				t.Errorf("%s has %d lines, want at most %d", name, lines, mostLines)
			}
		}
	}
}

// TestNoGlobalState: nothing runs before main, and no variable of a package changes. A table or an
// error that is made where it is declared, and never written, is a constant that Go has no word
// for.
func TestNoGlobalState(t *testing.T) {
	t.Parallel()
	found, seen := make(map[global]string), make(map[string]bool)
	for _, goos := range systems {
		for folder, p := range goPackages(t, goos) {
			if same := folder + ": " + strings.Join(p.GoFiles, " "); !seen[same] {
				maps.Copy(found, globalState(t, folder, p))
				seen[same] = true
			}
		}
	}
	excused := make(map[string]bool)
	for which, problem := range found {
		if variables[which.name] == "" {
			t.Errorf("in %s: %s %s", which.folder, which.name, problem)
		}
		excused[which.name] = true
	}
	for name := range variables {
		if !excused[name] {
			t.Errorf("%s is among the variables that need a reason, and none of that name does: take it out", name)
		}
	}
}

// A global is a variable of a package, one of another that a package changes (with that one's
// name), or a function init.
type global struct{ folder, name string }

// globalState finds what a package has of state of its own. Imports are not followed: what is
// called or asked for elsewhere has no type here.
func globalState(t *testing.T, folder string, p *build.Package) map[global]string {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(filepath.FromSlash(folder), name), nil,
			parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return stateOf(folder, set, files)
}

// stateOf is globalState of parsed files.
func stateOf(folder string, set *token.FileSet, files []*ast.File) map[global]string {
	info := types.Info{
		Defs:       make(map[*ast.Ident]types.Object),
		Uses:       make(map[*ast.Ident]types.Object),
		Types:      make(map[ast.Expr]types.TypeAndValue),
		Selections: make(map[*ast.SelectorExpr]*types.Selection),
	}
	unresolved := types.Config{FakeImportC: true, Error: func(error) {}} // imports are not there
	ours, _ := unresolved.Check(folder, set, files, &info)

	s := state{info: &info, ours: ours.Scope(), set: set, folder: folder, found: make(map[global]string)}
	for _, file := range files {
		for _, declaration := range file.Decls {
			s.declared(declaration)
		}
		ast.Inspect(file, s.written)
	}
	return s.found
}

// state collects what a package has of it.
type state struct {
	info   *types.Info
	ours   *types.Scope
	set    *token.FileSet
	folder string
	found  map[global]string
}

// declared looks at a declaration of the package: is it init, or a variable of which one does not
// see what it holds?
func (s *state) declared(declaration ast.Decl) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			s.tell("init", "at %s runs before anybody asked for it", s.place(d))
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return
		}
		for _, spec := range d.Specs {
			for i, name := range spec.(*ast.ValueSpec).Names {
				values := spec.(*ast.ValueSpec).Values
				if name.Name != "_" && (i >= len(values) || !s.plain(values[i])) {
					s.tell(name.Name,
						"at %s is a variable that is not made as an error or a table where it is declared",
						s.place(name))
				}
			}
		}
	}
}

// plain says whether a value is an error or a table: literals down to its last part.
func (s *state) plain(value ast.Expr) bool {
	plain := true
	ast.Inspect(value, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncLit:
			return false // in a column of a table; what it writes is found as anywhere
		case *ast.CallExpr:
			plain = plain && (s.info.Types[n.Fun].IsType() || // a conversion
				slices.Contains([]string{"errors.New", "fmt.Errorf"}, types.ExprString(n.Fun)))
		case *ast.CompositeLit:
			if _, foreign := n.Type.(*ast.SelectorExpr); foreign {
				plain = false // a sync.Mutex, perhaps
			}
		}
		return plain
	})
	return plain
}

// written looks at a statement or an expression that may write to a variable of the package, or let
// another do so.
func (s *state) written(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, to := range n.Lhs {
				s.note(to, "is written")
			}
		}
	case *ast.IncDecStmt:
		s.note(n.X, "is written")
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			s.note(n.Key, "is written")
			s.note(n.Value, "is written")
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			s.note(n.X, "has its address taken")
		}
	case *ast.SliceExpr:
		if _, array := under[*types.Array](s.info.TypeOf(n.X)); array {
			s.note(n.X, "has its address taken")
		}
	case *ast.CallExpr:
		if called, ok := n.Fun.(*ast.Ident); ok && s.info.Types[called].IsBuiltin() &&
			slices.Contains([]string{"clear", "copy", "delete"}, called.Name) {
			s.note(n.Args[0], "is written")
		}
	case *ast.SelectorExpr: // a method of a pointer may write to what it is called on
		if selected := s.info.Selections[n]; selected != nil && selected.Kind() == types.MethodVal {
			receiver := selected.Obj().Type().(*types.Signature).Recv().Type()
			_, byPointer := under[*types.Pointer](receiver)
			if _, isPointer := under[*types.Pointer](s.info.TypeOf(n.X)); byPointer && !isPointer {
				s.note(n.X, "has its address taken")
			}
		}
	}
	return true
}

func under[T types.Type](t types.Type) (T, bool) {
	if t == nil {
		var none T
		return none, false
	}
	u, ok := t.Underlying().(T)
	return u, ok
}

// note takes down what happens to a variable, if the expression is one of a package, or a part of
// one.
func (s *state) note(to ast.Expr, what string) {
	for {
		switch e := to.(type) {
		case *ast.ParenExpr:
			to = e.X
		case *ast.IndexExpr:
			to = e.X
		case *ast.SliceExpr:
			to = e.X
		case *ast.StarExpr:
			to = e.X
		case *ast.SelectorExpr:
			if x, ok := e.X.(*ast.Ident); ok {
				if _, ok := s.info.Uses[x].(*types.PkgName); ok {
					s.tell(x.Name+"."+e.Sel.Name, "is a variable of another package and %s at %s", what, s.place(e))
					return
				}
			}
			to = e.X
		case *ast.Ident:
			if v, ok := s.info.Uses[e].(*types.Var); ok && v.Parent() == s.ours {
				s.tell(v.Name(), "is a variable of the package and %s at %s", what, s.place(e))
			}
			return
		default:
			return
		}
	}
}

func (s *state) tell(name, format string, args ...any) {
	s.found[global{s.folder, name}] = fmt.Sprintf(format, args...)
}

func (s *state) place(node ast.Node) string {
	at := s.set.Position(node.Pos())
	return fmt.Sprintf("%s:%d", filepath.ToSlash(at.Filename), at.Line)
}

// TestGlobalStateIsFound: each way in which a package may keep something is found, and no table.
func TestGlobalStateIsFound(t *testing.T) {
	t.Parallel()
	const kept = `package p

import (
	"errors"
	"os"
	"sync"
)

var (
	table   = map[string][]int{"a": {1}}
	number  = 7
	errOurs = errors.New("ours")
	_       = counts{}

	mutex    sync.Mutex
	made     = make(chan int)
	returned = newCounts()
	ready    = sync.Mutex{}

	assigned = 1
	raised   = 1
	indexed  = []int{1}
	emptied  = map[int]int{1: 1}
	given    = 1
	ranged   = 1
	sliced   = [...]int{1}
	called   = counts{}
)

type counts struct{ n int }

func (c *counts) add()     { c.n++ }
func (c counts) get() int  { return c.n }
func newCounts() *counts   { return new(counts) }
func init()                { assigned = 2 }

func f() int {
	raised++
	indexed[0] = 1
	delete(emptied, 1)
	g(&given, sliced[:])
	for ranged = range 3 {
	}
	called.add()
	os.Args = nil
	table := map[string]int{}
	table["b"] = number
	return called.get()
}

func g(*int, []int) {}
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", kept, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for which := range stateOf("p", set, []*ast.File{file}) {
		names = append(names, which.name)
	}
	slices.Sort(names)
	const want = "assigned called emptied given indexed init made mutex os.Args raised ranged ready returned sliced"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("found was %s, want %s", got, want)
	}
}
