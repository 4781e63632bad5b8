//go:build !race

package store

const raced = false // the race detector is not in this program
