package main

import (
	"io"
	"path/filepath"
	"testing"

	"gcd/store"
)

// TestCompactKeepsTheLog if it is told to, and not otherwise.
func TestCompactKeepsTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir)
	countMany(t, s, 20_000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments := func() int {
		names, err := filepath.Glob(filepath.Join(store.LogDir(dir), "*.seg"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	were := segments()
	if were < 3 {
		t.Fatalf("%d segments", were)
	}
	if code := run(t.Context(), []string{"gcd-tool", "compact", "--keep-log", dir}, io.Discard,
		io.Discard); code != 0 || segments() != were {
		t.Errorf("exit code %d, %d segments of %d are left", code, segments(), were)
	}
	if code := run(t.Context(), []string{"gcd-tool", "compact", dir}, io.Discard, io.Discard); code != 0 ||
		segments() != 1 {
		t.Errorf("exit code %d, %d segments are left", code, segments())
	}
}
