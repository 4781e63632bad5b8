package server

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// longCommit is how long a loop that has the shared sockets may commit before another takes them over, and half of how long it may be before another
// that sleeps notices. Within it what arrives is the loop's next batch, and waits little longer than it would for the disk.
const longCommit = 2 * time.Millisecond

// watch says which loop has the two sockets that all loops of a pool could serve: the TCP listener and the UDP socket. One at a time has them,
// the holder, and keeps them while it commits. What arrives meanwhile makes one batch, which it reads at once; a second loop would wake up for each
// request, and have a batch, a sync and a hand-over of its own: on two processors the same requests took half as much work again, and the
// answers came later. A loop that sleeps takes over where that is not so: when more has arrived than the holder takes in a turn, and when
// the holder commits for longer than longCommit, because the disk is slow. One that is no home of conversations gives them back when it can.
type watch struct {
	listener int // -1 when off
	packets  int // likewise
	alarm    int // a timer that goes off behind a long commit of the holder's; the pollers of all loops have it

	troubled atomic.Bool // accepting failed the last time

	mu       sync.Mutex
	drained  bool        // nobody has the sockets any more
	failing  backoff     // of accept
	resume   *time.Timer // calls accept while the listener is not watched; nil when it is
	holder   *loop
	since    time.Time // when the holder began to commit; zero while it does not
	due      time.Time // when the alarm goes off, or did
	sleepers []*loop
	onHold   bool // nobody watches the sockets, since too much is in flight
}

func newWatch(listener, packets int) (*watch, error) {
	alarm, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("server: timerfd_create: %w", err)
	}
	return &watch{listener: listener, packets: packets, alarm: alarm}, nil
}

func (w *watch) close() { unix.Close(w.alarm) }

// begin tells all loops of the alarm and makes the first the holder.
func (w *watch) begin(loops []*loop) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range loops {
		// Of the loops that sleep one is enough. Nobody reads the timer: setting it anew is what makes the next edge.
		if err := l.poll.add(w.alarm, unix.EPOLLIN|unix.EPOLLET|unix.EPOLLEXCLUSIVE, alarmToken, 0); err != nil {
			return err
		}
	}
	w.holder = loops[0]
	return w.entrust(w.holder)
}

// entrust has a loop's poller watch the sockets.
func (w *watch) entrust(l *loop) error {
	if w.packets >= 0 {
		if err := l.poll.add(w.packets, unix.EPOLLIN, packetsToken, 0); err != nil {
			return err
		}
	}
	if w.listener >= 0 && w.resume == nil {
		if err := l.poll.add(w.listener, unix.EPOLLIN, listenerToken, 0); err != nil {
			l.poll.remove(w.packets)
			return err
		}
	}
	return nil
}

// release ends what entrust began.
func (w *watch) release() {
	for _, fd := range []int{w.listener, w.packets} {
		if fd >= 0 {
			w.holder.poll.remove(fd)
		}
	}
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
	w.holder.poll.remove(w.listener)
	w.resume = time.AfterFunc(w.failing.next(), w.accept)
}

// accept watches the listener again.
func (w *watch) accept() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drained {
		return
	}
	if w.holder.poll.add(w.listener, unix.EPOLLIN, listenerToken, 0) != nil {
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
	w.release()
}

// hold stops watching both sockets until letGo.
func (w *watch) hold(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder == l && !w.drained && !w.onHold {
		w.release()
		w.onHold = true
	}
}

// letGo ends hold, unless another loop has the sockets by now. It returns false if it has to be
// tried again, for want of memory.
func (w *watch) letGo(l *loop) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder == l && !w.drained && w.onHold {
		w.onHold = w.entrust(l) != nil
		return !w.onHold
	}
	return true
}

// sleep is called by a loop before it waits.
func (w *watch) sleep(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.relieve(l); l.isHome && !w.holder.isHome {
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

// commits is called by a loop that is about to commit. behind says that more waits in the shared sockets than it has taken.
func (w *watch) commits(l *loop, behind bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder != l {
		return
	}
	if n := len(w.sleepers); behind && n > 0 {
		w.give(w.sleepers[n-1])
		return
	}
	w.since = time.Now()
	if w.due.Sub(w.since) >= longCommit { // it was set for a commit before, and will do: to set a timer for each costs more than all else that watch does
		return
	}
	w.due = w.since.Add(2 * longCommit)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(2 * longCommit))}
	_ = unix.TimerfdSettime(w.alarm, 0, &spec, nil) // fails for wrong arguments only
}

// committed is called by a loop behind its commit. The alarm stays set: the next commit, or nobody, minds.
func (w *watch) committed(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holder == l {
		w.since = time.Time{}
	}
}

// alarmed is called by a loop that the alarm has woken.
func (w *watch) alarmed(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.relieve(l)
}

// relieve makes l the holder if the present one commits for too long.
func (w *watch) relieve(l *loop) {
	if w.holder != l && !w.since.IsZero() && time.Since(w.since) >= longCommit {
		w.give(l)
	}
}

// give makes l the holder. If that cannot be, for want of memory, the old one stays.
func (w *watch) give(l *loop) {
	if w.drained || w.entrust(l) != nil {
		return
	}
	w.release()
	w.holder, w.since, w.onHold = l, time.Time{}, false
}
