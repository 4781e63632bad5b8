package priority

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The priority is lowered, and of no other goroutine's thread.
func TestLeast(t *testing.T) {
	t.Parallel()
	policy := func() uint32 {
		a, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			return unix.SCHED_NORMAL
		}
		return a.Policy
	}
	lowered := make(chan uint32)
	go func() {
		Least()
		lowered <- policy()
	}()
	if got := <-lowered; got != unix.SCHED_IDLE {
		t.Errorf("the policy is %d, want %d", got, unix.SCHED_IDLE)
	}
	for range 100 {
		go func() { lowered <- policy() }()
		if got := <-lowered; got != unix.SCHED_NORMAL {
			t.Fatalf("another goroutine has policy %d", got)
		}
	}
}
