package loop

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// completion is something that the backend is through with.
type completion interface {
	// advance goes on with it, on its loop.
	advance()
	// drop is called in its place, on any goroutine, when the loop was aborted.
	drop()
}

// completions are where finished groups go, from whatever goroutine committed them, and how its
// loop is woken for them, which costs two system calls: so only while it sleeps.
type completions struct {
	wakeFD int // an eventfd, watched edge-triggered, so nobody ever reads it

	// The loop says that it sleeps and then looks whether anything is ready; who has something
	// ready says so and then looks whether the loop sleeps. So one of the two sees the other. The
	// loop calls take between two sleeps.
	asleep atomic.Bool // it sleeps, or is about to, and has not been woken
	ready  atomic.Bool // there are items, or another reason for the loop to go round

	mu     sync.Mutex
	items  []completion
	closed bool
}

// put never blocks: it runs on the goroutine that owns the commit, among others. It returns false
// if it is closed and nothing will go on with one.
func (q *completions) put(one completion) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, one)
	q.ready.Store(true)
	if q.asleep.Load() {
		q.wakeLocked()
	}
	return true
}

// wake makes the loop go round once.
func (q *completions) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready.Store(true)
	if q.asleep.Load() && !q.closed {
		q.wakeLocked()
	}
}

func (q *completions) wakeLocked() {
	q.asleep.Store(false)
	one := [8]byte{1}
	_, _ = unix.Write(q.wakeFD, one[:]) // fails only when 2^64 wakes were never read
}

// take empties it; spare becomes its next room.
func (q *completions) take(spare []completion) []completion {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = spare[:0]
	q.ready.Store(false)
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
