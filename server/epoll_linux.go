package server

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The tokens of what is no stream in a poller. A stream's token is its slot, which is never negative.
const (
	watchToken    = -1 // the watch over the shared sockets
	listenerToken = -2
	packetsToken  = -3
	wakeToken     = -4
)

// poller waits for readiness of sockets. It is an epoll instance that is itself watched by the runtime's poller: a loop that
// waits is a parked goroutine. Were it blocked in epoll_wait it would keep a processor of the scheduler's from the other
// goroutines of the process until the scheduler finds out.
type poller struct {
	fd     int
	file   *os.File // holds fd
	conn   syscall.RawConn
	look   func(uintptr) bool // what conn calls while nothing is ready
	armed  time.Time          // when conn gives up, or zero
	found  int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("server: epoll_create: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else the runtime does not watch it
		unix.Close(fd)
		return nil, fmt.Errorf("server: epoll: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if err = p.file.SetReadDeadline(time.Time{}); err == nil {
		p.conn, err = p.file.SyscallConn()
	}
	if err != nil {
		p.file.Close()
		return nil, fmt.Errorf("server: the runtime does not watch an epoll: %w", err)
	}
	p.look = func(uintptr) bool { return p.poll() > 0 }
	return p, nil
}

func (p *poller) close() { p.file.Close() }

// add watches fd; events come back with the token, and with the generation by which a stale one is known.
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

// poll finds what is ready now.
func (p *poller) poll() int {
	n, err := unix.EpollWait(p.fd, p.events[:], 0)
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		// The descriptor and the arguments are ours, so this is a bug, and without readiness nothing can go on.
		panic(fmt.Errorf("server: epoll_wait: %w", err))
	}
	p.found = n
	return n
}

// ready returns what is ready now.
func (p *poller) ready() []unix.EpollEvent {
	return p.events[:p.poll()]
}

// wait returns what is ready, or nothing when the timeout has passed or, for a timeout that was set earlier, too soon. A
// negative timeout means no limit.
func (p *poller) wait(timeout time.Duration) []unix.EpollEvent {
	if timeout >= 0 {
		// A deadline that is early enough stays, for setting one costs more than a turn in vain now and then.
		if due := time.Now().Add(timeout); p.armed.IsZero() || due.Before(p.armed) {
			p.arm(due)
		}
	}
	if err := p.conn.Read(p.look); err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			panic(fmt.Errorf("server: waiting for readiness: %w", err)) // as in poll
		}
		p.arm(time.Time{})
		return p.ready()
	}
	return p.events[:p.found]
}

func (p *poller) arm(due time.Time) {
	p.armed = due
	if err := p.file.SetReadDeadline(due); err != nil {
		panic(fmt.Errorf("server: waiting for readiness: %w", err)) // as in poll
	}
}
