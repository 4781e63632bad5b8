package redis

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestCommandsAreDocumented compares the table of commands with the tables in docs/resp.md: none
// may be in one of them alone.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/resp.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Commands\n")
	section, _, ends := strings.Cut(section, "\n## Errors\n")
	if !ok || !ends {
		t.Fatal("docs/resp.md has no sections “Commands” and “Errors” behind each other")
	}
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`([A-Z][A-Z_.]*)[^`]*`").FindAllStringSubmatch(row[1], -1) {
			documented[strings.ToLower(name[1])] = true
		}
	}
	for _, c := range allCommands() {
		if !documented[c.name] {
			t.Errorf("docs/resp.md does not name %s", strings.ToUpper(c.name))
		}
		delete(documented, c.name)
	}
	for name := range documented {
		t.Errorf("docs/resp.md has %s, which is no command", strings.ToUpper(name))
	}
}
