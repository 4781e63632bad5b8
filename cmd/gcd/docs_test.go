package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestOperationsPage compares the tables of flags in docs/operations.md with the flags that there are.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string) // flag → default
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = strings.TrimSpace(row[2])
	}
	for _, f := range serveFlags() {
		flag := f.(cli.DocGenerationFlag)
		name := flag.Names()[0]
		text, ok := documented[name]
		delete(documented, name)
		want := strings.Trim(flag.GetDefaultText(), `"`)
		if _, isBool := flag.(*cli.BoolFlag); isBool {
			want = ""
		}
		switch {
		case !ok:
			t.Errorf("docs/operations.md has no row for --%s", name)
		case text != want:
			t.Errorf("docs/operations.md says that the default of --%s is %q, it is %q", name, text, want)
		}
	}
	for name := range documented {
		t.Errorf("docs/operations.md has a row for --%s, which does not exist", name)
	}
}

// TestEveryFlagFromTheEnvironment: the variables are named after the flags, without exception.
func TestEveryFlagFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, command := range []*cli.Command{serveCommand(), backupCommand(), countCommand(), resetCommand(), benchCommand()} {
		for _, f := range command.Flags {
			flag := f.(cli.DocGenerationFlag)
			want := "GCD_" + strings.ToUpper(strings.ReplaceAll(flag.Names()[0], "-", "_"))
			if vars := flag.GetEnvVars(); len(vars) != 1 || vars[0] != want {
				t.Errorf("%s --%s comes from %v, want %s", command.Name, flag.Names()[0], vars, want)
			}
		}
	}
}
