package store

import (
	"sync"

	"gcd/store/core"
)

// queue is where groups wait and where it is decided who commits them.
//
// One goroutine at a time is the commit owner. Who enqueues while nobody is becomes it and runs a
// round (Store.Round); it lets go only when it sees the queue empty under the lock, and otherwise
// hands over to the committer. So no group waits without an owner, and no round runs beside
// another.
type queue struct {
	mu     sync.Mutex
	idle   sync.Cond // signalled when held becomes false
	groups core.List
	tasks  []func() // run by the owner between two rounds
	held   bool
	closed bool
}

// enqueue adds groups and reports whether the caller became the owner, and whether the queue took
// them: a closed one takes nothing.
func (q *queue) enqueue(groups []*core.Group) (owner, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, false
	}
	for _, g := range groups {
		q.groups.Add(g)
	}
	return q.take(), true
}

// enqueueTask adds a function that the owner runs between two rounds; the same results as enqueue.
func (q *queue) enqueueTask(f func()) (owner, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, false
	}
	q.tasks = append(q.tasks, f)
	return q.take(), true
}

func (q *queue) take() bool {
	owner := !q.held
	q.held = true
	return owner
}

// drain gives the owner everything that waits.
func (q *queue) drain() (groups core.List, tasks []func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	groups, tasks = q.groups, q.tasks
	q.groups, q.tasks = core.List{}, nil
	return groups, tasks
}

// release ends the ownership if nothing waits: neither in the queue nor, as more says, with the
// owner.
func (q *queue) release(more bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if more || !q.groups.Empty() || q.tasks != nil {
		return false
	}
	q.held = false
	q.idle.Broadcast()
	return true
}

// close makes the queue take nothing more and waits until nobody owns it, so that everything in it
// has its outcome.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for q.held {
		q.idle.Wait()
	}
}
