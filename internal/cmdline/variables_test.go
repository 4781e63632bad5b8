package cmdline

import (
	"slices"
	"testing"
)

// TestVariablesInAnotherCase: names are told apart by case, so one in the wrong case is read by
// nothing.
func TestVariablesInAnotherCase(t *testing.T) {
	t.Parallel()
	environ := []string{"GCD_DATA=1", "GCD_Data=1", "gcd_data=1", "Gcd_Tcp=", "gcd_build=1", "gcd_port=1",
		"GCD_lockwait=1"}
	got := UnknownVariables(environ, "GCD_", []string{"GCD_DATA", "GCD_LOCK_WAIT", "GCD_TCP"})
	want := []UnknownVariable{
		{"GCD_Data", "GCD_DATA"}, {"gcd_data", "GCD_DATA"}, {"Gcd_Tcp", "GCD_TCP"}, {"GCD_lockwait", "GCD_LOCK_WAIT"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("unknown are %v, want %v", got, want)
	}
}
