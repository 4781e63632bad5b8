package tools

import (
	"math/bits"
	"testing"
)

// thinned is whether a table over sizes, offsets, bits or moments of a crash is to try only some of
// each kind. The plain run tries them all. The race detector looks for races and not for sizes, and
// 32 bits differ where numbers are large and not from byte to byte: there the rest would find
// nothing more, and takes many times as long.
func thinned() bool { return raced || bits.UintSize == 32 || testing.Short() }

// step is 1, or in a thinned table n: every n-th row is tried.
func step(n int) int {
	if thinned() {
		return n
	}
	return 1
}
