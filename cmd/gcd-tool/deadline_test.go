package main

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"gcd/store"
	"gcd/store/core"
)

// hang is when a test that waits gives up; it decides nothing but how a failure looks.
const hang = 2 * time.Minute

// command is a program that a test runs. It is killed, and the test fails, if it has not ended in
// time.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), hang)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, name, args...)
	c.Cancel = func() error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%s %q has not ended within %v", name, args, hang)
		}
		return c.Process.Kill()
	}
	c.WaitDelay = 10 * time.Second // for what still has its output
	return c
}

// submit has a store do ops as one group, and waits for it.
func submit(fatal func(format string, args ...any), s *store.Store, ops ...core.Op) {
	done := make(chan struct{})
	s.Submit(&core.Group{Ops: ops, Done: func(*core.Group) { close(done) }})
	late := time.NewTimer(hang)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		fatal("the outcome of a group does not come within %v", hang)
	}
}
