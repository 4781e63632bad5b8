package gcd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packagesPage has the table of the packages that programs of others may import.
const packagesPage = "docs/packages.md"

// unused are exported names that nothing of ours uses but tests, and why they are there.
var unused = map[string]string{
	"store.Store.Count": storeAlone,
	"store.Store.Get":   storeAlone,
	"store.Store.Len":   storeAlone,
	"store.Store.Reset": storeAlone,
	"server.Server.Listen": "a program whose counters are there already has its addresses by it " +
		"before it serves",
	"server/internal/redis.Door.Rejected":   "the server's own tests are in another package",
	"server/internal/redis.Door.SetCommand": "the server's own tests are in another package",
	"wal.Log.Mark": "tests of three packages ask how far a log that was opened again was " +
		"durable",
}

const storeAlone = "it is for programs that have a store and no server; a server has faster ways"

// TestPackagesPage: each package says what it is, and each that others can import is in the table,
// with how stable it is.
func TestPackagesPage(t *testing.T) {
	t.Parallel()
	documented := stability(t)
	for name, p := range goPackages(t, "linux") {
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
			continue // a module of its own
		}
		if p.Doc == "" {
			t.Errorf("%s has no comment that says what the package is", name)
		}
		if p.Name == "main" || strings.Contains("/"+name+"/", "/internal/") {
			continue
		}
		if how := documented[name]; how != "stable" && how != "may change" {
			t.Errorf("%s says of %s %q, want a row with \"stable\" or \"may change\"", packagesPage, name, how)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s has a row for %s, which others cannot import", packagesPage, name)
	}
}

// stability is what the table says of each package.
func stability(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(packagesPage)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| ([^|]+) \\|$")
	for _, row := range rows.FindAllStringSubmatch(string(text), -1) {
		found[row[1]] = row[2]
	}
	if len(found) == 0 {
		t.Fatalf("%s has no table of packages", packagesPage)
	}
	return found
}

// TestExportsAreUsed: what a package exports is used by code that is no test, for otherwise it is a
// promise that nobody asked for.
func TestExportsAreUsed(t *testing.T) {
	t.Parallel()
	found := unusedExports(typedPackages(t), stability(t), asked(t, "bench"))
	for _, name := range found {
		if unused[name] == "" {
			t.Errorf("%s is exported, and nothing but tests uses it: take it away, or say why it is there", name)
		}
	}
	for name := range unused {
		if !slices.Contains(found, name) {
			t.Errorf("%s is among the names that nothing uses, and is used or is gone: take it out", name)
		}
	}
}

// A typedPackage is one of ours without its tests, checked by go/types.
type typedPackage struct {
	types *types.Package
	files []*ast.File
	info  *types.Info
}

// typedPackages checks all of ours, those that import others after these. What is not ours is read
// from what the compiler left of it.
func typedPackages(t *testing.T) (all []typedPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	set, exports, ours := token.NewFileSet(), make(map[string]string), make(map[string]*types.Package)
	others := importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	config := types.Config{Importer: importing(func(path string) (*types.Package, error) {
		if p := ours[path]; p != nil {
			return p, nil
		}
		return others.Import(path)
	})}
	for list := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct {
			ImportPath, Export, Dir string
			GoFiles                 []string
		}
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		exports[p.ImportPath] = p.Export
		if !strings.HasPrefix(p.ImportPath, "gcd/") {
			continue
		}
		one := typedPackage{info: newInfo()}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			one.files = append(one.files, file)
		}
		if one.types, err = config.Check(p.ImportPath, set, one.files, one.info); err != nil {
			t.Fatal(err)
		}
		ours[p.ImportPath] = one.types
		all = append(all, one)
	}
}

func newInfo() *types.Info {
	return &types.Info{Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object)}
}

type importing func(path string) (*types.Package, error)

func (f importing) Import(path string) (*types.Package, error) { return f(path) }

// unusedExports are the names that packages export and nothing uses, methods with their type. Those
// of stable packages are for programs of others, and some packages are for tests. named are names
// that code without types asks for, by package.
func unusedExports(all []typedPackage, stable map[string]string, named map[string]map[string]bool) (names []string) {
	used := make(map[types.Object]bool)
	for _, p := range all {
		receivers := make(map[*ast.Ident]bool)
		for _, file := range p.files {
			ast.Inspect(file, func(node ast.Node) bool {
				if method, ok := node.(*ast.FuncDecl); ok && method.Recv != nil {
					ast.Inspect(method.Recv, func(node ast.Node) bool {
						if id, ok := node.(*ast.Ident); ok {
							receivers[id] = true // a type with methods is not used by that
						}
						return true
					})
				}
				return true
			})
		}
		for id, object := range p.info.Uses {
			if method, ok := object.(*types.Func); ok {
				object = method.Origin()
			}
			used[object] = used[object] || !receivers[id]
		}
	}
	contracts := interfaces(all)
	for _, p := range all {
		path := p.types.Path()
		name := strings.TrimPrefix(path, "gcd/")
		forTests := strings.HasSuffix(name, "test") || name == "internal/thin"
		if p.types.Name() == "main" || stable[name] == "stable" || forTests {
			continue
		}
		ours := name + "."
		for _, name := range p.types.Scope().Names() {
			object := p.types.Scope().Lookup(name)
			if object.Exported() && !used[object] && !named[path][name] {
				names = append(names, ours+name)
			}
			of, isType := object.Type().(*types.Named)
			if _, declared := object.(*types.TypeName); !declared || !isType || !object.Exported() {
				continue
			}
			for method := range of.Methods() {
				if method.Exported() && !used[method] && !named[path][method.Name()] &&
					!promised(of, method.Name(), contracts) {
					names = append(names, ours+name+"."+method.Name())
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// interfaces are those that our packages declare, and those of what they import.
func interfaces(all []typedPackage) (found []*types.Interface) {
	scopes := map[*types.Scope]bool{types.Universe: true}
	for _, p := range all {
		scopes[p.types.Scope()] = true
		for _, imported := range p.types.Imports() {
			scopes[imported.Scope()] = true
		}
	}
	for scope := range maps.Keys(scopes) {
		for _, name := range scope.Names() {
			declared, ok := scope.Lookup(name).(*types.TypeName)
			if !ok {
				continue
			}
			if named, ok := declared.Type().(*types.Named); ok && named.TypeParams().Len() > 0 {
				continue
			}
			if one, ok := declared.Type().Underlying().(*types.Interface); ok && one.NumMethods() > 0 {
				found = append(found, one)
			}
		}
	}
	return found
}

// promised says whether a type has a method for an interface's sake: with errors.Unwrap's, which
// has no name.
func promised(of *types.Named, method string, contracts []*types.Interface) bool {
	if method == "Unwrap" || method == "Is" || method == "As" {
		return true
	}
	return slices.ContainsFunc(contracts, func(one *types.Interface) bool {
		for m := range one.Methods() {
			if m.Name() == method {
				return types.Implements(types.NewPointer(of), one)
			}
		}
		return false
	})
}

// asked are the names that the code of a module within ours asks of each of our packages, and of
// their types. It has no types here, since what it imports need not be on this machine.
func asked(t *testing.T, folder string) map[string]map[string]bool {
	t.Helper()
	names := make(map[string]map[string]bool)
	files, err := filepath.Glob(folder + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	below, err := filepath.Glob(folder + "/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, below...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range file.Imports {
			path := strings.Trim(imported.Path.Value, `"`)
			if names[path] == nil {
				names[path] = make(map[string]bool)
			}
			ast.Inspect(file, func(node ast.Node) bool {
				if s, ok := node.(*ast.SelectorExpr); ok {
					names[path][s.Sel.Name] = true
				}
				return true
			})
		}
	}
	return names
}

// TestUnusedExportsAreFound: a name that nothing uses is found, of each kind, and no other.
func TestUnusedExportsAreFound(t *testing.T) {
	t.Parallel()
	const source = `package p

import "io"

const Bare, Taken = 1, 2

var Loose, Held = 3, Taken

type Alone struct{}

func (*Alone) Move() {}

type Kept struct{}

func (Kept) Write(b []byte) (int, error) { return Held, nil }
func (Kept) Idle()                       {}
func (Kept) Asked()                      {}
func (Kept) Go()                         {}

func Idle()  {}
func Asked() { keep(Kept{}) }
func keep(w io.Writer) { w.(Kept).Go() }
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p := typedPackage{files: []*ast.File{file}, info: newInfo()}
	config := types.Config{Importer: importer.ForCompiler(set, "source", nil)}
	if p.types, err = config.Check("gcd/p", set, p.files, p.info); err != nil {
		t.Fatal(err)
	}
	named := map[string]map[string]bool{"gcd/p": {"Asked": true}}
	found := unusedExports([]typedPackage{p}, map[string]string{"p": "may change"}, named)
	const want = "p.Alone p.Alone.Move p.Bare p.Idle p.Kept.Idle p.Loose"
	if got := strings.Join(found, " "); got != want {
		t.Errorf("found was %s, want %s", got, want)
	}
	if found := unusedExports([]typedPackage{p}, map[string]string{"p": "stable"}, nil); len(found) > 0 {
		t.Errorf("of a stable package were found %s", found)
	}
}
