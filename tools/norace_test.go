//go:build !race

package tools

const raced = false // the race detector is not in this program
