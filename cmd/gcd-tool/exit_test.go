package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestInterrupted: what a signal ends says so once, and what became of what it was to make.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir, file, other := filepath.Join(parent, "d"), filepath.Join(parent, "f"), filepath.Join(parent, "g")
	s := openDir(t, dir)
	countMany(t, s, 1000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"gcd-tool", "dump", "--output", file, dir}, io.Discard, io.Discard); code != 0 {
		t.Fatal(code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"dump", dir}, ""},
		{[]string{"dump", "--output", other, dir}, ": " + other + " is as it was"},
		{[]string{"restore", file, other}, ": " + other + " is as it was"},
	} {
		var stderr bytes.Buffer
		code := run(ctx, append([]string{"gcd-tool"}, test.args...), io.Discard, &stderr)
		if want := "gcd-tool: interrupted" + test.want + "\n"; code != 130 || stderr.String() != want {
			t.Errorf("%q: exit code %d, %q, want %q", test.args, code, stderr.String(), want)
		}
	}
	if _, err := os.Lstat(other); !os.IsNotExist(err) {
		t.Error(err)
	}
}
