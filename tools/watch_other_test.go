//go:build !linux

package tools

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// watchFor sees nothing here: only Linux tells.
func watchFor(testing.TB, ...string) func() []string { return func() []string { return nil } }

// watchSpare waits for the file of a segment's size.
func watchSpare(t testing.TB, dir string) func() {
	return func() {
		for late := time.Now().Add(timeout); ; {
			if info, err := os.Stat(filepath.Join(dir, "spare")); err == nil && info.Size() == 8192 {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("no segment was made ready within %v", timeout)
			}
			runtime.Gosched()
		}
	}
}
