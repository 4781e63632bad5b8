package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// root is the module's directory.
const root = "../.."

// Every betrayal is one of the source as it is: its old text is there, once, what it makes of the
// file can be parsed, and its pattern names tests that there are. Whether these go red is shown by
// "make mutants" alone.
func TestBetrayalsFitTheSource(t *testing.T) {
	t.Parallel()
	all, err := read("betrayals")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 60 {
		t.Errorf("there are %d betrayals, want 60 at least", len(all))
	}
	tests := map[string][]string{} // by package; there are many betrayals of each
	for _, b := range all {
		for _, dir := range b.packages {
			if tests[dir] == nil {
				tests[dir] = testsOf(t, filepath.Join(root, dir))
			}
		}
	}
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			betrayed, err := b.apply(root)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.ParseFile(token.NewFileSet(), b.file, betrayed, 0); err != nil {
				t.Errorf("with the new text %v", err)
			}
			pattern, err := regexp.Compile(strings.SplitN(b.tests, "/", 2)[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, dir := range b.packages {
				if !slices.ContainsFunc(tests[dir], pattern.MatchString) {
					t.Errorf("no test of %s has a name as in %q", dir, pattern)
				}
			}
		})
	}
}

var anyTest = regexp.MustCompile("^(Test|Fuzz|Example)")

// testsOf are the names of a package's tests.
func testsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && anyTest.MatchString(f.Name.Name) {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func TestParse(t *testing.T) {
	t.Parallel()
	const whole = "betrays: a promise\nfile: a.go\npackages: . ./b\ntests: TestA\n-- old --\n\tx++\n-- new --\n"
	b, err := parse([]byte(whole))
	want := betrayal{betrays: "a promise", file: "a.go", packages: []string{".", "./b"}, tests: "TestA", old: "\tx++\n"}
	if err != nil || !reflect.DeepEqual(b, want) {
		t.Fatalf("%+v, %v, want %+v", b, err, want)
	}
	for name, text := range map[string]string{
		"a line is missing":  strings.Replace(whole, "tests: TestA\n", "", 1),
		"a line comes twice": "file: b.go\n" + whole,
		"a line is unknown":  "seconds: 3\n" + whole,
		"no new text":        strings.Replace(whole, "-- new --\n", "", 1),
		"no old text":        strings.Replace(whole, "\tx++\n", "", 1),
		"nothing is changed": whole + "\tx++\n",
	} {
		if b, err := parse([]byte(text)); err == nil {
			t.Errorf("%s: taken as %+v", name, b)
		}
	}
}

// A module with one test, whose betrayals fare differently.
func TestTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module small\n\ngo 1.26\n",
		"a.go":   "package small\n\nfunc double(n int) int {\n\treturn 2 * n\n}\n\nfunc unseen() {}\n",
		"a_test.go": `package small

import "testing"

func TestDouble(t *testing.T) {
	t.Run("two", func(t *testing.T) {
		if double(2) != 4 {
			t.Error("twice 2 is not 4")
		}
	})
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const line = "\treturn 2 * n\n"
	for _, test := range []struct {
		name            string
		old, new, tests string
		most            time.Duration
		red             bool
		want            string // in the outcome, or in the error
	}{
		{name: "red", old: line, new: "\treturn 3 * n\n", red: true, want: "small TestDouble/two"},
		{name: "panic", old: line, new: "\tpanic(n)\n", red: true, want: "TestDouble/two (panics)"},
		{name: "green", old: "func unseen() {}\n", new: "", want: "notice nothing"},
		{name: "hangs", old: line, new: "\tselect {}\n", most: 5 * time.Second, want: "hang"},
		{name: "does not fit", old: "\treturn 4 * n\n", want: "0 times"},
		{name: "a part", old: "return 2 * n\n", want: "0 times"},
		{name: "no build", old: line, new: "\treturn nothing\n", want: "does not build"},
		{name: "no test", old: line, new: "\treturn 3 * n\n", tests: "TestNone", want: "no test has run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := betrayal{file: "a.go", packages: []string{"."}, tests: "TestDouble", old: test.old, new: test.new}
			if test.tests != "" {
				b.tests = test.tests
			}
			if test.most == 0 {
				test.most = time.Minute
			}
			out, err := b.try(t.Context(), dir, test.most)
			said := out.String()
			if err != nil {
				said = err.Error()
			}
			if out.red != test.red || !strings.Contains(said, test.want) {
				t.Errorf("it says %q, want %q, red: %t", said, test.want, test.red)
			}
		})
	}
}

// The page of what went red has a line for each betrayal, and no other.
func TestPageOfBetrayals(t *testing.T) {
	t.Parallel()
	all, err := read("betrayals")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "betrayals.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	rows := regexp.MustCompile("(?m)^\\| `(.+?)` \\| .+ \\| \\d+ \\| .+ \\|$")
	for _, row := range rows.FindAllStringSubmatch(string(page), -1) {
		told[row[1]] = true
	}
	for _, b := range all {
		if !told[b.name] {
			t.Errorf("docs/betrayals.md does not say where %s went red: run \"make mutants MUTANTS=%s\"", b.name,
				b.name)
		}
		delete(told, b.name)
	}
	for name := range told {
		t.Errorf("docs/betrayals.md has %s, which is no betrayal", name)
	}
}
