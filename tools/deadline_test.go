package tools

import (
	"context"
	"sync"
	"testing"
	"time"

	"gcd/store"
	"gcd/store/core"
)

// timeout is when a test that waits gives up; it decides nothing but how a failure looks.
const timeout = 2 * time.Minute

// within waits for what must come, and ends the test if it does not.
func within[T any](t testing.TB, what string, c <-chan T) (value T) {
	t.Helper()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case value = <-c:
	case <-late.C:
		t.Fatalf("%s does not come within %v", what, timeout)
	}
	return value
}

// inTime is a context that ends when a test has waited long enough.
func inTime(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), timeout)
	t.Cleanup(cancel)
	return ctx
}

// ended is closed when all goroutines of a group have ended.
func ended(wg *sync.WaitGroup) <-chan struct{} {
	c := make(chan struct{})
	go func() { wg.Wait(); close(c) }()
	return c
}

// submit has a store do ops as one group, and waits for it.
func submit(t testing.TB, s *store.Store, ops ...core.Op) {
	t.Helper()
	done := make(chan struct{})
	s.Submit(&core.Group{Ops: ops, Done: func(*core.Group) { close(done) }})
	within(t, "the outcome of a group", done)
}
