//go:build !linux

package main

import (
	"io"
	"os"
)

// ownStderr returns what the log is written to.
func ownStderr(stderr *os.File) io.Writer { return stderr }
