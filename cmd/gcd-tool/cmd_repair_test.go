package main

import (
	"strings"
	"testing"

	"gcd/tools"
)

// TestPrintRepairedPart: of a snapshot that is read in part nobody says that nothing is lost.
func TestPrintRepairedPart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ snapshot, line string }{
		{"not needed", "lost: nothing\n"},
		{"read in part", "perhaps lost: topics that only a damaged part of the snapshot names\n"},
	} {
		var b strings.Builder
		if err := printRepaired(&b, &tools.Repaired{Snapshot: test.snapshot, Topics: 1, Sure: 1},
			""); err != nil || strings.Count(b.String(), "lost: ") != 1 || !strings.Contains(b.String(),
			"\n"+test.line) {
			t.Errorf("printed was (%v) %s", err, b.String())
		}
	}
}
