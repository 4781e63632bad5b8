package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSiblings: each program knows the commands of the other, so that one that is typed by mistake
// is said to be that.
func TestSiblings(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../gcd-tool/cmd_*.go")
	if err != nil {
		t.Fatal(err)
	}
	var tool []string
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "cmd_"), ".go")
		if !strings.HasSuffix(name, "_test") {
			tool = append(tool, name)
		}
	}
	known := slices.Sorted(slices.Values(toolCommands()))
	if !slices.Equal(known, tool) {
		t.Errorf("gcd takes %q for commands of gcd-tool, they are %q", known, tool)
	}
	main, err := os.ReadFile("../gcd-tool/main.go")
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, command := range program(nil).Commands {
		own = append(own, `"`+command.Name+`"`)
	}
	if list := "return []string{" + strings.Join(own, ", ") + "}\n"; !strings.Contains(string(main), list) {
		t.Errorf("gcd-tool does not say of gcd's commands: %s", list)
	}
}
