package access

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPage holds docs/security.md to the code: its file is one, and has each kind of line; its
// table has each right.
func TestPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	must(t, err)
	_, file, _ := strings.Cut(string(text), "```\n")
	file, _, _ = strings.Cut(file, "```")
	r, err := Parse("security.md", []byte(file))
	must(t, err)
	kinds := ""
	for _, p := range r.all {
		kind, _, _ := strings.Cut(p.secret, ":")
		kinds += p.name + " " + kind + "\n"
	}
	if want := "billing sha256\nops sha256\nweb cert\nanonymous -\nlocal unix\n"; kinds != want {
		t.Errorf("the page has\n%swant\n%s", kinds, want)
	}
	if p := r.Anonymous(); !p.May(Read, []byte("public/a")) || p.May(Read, []byte("a")) || p.Has(Count) {
		t.Errorf("in the page anonymous is %s", p)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)(:PREFIX)?` \\|").FindAllStringSubmatch(string(text), -1)
	for r := Count; r <= Admin; r++ {
		found := false
		for _, row := range rows {
			found = found || row[1] == r.String() && (row[2] != "") == r.hasPrefix()
		}
		if !found {
			t.Errorf("the page has no row for the right %s", r)
		}
	}
}
