//go:build race

package tools

const raced = true // the race detector is in this program
