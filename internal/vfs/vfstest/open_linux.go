package vfstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// OpenFiles is how many files in dir the process has open, those without a name, too.
func OpenFiles(t testing.TB, dir string) (n int) {
	t.Helper()
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
