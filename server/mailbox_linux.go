package server

import (
	"sync"

	"golang.org/x/sys/unix"
)

// finisher is something that the backend is through with and that its loop has to finish.
type finisher interface {
	finish()
	// drop is called in its place, on any goroutine, when the loop was aborted.
	drop()
}

// mailbox is where finished groups go, from whatever goroutine committed them, and how its loop is woken for them.
type mailbox struct {
	wakeFD int // an eventfd, watched edge-triggered, so nobody ever reads it

	mu     sync.Mutex
	items  []finisher
	asleep bool // the loop waits, or is about to, and has not been woken
	nudged bool // the loop is to go round once more
	closed bool
}

// put never blocks: it runs on the goroutine that owns the commit, among others. It returns false if the mailbox is closed and f will not be finished.
func (m *mailbox) put(f finisher) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.items = append(m.items, f)
	m.wakeLocked()
	return true
}

// wake makes the loop go round once.
func (m *mailbox) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.nudged = true
		m.wakeLocked()
	}
}

func (m *mailbox) wakeLocked() {
	if m.asleep {
		m.asleep = false
		one := [8]byte{1}
		_, _ = unix.Write(m.wakeFD, one[:]) // fails only when 2^64 wakes were never read
	}
}

// sleep announces that the loop will wait. It returns false if there is something to do first.
func (m *mailbox) sleep() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asleep = len(m.items) == 0 && !m.nudged
	m.nudged = false
	return m.asleep
}

// awake says that the loop waits no more. What is put from now on is found without a wake, which would cost two system calls.
func (m *mailbox) awake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asleep = false
}

// take empties the mailbox; spare becomes its next room.
func (m *mailbox) take(spare []finisher) []finisher {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = spare[:0]
	return items
}

// close makes the mailbox take nothing more, and returns what was in it.
func (m *mailbox) close() (left []finisher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closeLocked()
	left, m.items = m.items, nil
	return left
}

// closeEmpty is close if nothing is in it. It returns false if something is.
func (m *mailbox) closeEmpty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) > 0 {
		return false
	}
	m.closeLocked()
	return true
}

func (m *mailbox) closeLocked() {
	if !m.closed {
		m.closed = true
		unix.Close(m.wakeFD)
	}
}
