// Package thin says how much of a table a test tries. A table over sizes, offsets, bits or moments
// of a crash tries all of them in the plain run. The race detector looks for races and not for
// sizes, and 32 bits differ where numbers are large and not from byte to byte: there the rest would
// find nothing more, and takes many times as long.
package thin

import (
	"math/bits"
	"testing"
)

// On tells whether tables are to try only some of each kind.
func On() bool { return raced || bits.UintSize == 32 || testing.Short() }

// Step is 1, or in a thin table n: every n-th row is tried.
func Step(n int) int {
	if On() {
		return n
	}
	return 1
}
