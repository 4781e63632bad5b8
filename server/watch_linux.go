package server

import (
	"sync"

	"golang.org/x/sys/unix"
)

// watch shares out the two sockets that all loops of a pool serve: the TCP listener and the UDP socket. One loop at a time,
// the holder, hears of them. A loop that is about to commit, and so may wait for the disk, passes the watch to one that
// sleeps; one that goes to sleep takes it if the holder is committing. So what arrives wakes one loop and not all of them, and
// no commit keeps it waiting while a loop has nothing to do.
type watch struct {
	poll     *poller // of the two sockets; itself watched by the holder's poller
	listener int     // -1 when off
	packets  int     // likewise

	mu        sync.Mutex
	accepting bool // poll watches the listener
	drained   bool // poll watches nothing any more
	holder    *loop
	sleepers  []*loop
}

func newWatch(listener, packets int) (*watch, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	w := &watch{poll: p, listener: listener, packets: packets}
	err = w.accept()
	if err == nil && packets >= 0 {
		err = p.add(packets, unix.EPOLLIN, packetsToken, 0)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return w, nil
}

// begin makes l the first holder.
func (w *watch) begin(l *loop) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holder = l
	return l.poll.add(w.poll.fd, unix.EPOLLIN, watchToken, 0)
}

// accept has the listener watched, from the start or again.
func (w *watch) accept() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener < 0 || w.accepting || w.drained {
		return nil
	}
	if err := w.poll.add(w.listener, unix.EPOLLIN, listenerToken, 0); err != nil {
		return err
	}
	w.accepting = true
	return nil
}

// pause stops watching the listener.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauseLocked()
}

func (w *watch) pauseLocked() {
	if w.accepting {
		w.accepting = false
		w.poll.remove(w.listener)
	}
}

// drain stops watching both sockets for good.
func (w *watch) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained {
		return
	}
	w.pauseLocked()
	if w.packets >= 0 {
		w.poll.remove(w.packets)
	}
	w.drained = true
}

// sleep is called by a loop before it waits.
func (w *watch) sleep(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder.committing {
		w.give(l)
	}
	l.bed = len(w.sleepers)
	w.sleepers = append(w.sleepers, l)
}

// awake is called by a loop when it has waited.
func (w *watch) awake(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := len(w.sleepers) - 1
	last := w.sleepers[end]
	w.sleepers[l.bed] = last
	last.bed = l.bed
	w.sleepers = w.sleepers[:end]
}

// commits is called by a loop before and after it commits.
func (w *watch) commits(l *loop, begins bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.committing = begins
	if n := len(w.sleepers); begins && w.holder == l && n > 0 {
		w.give(w.sleepers[n-1])
	}
}

// give makes l the holder. If that cannot be, for want of memory, the old one stays.
func (w *watch) give(l *loop) {
	if w.drained || l.poll.add(w.poll.fd, unix.EPOLLIN, watchToken, 0) != nil {
		return
	}
	w.holder.poll.remove(w.poll.fd)
	w.holder = l
}
