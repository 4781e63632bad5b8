//go:build !race

package server_test

const raced = false // the race detector is not in this program
