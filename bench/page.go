package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// page is the document that takes the results. Each has its place in it, between two comments, and what stands around them is not
// touched.
type page struct {
	path string
	text string
}

func openPage(path string) (*page, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &page{path: path, text: "# Benchmarks\n"}, nil
	}
	if err != nil {
		return nil, err
	}
	return &page{path: path, text: string(text)}, nil
}

func marks(name string) (begin, end string) {
	return "<!-- bench:" + name + " -->", "<!-- /bench:" + name + " -->"
}

// put puts a result in its place, or at the end of a page that has none for it.
func (p *page) put(name, result string) error {
	begin, end := marks(name)
	from := strings.Index(p.text, begin)
	if from < 0 {
		p.text += fmt.Sprintf("\n## %s\n\n%s\n%s\n", name, begin, end)
		from = strings.Index(p.text, begin)
	}
	length := strings.Index(p.text[from:], end)
	if length < 0 {
		return fmt.Errorf("%s has %s and no %s behind it", p.path, begin, end)
	}
	p.text = p.text[:from] + begin + "\n" + strings.TrimSpace(result) + "\n" + p.text[from+length:]
	return nil
}

// save writes the page, whole or not at all.
func (p *page) save() error {
	half := p.path + ".new"
	if err := os.WriteFile(half, []byte(p.text), 0o644); err != nil {
		return err
	}
	return os.Rename(half, p.path)
}
