package server

import (
	"sync"
	"sync/atomic"
	"time"

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

	troubled atomic.Bool // accepting failed the last time

	mu       sync.Mutex
	drained  bool        // poll watches nothing any more
	failing  backoff     // of accept
	resume   *time.Timer // calls accept while the listener is not watched; nil when it is
	holder   *loop
	sleepers []*loop
}

func newWatch(listener, packets int) (*watch, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	w := &watch{poll: p, listener: listener, packets: packets}
	if listener >= 0 {
		err = p.add(listener, unix.EPOLLIN, listenerToken, 0)
	}
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

// accepted is told of each connection that was accepted.
func (w *watch) accepted() {
	if !w.troubled.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubled.Store(false)
	w.failing.reset()
}

// pause stops watching the listener for a while, because accepting failed: out of descriptors or memory, the loops would
// spin.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.resume != nil || w.drained {
		return
	}
	w.troubled.Store(true)
	w.poll.remove(w.listener)
	w.resume = time.AfterFunc(w.failing.next(), w.accept)
}

// accept watches the listener again.
func (w *watch) accept() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained {
		return
	}
	if w.poll.add(w.listener, unix.EPOLLIN, listenerToken, 0) != nil {
		w.resume.Reset(w.failing.next())
		return
	}
	w.resume = nil
}

// drain stops watching both sockets for good.
func (w *watch) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained {
		return
	}
	w.drained = true
	if w.resume != nil {
		w.resume.Stop()
	}
	for _, fd := range []int{w.listener, w.packets} {
		if fd >= 0 {
			w.poll.remove(fd)
		}
	}
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
