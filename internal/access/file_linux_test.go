package access

import (
	"strings"
	"testing"
)

// TestBeingWritten: a file that has more bytes than its size says is one that is written just now.
// The kernel has such a file, which is readable for its owner alone.
func TestBeingWritten(t *testing.T) {
	t.Parallel()
	if _, err := Open("/proc/self/environ"); err == nil || !strings.Contains(err.Error(), "is being written") {
		t.Errorf("it says %v", err)
	}
}
