//go:build !race

package thin

const raced = false // the race detector is not in this program
