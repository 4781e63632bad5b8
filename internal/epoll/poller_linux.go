package epoll

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Poller waits for readiness of descriptors: an epoll instance, and nothing else. In particular the
// runtime does not watch it. One epoll inside another wakes whoever waits on the outer one at every
// event of every socket, heard or not: with the runtime's poller around it a batch of 25 requests
// cost some ten wake-ups of a thread that found nothing to do, a third of the server's time.
type Poller struct {
	fd     int
	events []unix.EpollEvent
}

// New makes a poller that returns so many events at once at most.
func New(events int) (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &Poller{fd: fd, events: make([]unix.EpollEvent, events)}, nil
}

// Close ends the poller, and leaves the descriptors that it watches.
func (p *Poller) Close() { _ = unix.Close(p.fd) }

// Add watches fd; events come back with the token, in Fd, and with the generation by which a stale
// one is known, in Pad. A descriptor that is closed is no longer watched.
func (p *Poller) Add(fd int, events uint32, token, generation int32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: token, Pad: generation})
}

// Modify changes what Add said.
func (p *Poller) Modify(fd int, events uint32, token, generation int32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: token, Pad: generation})
}

// Remove ends the watching of fd.
func (p *Poller) Remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// Wait returns what is ready, or nothing when the timeout has passed or, now and then, too soon. A
// negative timeout means no limit. The thread sleeps in the system call, and the scheduler gives
// its processor to other goroutines that want it.
func (p *Poller) Wait(timeout time.Duration) []unix.EpollEvent {
	milliseconds := -1
	if timeout >= 0 {
		milliseconds = int(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
	}
	n, err := unix.EpollWait(p.fd, p.events, milliseconds)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		// The descriptor and the arguments are ours, so this is a bug, and without readiness
		// nothing can go on.
		panic(fmt.Errorf("epoll_wait: %w", err))
	}
	return p.events[:n]
}
