package main

import (
	"gcd/internal/priority"
	"gcd/tools"
)

// aside does work that reads a directory. A server that has it shall not notice: then the work is done at the least priority, and is to call
// rest between small pieces.
func aside(dir string, work func(rest func()) error) error {
	if used, err := tools.InUse(dir); err != nil || !used {
		return work(nil) // which says better what is wrong with the directory
	}
	done := make(chan error)
	go func() {
		priority.Least()
		done <- work(priority.Yield)
	}()
	return <-done
}
