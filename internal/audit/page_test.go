package audit

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestPage holds docs/security.md to the code: its lines are such lines, and its tables have each
// member and each event.
func TestPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	must(t, err)
	_, page, _ := strings.Cut(string(text), "\n## The audit log\n")
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	for text := range strings.Lines(example) {
		var l line
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil {
			t.Errorf("the page has the line %s: %v", text, err)
		}
		if got := string(l.encode()); got != text {
			t.Errorf("the page has the line\n%swhich would be\n%s", text, got)
		}
	}
	for field := range reflect.TypeFor[line]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !strings.Contains(page, "\n| `"+name+"` | ") {
			t.Errorf("the page has no row for %s", name)
		}
	}
	for _, event := range []Event{Start, Stop, Reload, Reset, Delete, Backup, Unauthenticated, Denied, Lost} {
		if !strings.Contains(page, "`"+string(event)+"`") {
			t.Errorf("the page does not have the event %s", event)
		}
	}
}
