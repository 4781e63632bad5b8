package store

import (
	"testing"

	"gcd/store/core"
)

// An owner keeps the ownership while anything waits that it has not taken: nobody else would.
func TestOwnerKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	for name, enqueue := range map[string]func(*queue) bool{
		"a group": func(q *queue) bool { owner, _ := q.enqueue([]*core.Group{{}}); return owner },
		"a task":  func(q *queue) bool { owner, _ := q.enqueueTask(func() {}); return owner },
	} {
		q := &queue{}
		q.idle.L = &q.mu
		if !enqueue(q) {
			t.Fatalf("%s: nobody became the owner", name)
		}
		q.drain()
		if enqueue(q) {
			t.Errorf("%s: there are two owners", name)
		}
		if q.release(false) {
			t.Errorf("%s: it waits, and nobody is its owner", name)
		}
		q.drain()
		if q.release(true) {
			t.Errorf("%s: the owner had some left, and let go", name)
		}
		if !q.release(false) || !enqueue(q) {
			t.Errorf("%s: nothing waited, and the owner did not let go", name)
		}
	}
}
