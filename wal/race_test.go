//go:build race

package wal

const raced = true // the race detector is in this program
