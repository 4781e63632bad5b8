//go:build race

package thin

const raced = true // the race detector is in this program
