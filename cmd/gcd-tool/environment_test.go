package main

import "testing"

// TestNoVariables: gcd-tool reads no variable of its own, so what gcd reads is all that a server
// knows.
func TestNoVariables(t *testing.T) {
	t.Parallel()
	if names := program().Variables(); len(names) > 0 {
		t.Errorf("gcd-tool reads %v: the warning about unknown variables of gcd serve has to know them", names)
	}
}
