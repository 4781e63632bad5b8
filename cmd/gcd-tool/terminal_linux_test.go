package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
)

// manyTopics are more than pass between two reports of progress.
const manyTopics = 40_000

// TestProgressOnATerminal: each long command has a bar there, which --quiet and a stderr that is elsewhere do not have, and its messages come behind it.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, dump := filepath.Join(base, "data"), filepath.Join(base, "dump")
	s := openDir(t, dir)
	countMany(t, s, manyTopics)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []struct {
		args  []string
		phase string
		last  string // of what it says
	}{
		{[]string{"dump", "--output", dump, dir}, "writing counters", "40000 topics at index 40 of 2"},
		{[]string{"compact", dir}, "reading back", ": saved "},
		{[]string{"verify", dir}, "comparing the snapshot", "sound: store "},
		{[]string{"restore", dump, filepath.Join(base, "new")}, "reading back", "it is store "},
	} {
		terminal := scripttest.NewTerminal(t)
		code := run(t.Context(), append([]string{"gcd-tool"}, command.args...), terminal.File, terminal.File)
		text := terminal.Shown()
		phase, last := strings.Index(text, command.phase+" ... done! ["), strings.LastIndex(text, command.last)
		if code != cmdline.ExitOK || phase < 0 || last < phase || strings.Contains(text[last:], "\x1b") {
			t.Errorf("%q: code %d, %q", command.args, code, text)
		}
	}
	terminal := scripttest.NewTerminal(t)
	code := run(t.Context(), []string{"gcd-tool", "restore", "--quiet", dump, filepath.Join(base, "quiet")}, terminal.File, terminal.File)
	if text := terminal.Shown(); code != cmdline.ExitOK || text != "" {
		t.Errorf("--quiet: code %d, %q", code, text)
	}
	var stderr bytes.Buffer
	terminal = scripttest.NewTerminal(t)
	if code := run(t.Context(), []string{"gcd-tool", "verify", dir}, terminal.File, &stderr); code != cmdline.ExitOK || stderr.Len() > 0 || strings.Contains(terminal.Shown(), "\x1b") {
		t.Errorf("code %d, stderr %q", code, stderr.String())
	}
}

// TestDataOnATerminal: what is printed there is whole, with no bar behind the first row.
func TestDataOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir)
	countMany(t, s, manyTopics)
	if err := errors.Join(s.Snapshot(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	terminal := scripttest.NewTerminal(t)
	code := run(t.Context(), []string{"gcd-tool", "dump", dir}, terminal.File, terminal.File) // a table, there
	text := terminal.Shown()
	_, rows, _ := strings.Cut(text, "TOPIC")
	if lines := strings.Count(rows, " topic-"); code != cmdline.ExitOK || lines != manyTopics || strings.Contains(rows, "\x1b") || strings.Contains(rows, "writing") {
		t.Errorf("code %d, %d rows, %q", code, lines, text[max(0, len(text)-500):])
	}
}
