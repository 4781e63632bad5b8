//go:build unix

package main

import "syscall"

// openFiles is how many files the process may have open at once; ok is false where that is not
// known. Go has raised the soft limit to the hard one before main began.
func openFiles() (n uint64, ok bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return uint64(limit.Cur), true
}
