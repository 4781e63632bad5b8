package main

import (
	"strings"
	"testing"

	"gcd/tools"
)

// TestDamageIsPlaced: an offset is printed where there is one, also the first, and none of what is
// about a whole file.
func TestDamageIsPlaced(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := printVerified(&b, &tools.Verified{Files: []tools.VerifiedFile{{Name: "f", Damages: 2,
		Damage: []tools.Damage{{Text: "one"}, {Whole: true, Text: "two"}}}}})
	if got := b.String(); err != nil || !strings.Contains(got, "f is damaged at offset 0: one\n") ||
		!strings.Contains(got, "f is damaged: two\n") {
		t.Errorf("damage is not told with its place alone; it printed %s%v", got, err)
	}
}
