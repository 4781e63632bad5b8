package loop

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// The tokens of what is no connection in a poller. A connection's token is its slot, which is never
// negative.
const (
	alarmToken     = -1 // the lease's
	listenerToken  = -2
	datagramsToken = -3
	wakeToken      = -4
)

// poller waits for readiness of sockets: an epoll instance, and nothing else. In particular the
// runtime does not watch it. One epoll inside another wakes whoever waits on the outer one at every
// event of every socket, heard or not: with the runtime's poller around it a batch of 25 requests
// cost some ten wake-ups of a thread that found nothing to do, a third of the server's time.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("server: epoll_create: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { unix.Close(p.fd) }

// add watches fd; events come back with the token, and with the generation by which a stale one is
// known.
func (p *poller) add(fd int, events uint32, token, generation int32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, events, token, generation)
}

func (p *poller) modify(fd int, events uint32, token, generation int32) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, events, token, generation)
}

func (p *poller) control(op, fd int, events uint32, token, generation int32) error {
	ev := unix.EpollEvent{Events: events, Fd: token, Pad: generation}
	if err := unix.EpollCtl(p.fd, op, fd, &ev); err != nil {
		return fmt.Errorf("server: epoll_ctl: %w", err)
	}
	return nil
}

func (p *poller) remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// wait returns what is ready, or nothing when the timeout has passed or, now and then, too soon. A
// negative timeout means no limit. The thread sleeps in the system call, and the scheduler gives
// its processor to other goroutines that want it.
func (p *poller) wait(timeout time.Duration) []unix.EpollEvent {
	milliseconds := -1
	if timeout >= 0 {
		milliseconds = int(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
	}
	n, err := unix.EpollWait(p.fd, p.events[:], milliseconds)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		// The descriptor and the arguments are ours, so this is a bug, and without readiness
		// nothing can go on.
		panic(fmt.Errorf("server: epoll_wait: %w", err))
	}
	return p.events[:n]
}
