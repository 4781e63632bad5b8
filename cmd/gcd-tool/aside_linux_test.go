package main

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAside: work beside a server has the least priority and is given a way to rest, other work is
// done as it comes.
func TestAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	refused := errors.New("refused")
	look := func() (policy uint32, rests bool) {
		t.Helper()
		if err := aside(t.Context(), dir, func(rest func()) error {
			a, err := unix.SchedGetAttr(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			policy, rests = a.Policy, rest != nil
			return refused
		}); err != refused {
			t.Error(err)
		}
		return policy, rests
	}
	if policy, rests := look(); policy != unix.SCHED_NORMAL || rests {
		t.Errorf("nothing is there: policy %d, rests: %v", policy, rests)
	}
	s := openDir(t, dir)
	countMany(t, s, 1)
	if policy, rests := look(); policy != unix.SCHED_IDLE || !rests {
		t.Errorf("beside a server: policy %d, rests: %v", policy, rests)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if policy, rests := look(); policy != unix.SCHED_NORMAL || rests {
		t.Errorf("after it: policy %d, rests: %v", policy, rests)
	}
}
