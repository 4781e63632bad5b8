//go:build !race

package wal

const raced = false // the race detector is not in this program
