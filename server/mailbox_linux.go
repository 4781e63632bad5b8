package server

import (
	"sync"

	"golang.org/x/sys/unix"
)

// finisher is something that the backend is through with and that its loop has to finish.
type finisher interface{ finish() }

// mailbox is where finished groups go, from whatever goroutine committed them, and how its loop is woken for them.
type mailbox struct {
	wakeFD int // an eventfd, watched edge-triggered, so nobody ever reads it

	mu     sync.Mutex
	items  []finisher
	asleep bool // the loop waits, or is about to, and has not been woken
	nudged bool // the loop is to go round once more
	closed bool
}

// put never blocks: it runs on the goroutine that owns the commit.
func (m *mailbox) put(f finisher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.items = append(m.items, f)
	m.wakeLocked()
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

// close makes the mailbox swallow what still comes.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.items = nil
		unix.Close(m.wakeFD)
	}
}
