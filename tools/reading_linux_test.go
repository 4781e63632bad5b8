package tools

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// openFiles is how many files in dir the process has open, those without a name, too.
func openFiles(t *testing.T, dir string) (n int) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())) // may be closed meanwhile
		if strings.HasPrefix(target, dir+"/") {
			n++
		}
	}
	return n
}

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
	if openFiles(t, temp) == 0 {
		t.Error("there is no copy")
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	if got := openFiles(t, temp); got != 0 {
		t.Errorf("%d files are open still", got)
	}
}
