package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
	"gcd/store"
)

// many topics, or records, are more than pass between two reports of progress.
const many = 40_000

// TestProgressOnATerminal: each long command has a bar there, which --quiet and a stderr that is
// elsewhere do not have, and its messages come after it.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, dump, broken := filepath.Join(base, "data"), filepath.Join(base, "dump"), filepath.Join(base, "broken")
	s := openDir(t, dir)
	countMany(t, s, many)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	records := writeRecords(t, many, func(int) time.Time { return time.Now() })
	writeDump(t, dump, many)
	terminal := scripttest.NewTerminal(t)
	code := run(t.Context(), []string{"gcd-tool", "restore", "--quiet", dump, broken}, terminal.File, terminal.File)
	if text := terminal.Shown(); code != cmdline.ExitOK || text != "" {
		t.Errorf("--quiet: code %d, %q", code, text)
	}
	if err := os.RemoveAll(store.LogDir(broken)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []struct {
		args  []string
		phase string
		last  string // of what it says
	}{
		{[]string{"dump", "--output", dump, dir}, "writing counters", "40000 topics at index 40 of 2"},
		{[]string{"compact", dir}, "reading back", " bytes became "},
		{[]string{"verify", dir}, "comparing the snapshot", "sound: store "},
		{[]string{"restore", dump, filepath.Join(base, "new")}, "reading back", "it is store "},
		{[]string{"repair", "--accept-loss", broken}, "reading back", "done: store "},
		{[]string{"history", "--limit", "10", "a", records}, "reading the log", " 40000 "},
	} {
		terminal := scripttest.NewTerminal(t)
		code := run(t.Context(), append([]string{"gcd-tool"}, command.args...), terminal.File, terminal.File)
		text := terminal.Shown()
		phase, last := strings.Index(text, command.phase+" ... done! ["), strings.LastIndex(text, command.last)
		if code != cmdline.ExitOK || phase < 0 || last < phase || strings.Contains(text[last:], "\x1b") {
			t.Errorf("%q: code %d, at last %q", command.args, code, text[max(0, len(text)-500):])
		}
	}
	var stderr bytes.Buffer
	terminal = scripttest.NewTerminal(t)
	if code := run(t.Context(), []string{"gcd-tool", "verify", dir}, terminal.File, &stderr); code != cmdline.ExitOK ||
		stderr.Len() > 0 || strings.Contains(terminal.Shown(), "\x1b") {
		t.Errorf("code %d, stderr %q", code, stderr.String())
	}
}

// TestDataOnATerminal: what is printed there is whole, with no bar after the first row.
func TestDataOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir)
	countMany(t, s, many)
	if err := errors.Join(s.Snapshot(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	records := writeRecords(t, many, func(int) time.Time { return time.Now() })
	for _, command := range []struct {
		args        []string
		header, row string
	}{
		{[]string{"dump", dir}, "TOPIC", " topic-"},
		{[]string{"dump", "--wal", "--format", "csv", records}, "index,time,", ",a,"},
		{[]string{"history", "--format", "csv", "a", records}, "index,time,", ",count,"},
	} {
		terminal := scripttest.NewTerminal(t)
		code := run(t.Context(), append([]string{"gcd-tool"}, command.args...), terminal.File, terminal.File)
		_, data, _ := strings.Cut(terminal.Shown(), command.header)
		if rows := strings.Count(data, command.row); code != cmdline.ExitOK || rows != many ||
			strings.ContainsAny(data, "\x1b") || strings.Contains(data, "done!") {
			t.Errorf("%q: code %d, %d rows, at last %q", command.args, code, rows, data[max(0, len(data)-500):])
		}
	}
}
