package tools

import (
	"testing"

	"gcd/internal/vfs/vfstest"
)

// TestReadingCloses: the copy of a running server's snapshot goes with the reading.
func TestReadingCloses(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	s := openDir(t, dir, smallSegment)
	defer s.Close()
	src, err := OpenView(t.Context(), dir, ViewOptions{TempDir: temp})
	if err != nil {
		t.Fatal(err)
	}
	if vfstest.OpenFiles(t, temp) == 0 {
		t.Error("there is no copy")
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	if got := vfstest.OpenFiles(t, temp); got != 0 {
		t.Errorf("%d files are open still", got)
	}
}
