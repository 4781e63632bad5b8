package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// A betrayal is a change of one file that breaks a promise, and the tests that must notice it.
type betrayal struct {
	name     string // of its file
	betrays  string // what it breaks, in words
	file     string // that it changes, from the module's directory
	packages []string
	tests    string // the pattern of the flag -run
	old, new string // whole lines
}

// read reads the betrayals in a directory, in the order of their names.
func read(dir string) ([]betrayal, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there are no betrayals in %s", dir)
	}
	all := make([]betrayal, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if all[i], err = parse(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[i].name = strings.TrimSuffix(filepath.Base(file), ".txt")
	}
	return all, nil
}

// parse reads a betrayal: lines "key: value", then the old text and the new one as the two files of
// an archive.
func parse(text []byte) (betrayal, error) {
	archive := txtar.Parse(text)
	var b betrayal
	var packages string
	fields := map[string]*string{"betrays": &b.betrays, "file": &b.file, "packages": &packages, "tests": &b.tests}
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, _ := strings.Cut(line, ":")
		field := fields[key]
		if field == nil || *field != "" {
			return b, fmt.Errorf("the line %q is none that a betrayal has, or has once", strings.TrimSpace(line))
		}
		*field = strings.TrimSpace(value)
	}
	for key, field := range fields {
		if *field == "" {
			return b, fmt.Errorf("the line %q is missing", key+": ")
		}
	}
	b.packages = strings.Fields(packages)
	if len(archive.Files) != 2 || archive.Files[0].Name != "old" || archive.Files[1].Name != "new" {
		return b, errors.New(`it must have two texts, "-- old --" and "-- new --"`)
	}
	b.old, b.new = string(archive.Files[0].Data), string(archive.Files[1].Data)
	if b.old == "" || b.old == b.new {
		return b, errors.New("its old text is empty, or its new text is the same")
	}
	return b, nil
}

// apply returns the file as the betrayal makes it. root is the module's directory.
func (b *betrayal) apply(root string) ([]byte, error) {
	source, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return nil, err
	}
	// Whole lines, or a line would be found within one that is indented more.
	text, old := "\n"+string(source), "\n"+b.old
	if n := strings.Count(text, old); n != 1 {
		return nil, fmt.Errorf("its old text is in %s %d times, and must be there once: "+
			"write it as it is now, or betray the same elsewhere", b.file, n)
	}
	return []byte(strings.Replace(text, old, "\n"+b.new, 1)[1:]), nil
}
