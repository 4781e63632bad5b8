//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWrongAuth: a file of rules that is wrong, or none, is said before anything is opened.
func TestWrongAuth(t *testing.T) {
	t.Parallel()
	everybody := authFile(t, "anonymous - count:")
	if err := os.Chmod(everybody, 0o604); err != nil {
		t.Fatal(err)
	}
	wrong := authFile(t, "# who", "billing hunter2 count:")
	for _, test := range []struct{ path, want string }{
		{"", "gcd: --auth is empty: it takes a file of rights"},
		{filepath.Join(t.TempDir(), "none"), "no such file"},
		{t.TempDir(), "not a regular file"},
		{authFile(t, "# nobody"), "has no principal, so nobody could do anything"},
		{wrong, "gcd: --auth cannot be used: " + wrong + ":2: this is no secret: put the line that"},
		{everybody, "chmod 640 " + everybody},
	} {
		said := refusedArgs(t, "--auth", test.path)
		if !strings.Contains(said, test.want) || strings.Contains(said, "hunter2") {
			t.Errorf("--auth %q: it says %q, want %q", test.path, said, test.want)
		}
	}
}

// TestWrongAuditLog: nothing but a file is written to.
func TestWrongAuditLog(t *testing.T) {
	t.Parallel()
	auth, pipe := authFile(t, "anonymous - count:"), filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "--audit-log is empty: it takes a file, or - for the server's log", t.TempDir(): "not a regular file",
		filepath.Join(t.TempDir(), "none", "audit"): "no such file", os.DevNull: "not a regular file",
		pipe: "not a regular file",
		auth: "is the file of --auth: name another one",
	} {
		if said := refusedArgs(t, "--auth", auth, "--audit-log", path); !strings.Contains(said, want) {
			t.Errorf("--audit-log %q: it says %q, want %q", path, said, want)
		}
	}
	if text, err := os.ReadFile(auth); err != nil || string(text) != "anonymous - count:\n" {
		t.Errorf("the file of rules has become %q (%v)", text, err)
	}
}
