package gcd_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestLinks: what a page links to within the tree is there, its pictures and the headings of other
// pages included.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		text, err := os.ReadFile(filepath.FromSlash(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range links(string(text)) {
			if problem := brokenLink(page, target); problem != "" {
				t.Errorf("%s links to %q: %s", page, target, problem)
			}
		}
	}
}

func TestLinksAreFound(t *testing.T) {
	t.Parallel()
	const text = "See [a](a.md) and ![b](b.svg \"title\"), [c [d]](<#e f>).\n```\n[no](no.md)\n```\n`[no](no.md)` " +
		"and [g](g.md#h)\n\n[i]: i.md\n"
	if got, want := strings.Join(links(text), " | "), "a.md | b.svg | #e f | g.md#h | i.md"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for target, ok := range map[string]bool{
		"https://example.com/x": true, "../README.md": true, "../docs": true, "testing.md": true,
		"#rooms-and-arrows": true, "protocol.md#opcodes-that-are-not-in-use": true,
		"page-growth.svg": false, "README.md": false, "#rooms": false, "protocol.md#nothing": false,
	} {
		if problem := brokenLink("docs/architecture.md", target); (problem == "") != ok {
			t.Errorf("of the link %s it says %q, want a problem: %t", target, problem, !ok)
		}
	}
}

var (
	fences    = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	codeParts = regexp.MustCompile("`[^`\n]*`")
	inline    = regexp.MustCompile(`\]\(\s*(?:<([^>\n]*)>|([^\s)]+))[^)\n]*\)`)
	reference = regexp.MustCompile(`(?m)^\[[^\]\n]+\]: +(\S+)`)
)

// links returns the targets of a page's links and pictures, in the order of their kinds. Code has
// none.
func links(text string) []string {
	text = codeParts.ReplaceAllString(fences.ReplaceAllString(text, ""), "``")
	var targets []string
	for _, match := range inline.FindAllStringSubmatch(text, -1) {
		targets = append(targets, match[1]+match[2])
	}
	for _, match := range reference.FindAllStringSubmatch(text, -1) {
		targets = append(targets, match[1])
	}
	return targets
}

// brokenLink says what is wrong with a page's link; nothing is asked of other hosts.
func brokenLink(page, target string) string {
	to, err := url.Parse(target)
	switch {
	case err != nil:
		return err.Error()
	case to.Scheme != "" || to.Host != "":
		return ""
	}
	file := page
	if to.Path != "" {
		file = filepath.Join(filepath.Dir(page), filepath.FromSlash(to.Path))
	}
	if _, err := os.Stat(file); err != nil {
		return "there is no " + filepath.ToSlash(file)
	}
	if to.Fragment == "" || filepath.Ext(file) != ".md" {
		return ""
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	for _, line := range strings.Split(fences.ReplaceAllString(string(text), ""), "\n") {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") &&
			anchor(title) == to.Fragment {
			return ""
		}
	}
	return "there is no such heading in " + filepath.ToSlash(file)
}

// anchor is what a heading is linked by: its words in lower case with hyphens between.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.TrimSpace(title))
}
