package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"gcd/internal/cmdline"
	"gcd/tools"
)

// TestTemporaryFile: what is wrong with the directory for temporary files is that directory's
// fault, and not that of the table, the dump or the store.
func TestTemporaryFile(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOSPC} {
		err := fmt.Errorf("%w: %w", tools.ErrTemp, cause)
		for _, err := range []error{err, importFailure(io.Discard, "table.csv", "d", err)} {
			var said bytes.Buffer
			if code := report(&said, err); code != cmdline.ExitFailure ||
				!strings.Contains(said.String(), "\nhint: name a directory for temporary files with --temp-dir") {
				t.Errorf("code %d, %q", code, said.String())
			}
		}
	}
}
