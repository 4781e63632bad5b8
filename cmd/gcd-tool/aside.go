package main

import (
	"context"

	"gcd/internal/priority"
	"gcd/internal/throttle"
	"gcd/tools"
)

// aside does work that reads a directory. A server that has it shall not notice: then the work is
// done at the least priority, and is to call rest between small pieces, which takes nine times as
// long as they do.
func aside(ctx context.Context, dir string, work func(rest func()) error) error {
	if used, err := tools.InUse(dir); err != nil || !used {
		return work(nil) // which says better what is wrong with the directory
	}
	done := make(chan error)
	go func() {
		priority.Least()
		done <- work(throttle.New(ctx).Rest)
	}()
	return <-done
}
