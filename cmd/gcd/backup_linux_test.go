package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/cmdline"
	"gcd/internal/scripttest"
	"gcd/server"
	"gcd/tools"
)

// TestBackupOnATerminal: a bar shows how far it is, and when the backup itself is printed there
// nothing comes between its lines.
func TestBackupOnATerminal(t *testing.T) {
	t.Parallel()
	const topics = 20_000
	addr := backupServer(t, server.Options{Backup: func(_ context.Context, w io.Writer, format string) error {
		_, err := io.WriteString(w, dumpOf(t, format, topics))
		return err
	}})
	name := filepath.Join(t.TempDir(), "backup")
	terminal := scripttest.NewTerminal(t)
	code := run(t.Context(), []string{"gcd", "backup", "--addr", addr, name}, terminal.File, terminal.File)
	if text := terminal.Shown(); code != cmdline.ExitOK || !strings.Contains(text, "backup ... done! [16.38K in ") ||
		!strings.Contains(text, "\n"+name+": 20000 topics at index 20000, ") {
		t.Errorf("code %d, %q", code, text)
	}

	terminal = scripttest.NewTerminal(t)
	code = run(t.Context(), []string{"gcd", "backup", "--quiet", "--addr", addr, name}, terminal.File, terminal.File)
	if text := terminal.Shown(); code != cmdline.ExitOK || text != "" {
		t.Errorf("--quiet: code %d, %q", code, text)
	}

	terminal = scripttest.NewTerminal(t)
	code = run(t.Context(), []string{"gcd", "backup", "--addr", addr, "-"}, terminal.File, terminal.File)
	want := dumpOf(t, tools.FormatNDJSON, topics)
	if text := terminal.Shown(); code != cmdline.ExitOK || !strings.HasSuffix(text, "\n"+want) ||
		!strings.Contains(text, "waiting for the server ... done! ") {
		t.Errorf("code %d, %d bytes, want the last %d of them to be the backup", code, len(text), len(want))
	}
}
