//go:build race

package server_test

const raced = true // the race detector is in this program
