package loop

import (
	"sync"

	"golang.org/x/sys/unix"
)

// completion is something that the backend is through with and that its loop has to finish.
type completion interface {
	finish()
	// drop is called in its place, on any goroutine, when the loop was aborted.
	drop()
}

// completions are where finished groups go, from whatever goroutine committed them, and how its
// loop is woken for them.
type completions struct {
	wakeFD int // an eventfd, watched edge-triggered, so nobody ever reads it

	mu     sync.Mutex
	items  []completion
	asleep bool // the loop waits, or is about to, and has not been woken
	nudged bool // the loop is to go round once more
	closed bool
}

// put never blocks: it runs on the goroutine that owns the commit, among others. It returns false
// if it is closed and one will not be finished.
func (q *completions) put(one completion) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, one)
	if q.asleep {
		q.wakeLocked()
	}
	return true
}

// wake makes the loop go round once.
func (q *completions) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.nudged = true
	if q.asleep && !q.closed {
		q.wakeLocked()
	}
}

func (q *completions) wakeLocked() {
	q.asleep = false
	one := [8]byte{1}
	_, _ = unix.Write(q.wakeFD, one[:]) // fails only when 2^64 wakes were never read
}

// setAsleep announces that the loop will wait, or waits no more: what is put from then on is found
// without a wake, which would cost two system calls. It returns false if the loop is not to wait,
// since there is something to do first.
func (q *completions) setAsleep(is bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asleep = is && len(q.items) == 0 && !q.nudged
	if is {
		q.nudged = false
	}
	return q.asleep
}

// take empties it; spare becomes its next room.
func (q *completions) take(spare []completion) []completion {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = spare[:0]
	return items
}

// close makes it take nothing more, and returns what was in it.
func (q *completions) close() (left []completion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeLocked()
	left, q.items = q.items, nil
	return left
}

// closeEmpty is close if nothing is in it. It returns false if something is.
func (q *completions) closeEmpty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 {
		return false
	}
	q.closeLocked()
	return true
}

func (q *completions) closeLocked() {
	if !q.closed {
		q.closed = true
		unix.Close(q.wakeFD)
	}
}
