//go:build !linux

package tools

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// watchFor sees nothing here: only Linux tells.
func watchFor(testing.TB, ...string) func() []string { return func() []string { return nil } }

// watchSpare waits for the file of a segment's size.
func watchSpare(t testing.TB, dir string) func() {
	return func() {
		for t.Context().Err() == nil {
			if info, err := os.Stat(filepath.Join(dir, "spare")); err == nil && info.Size() == 8192 {
				return
			}
			runtime.Gosched()
		}
	}
}
