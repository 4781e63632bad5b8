package loop

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gcd/server/internal/gate"
)

// longCommit is how long a loop that has the shared sockets may commit before another takes them
// over, and half of how long it may be before another that sleeps notices. Within it what arrives
// is the loop's next batch, and waits little longer than it would for the disk.
const longCommit = 2 * time.Millisecond

// lease says which loop has the two sockets that all loops of a pool could serve: the TCP listener
// and the UDP socket. One at a time has them, the holder, and keeps them while it commits. What
// arrives meanwhile makes one batch, which it reads at once; a second loop would wake up for each
// request, and have a batch, a sync and a hand-over of its own: on two processors the same requests
// took half as much work again, and the answers came later. A loop that sleeps takes over where
// that is not so: when more has arrived than the holder takes in a turn, and when the holder
// commits for longer than longCommit, because the disk is slow. One that is no home of
// conversations gives them back when it can.
type lease struct {
	listener  int // -1 when off
	datagrams int // likewise
	alarm     int // a timer that goes off after a long commit of the holder's; the pollers of all loops have it

	troubled atomic.Bool // accepting failed the last time

	mu       sync.Mutex
	drained  bool         // nobody has the sockets any more
	failing  gate.Backoff // of accept
	resume   *time.Timer  // calls accept while the listener is not watched; nil when it is
	holder   *loop
	since    time.Time // when the holder began to commit last
	due      time.Time // when the alarm goes off, or did
	sleepers []*loop
	onHold   bool // nobody watches the sockets, since too much is in flight
	shut     bool // nobody watches the listener until open
}

func newLease(listener, datagrams int) (*lease, error) {
	alarm, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("server: timerfd_create: %w", err)
	}
	return &lease{listener: listener, datagrams: datagrams, alarm: alarm}, nil
}

func (s *lease) close() { unix.Close(s.alarm) }

// begin tells all loops of the alarm and makes the first the holder.
func (s *lease) begin(loops []*loop) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range loops {
		// Of the loops that sleep one is enough. Nobody reads the timer: setting it anew is what
		// makes the next edge.
		if err := l.poll.Add(s.alarm, unix.EPOLLIN|unix.EPOLLET|unix.EPOLLEXCLUSIVE, alarmToken, 0); err != nil {
			return fmt.Errorf("server: epoll_ctl: %w", err)
		}
	}
	s.holder = loops[0]
	return s.grant(s.holder)
}

// grant has a loop's poller watch the sockets.
func (s *lease) grant(l *loop) error {
	if s.datagrams >= 0 {
		if err := l.poll.Add(s.datagrams, unix.EPOLLIN, datagramsToken, 0); err != nil {
			return fmt.Errorf("server: epoll_ctl: %w", err)
		}
	}
	if s.listener >= 0 && s.resume == nil && !s.shut {
		if err := l.poll.Add(s.listener, unix.EPOLLIN, listenerToken, 0); err != nil {
			l.poll.Remove(s.datagrams)
			return fmt.Errorf("server: epoll_ctl: %w", err)
		}
	}
	return nil
}

// open has the listener be watched from now on.
func (s *lease) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		return
	}
	s.shut = false
	if s.listener >= 0 && !s.drained && !s.onHold &&
		s.holder.poll.Add(s.listener, unix.EPOLLIN, listenerToken, 0) != nil {
		s.resume = time.AfterFunc(s.failing.Next(), s.accept)
	}
}

// release ends what grant began.
func (s *lease) release() {
	for _, fd := range []int{s.listener, s.datagrams} {
		if fd >= 0 {
			s.holder.poll.Remove(fd)
		}
	}
}

// accepted is told of each connection that was accepted.
func (s *lease) accepted() {
	if !s.troubled.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.troubled.Store(false)
	s.failing.Reset()
}

// pause stops watching the listener for a while, because accepting failed: out of descriptors or
// memory, the loops would spin.
func (s *lease) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume != nil || s.drained {
		return
	}
	s.troubled.Store(true)
	s.holder.poll.Remove(s.listener)
	s.resume = time.AfterFunc(s.failing.Next(), s.accept)
}

// accept watches the listener again, from when the sockets are not on hold any more.
func (s *lease) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return
	}
	if !s.onHold && s.holder.poll.Add(s.listener, unix.EPOLLIN, listenerToken, 0) != nil {
		s.resume.Reset(s.failing.Next())
		return
	}
	s.resume = nil
}

// drain stops watching both sockets for good.
func (s *lease) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return
	}
	s.drained = true
	if s.resume != nil {
		s.resume.Stop()
	}
	s.release()
}

// hold stops watching both sockets until letGo.
func (s *lease) hold(l *loop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == l && !s.drained && !s.onHold {
		s.release()
		s.onHold = true
	}
}

// letGo ends hold, unless another loop has the sockets by now. It returns false if it has to be
// tried again, for want of memory.
func (s *lease) letGo(l *loop) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == l && !s.drained && s.onHold {
		s.onHold = s.grant(l) != nil
		return !s.onHold
	}
	return true
}

// phase is what a loop does.
type phase int32

const (
	working    phase = iota
	asleep           // it waits for events
	committing       // it may wait for the disk
)

// enter is called by a loop when it is about to sleep or to commit, and when it wakes. behind says
// that it has left something in the sockets while it commits.
func (s *lease) enter(l *loop, next phase, behind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := phase(l.phase.Swap(int32(next)))
	switch {
	case next == asleep:
		if s.holder != l {
			s.takeOver(l)
		}
		if l.isHome && !s.holder.isHome {
			s.moveTo(l)
		}
		l.sleeperIndex = len(s.sleepers)
		s.sleepers = append(s.sleepers, l)
	case last == asleep:
		end := len(s.sleepers) - 1
		other := s.sleepers[end]
		s.sleepers[l.sleeperIndex] = other
		other.sleeperIndex = l.sleeperIndex
		s.sleepers = s.sleepers[:end]
	case s.holder != l:
	case behind && len(s.sleepers) > 0:
		s.moveTo(s.sleepers[len(s.sleepers)-1])
	default:
		s.since = time.Now()
		if s.due.Sub(s.since) < longCommit { // else it was set for a commit before, and will do
			s.setAlarm()
		}
	}
}

// setAlarm has the alarm go off when the commit that begins now has taken long. To do so for each
// commit costs more than all else that the lease does. After the commit it stays set: the next
// commit, or nobody, minds.
func (s *lease) setAlarm() {
	s.due = s.since.Add(2 * longCommit)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(2 * longCommit))}
	_ = unix.TimerfdSettime(s.alarm, 0, &spec, nil) // fails for wrong arguments only
}

// alarmed is called by a loop that the alarm has woken.
func (s *lease) alarmed(l *loop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeOver(l)
}

// takeOver makes l the holder if the present one commits for too long.
func (s *lease) takeOver(l *loop) {
	if s.holder != l && phase(s.holder.phase.Load()) == committing && time.Since(s.since) >= longCommit {
		s.moveTo(l)
	}
}

// moveTo makes l the holder. If that cannot be, for want of memory, the old one stays.
func (s *lease) moveTo(l *loop) {
	if s.drained || s.grant(l) != nil {
		return
	}
	s.release()
	s.holder, s.onHold = l, false
}
