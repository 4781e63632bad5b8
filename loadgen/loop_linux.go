package loadgen

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/internal/sched"
)

const (
	haveLoops = true

	maxEvents  = 512
	readBuffer = 64 << 10

	sweepEvery = 100 * time.Millisecond // deadlines are checked so often
	timerSlot  = -1                     // of the timer among the events
)

// conn is a client of a loop: a socket, and what is under way on it.
type conn struct {
	inFlight
	slot     int32
	fd       int    // -1: none
	interest uint32 // what epoll waits for, 0: nothing yet
	unsent   []byte // of the requests
	busy     bool   // something is under way
	started  bool   // something of the requests was written
	part     []byte // the beginning of an answer
	deadline int64  // while something is under way
	resume   int64  // while it is paused
}

// loop drives connections from one goroutine, by readiness.
type loop struct {
	lane
	family   int
	peer     unix.Sockaddr
	poll     *epoll.Poller
	timer    int
	conns    []conn
	idle     []*conn // the next request is not due yet
	paused   []*conn // after a failure
	busy     int     // how many connections are
	armed    int64   // when the timer goes off
	swept    int64
	courtesy sched.Courtesy
	buffer   [readBuffer]byte
	out      []byte
	scratch  [8]byte
}

func newLoop(ln lane, clients int, to *peer) (driver, error) {
	l := &loop{lane: ln, timer: -1, conns: make([]conn, clients)}
	for i := range l.conns {
		l.conns[i].slot, l.conns[i].fd = int32(i), -1
	}
	l.family, l.peer = to.sockaddr()
	var err error
	if l.poll, err = epoll.New(maxEvents); err != nil {
		return nil, fmt.Errorf("loadgen: epoll: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		l.close()
		return nil, fmt.Errorf("loadgen: timer: %w", err)
	}
	if err := l.poll.Add(l.timer, unix.EPOLLIN, timerSlot, 0); err != nil {
		l.close()
		return nil, fmt.Errorf("loadgen: epoll: %w", err)
	}
	return l, nil
}

// sockaddr is the peer as a system call wants it.
func (p *peer) sockaddr() (family int, address unix.Sockaddr) {
	if p.tcp == nil {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: p.path}
	}
	if ip := p.tcp.IP.To4(); ip != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: p.tcp.Port, Addr: [4]byte(ip)}
	}
	six := &unix.SockaddrInet6{Port: p.tcp.Port, Addr: [16]byte(p.tcp.IP.To16())}
	if zone, err := net.InterfaceByName(p.tcp.Zone); err == nil {
		six.ZoneId = uint32(zone.Index)
	}
	return unix.AF_INET6, six
}

func (l *loop) close() {
	for i := range l.conns {
		l.hangUp(&l.conns[i])
	}
	if l.timer >= 0 {
		_ = unix.Close(l.timer)
		l.timer = -1
	}
	l.poll.Close()
}

// open connects those that stay connected, one after the other, so that a queue of the server does
// not overflow.
func (l *loop) open() error {
	if l.run.door.perRequest() {
		return nil
	}
	for i := range l.conns {
		c := &l.conns[i]
		if err := l.connect(c); err != nil {
			return err
		}
		if l.run.Network == RESP {
			if err := l.awaitConnected(c.fd); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitConnected waits until a connection is made, or has failed.
func (l *loop) awaitConnected(fd int) error {
	deadline := time.Now().Add(l.run.Timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("no connection within %v", l.run.Timeout)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			break
		}
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return os.NewSyscallError("connect", err)
}

// connect makes a socket and begins to connect it. A write that follows at once succeeds where the
// server is near.
func (l *loop) connect(c *conn) error {
	kind := unix.SOCK_STREAM
	if l.run.Network == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(l.family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.fd, c.interest = fd, 0
	if l.family == unix.AF_UNIX {
		if err := l.connectUnix(fd); err != nil {
			l.hangUp(c)
			return err
		}
		return nil
	}
	if l.run.Network == RESP {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			l.hangUp(c)
			return os.NewSyscallError("setsockopt", err)
		}
	}
	err = unix.Connect(fd, l.peer)
	if err == unix.EINPROGRESS {
		err = nil
	}
	if err == nil && l.isPeer(fd) {
		err = unix.ECONNREFUSED
	}
	if err != nil {
		l.hangUp(c)
		return os.NewSyscallError("connect", err)
	}
	return nil
}

// connectUnix connects a unix socket, with a wait until the server's queue has room: without one
// that fails at once, and nothing says when there is room.
func (l *loop) connectUnix(fd int) error {
	wait := unix.NsecToTimeval(int64(l.run.Timeout))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	err := unix.Connect(fd, l.peer)
	for err == unix.EINTR {
		err = unix.Connect(fd, l.peer)
	}
	if err != nil {
		return os.NewSyscallError("connect", err)
	}
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
}

// isPeer reports whether a socket was connected to itself: where nobody listens the system may
// choose the very port that is asked as the one to ask from.
func (l *loop) isPeer(fd int) bool {
	here, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	switch here := here.(type) {
	case *unix.SockaddrInet4:
		peer, ok := l.peer.(*unix.SockaddrInet4)
		return ok && here.Port == peer.Port && here.Addr == peer.Addr
	case *unix.SockaddrInet6:
		peer, ok := l.peer.(*unix.SockaddrInet6)
		return ok && here.Port == peer.Port && here.Addr == peer.Addr
	}
	return false
}

func (l *loop) hangUp(c *conn) {
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // which takes it out of the epoll set
		c.fd = -1
	}
	c.unsent, c.part = c.unsent[:0], c.part[:0]
	c.ended()
}

// want tells epoll what to wait for on a connection.
func (l *loop) want(c *conn, interest uint32) error {
	if c.interest == interest {
		return nil
	}
	var err error
	if c.interest == 0 {
		err = l.poll.Add(c.fd, interest, c.slot, 0)
	} else {
		err = l.poll.Modify(c.fd, interest, c.slot, 0)
	}
	if err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.interest = interest
	return nil
}

// drive runs until nothing is left to send and nothing is under way.
func (l *loop) drive() {
	now := l.run.now()
	for i := range l.conns {
		l.next(&l.conns[i], now)
	}
	for l.busy+len(l.idle)+len(l.paused) > 0 {
		for _, e := range l.poll.Wait(l.longestWait()) {
			if e.Fd == timerSlot {
				_, _ = epoll.Read(l.timer, l.scratch[:]) // that it went off is all there is to know
				l.armed = 0
			} else {
				l.handle(&l.conns[e.Fd], e.Events)
			}
		}
		now := l.run.now()
		if now-l.swept >= int64(sweepEvery) {
			l.sweep(now)
		}
		l.wake(now)
		if turn := time.Duration(now); turn >= l.courtesy.Due {
			l.courtesy.Yield(turn)
		}
	}
}

// longestWait is how long to wait for events.
func (l *loop) longestWait() time.Duration {
	if len(l.paused) > 0 {
		return pause
	}
	return sweepEvery
}

// sweep gives up what has waited too long.
func (l *loop) sweep(now int64) {
	l.swept = now
	for i := range l.conns {
		if c := &l.conns[i]; c.busy && now >= c.deadline {
			l.lose(c, unknown, l.run.timedOut(), now)
		}
	}
}

// wake goes on with connections that were paused long enough, and with idle ones when requests are
// due.
func (l *loop) wake(now int64) {
	paused := l.paused
	l.paused = l.paused[:0]
	for _, c := range paused {
		if now < c.resume && !l.run.schedule.stopped.Load() {
			l.paused = append(l.paused, c)
		} else {
			l.next(c, now)
		}
	}
	for n := len(l.idle); n > 0; n-- {
		c := l.idle[0]
		l.idle = l.idle[1:]
		if !l.next(c, now) && len(l.idle) > 0 && l.idle[len(l.idle)-1] == c {
			return // none is due for the others either
		}
	}
}

// next makes the next requests of a connection that has nothing under way, and reports whether
// there were any to make.
func (l *loop) next(c *conn, now int64) bool {
	out, wait := l.begin(&c.inFlight, l.out[:0], now)
	l.out = out[:0]
	switch {
	case wait < 0: // the end
		l.hangUp(c)
		return false
	case wait > 0:
		l.idle = append(l.idle, c)
		l.alarm(now, wait)
		return false
	}
	l.busy++
	c.busy, c.started, c.deadline = true, false, now+int64(l.run.Timeout)
	if c.fd < 0 {
		if err := l.connect(c); err != nil {
			l.lose(c, notSent, err, now)
			return true
		}
	}
	l.write(c, out, now)
	return true
}

// alarm sets the timer, unless it goes off early enough.
func (l *loop) alarm(now, wait int64) {
	if at := now + wait; l.armed == 0 || at < l.armed {
		l.armed = at
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(wait)}
		_ = unix.TimerfdSettime(l.timer, 0, &spec, nil) // fails for wrong arguments only; the sweep comes anyway
	}
}

// write sends requests. What the socket does not take is sent when it does.
func (l *loop) write(c *conn, out []byte, now int64) {
	n, err := epoll.Write(c.fd, out, false)
	if err == unix.EAGAIN {
		n, err = 0, nil
	}
	if err != nil {
		l.lose(c, unknown, os.NewSyscallError("write", err), now)
		return
	}
	c.started = c.started || n > 0
	c.unsent = append(c.unsent[:0], out[n:]...)
	interest := uint32(unix.EPOLLIN)
	switch {
	case len(c.unsent) > 0:
		interest = unix.EPOLLIN | unix.EPOLLOUT
	case l.run.door.perRequest():
		interest = unix.EPOLLRDHUP // the answer and its end in one event
	}
	if err := l.want(c, interest); err != nil {
		l.lose(c, unknown, err, now)
	}
}

// lose ends what is under way on a connection, and the connection. Nothing of requests that were
// not even begun to be written can have been counted, whatever class the caller fears.
func (l *loop) lose(c *conn, cl class, err error, now int64) {
	if !c.started {
		cl = notSent
	}
	l.fail(&c.inFlight, cl, err)
	l.hangUp(c)
	l.pause(c, now)
}

// pause pauses a connection that was busy, after a failure. Others are idle or paused already, and
// stay that.
func (l *loop) pause(c *conn, now int64) {
	if c.busy {
		l.busy--
		c.busy, c.resume = false, now+int64(pause)
		l.paused = append(l.paused, c)
	}
}

// handle does what a connection has become ready for.
func (l *loop) handle(c *conn, events uint32) {
	if c.fd < 0 {
		return
	}
	if len(c.unsent) > 0 && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		l.write(c, append(l.out[:0], c.unsent...), l.run.now())
		if c.fd < 0 {
			return
		}
		events &^= unix.EPOLLOUT
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	begun := copy(l.buffer[:], c.part)
	n, err := epoll.Read(c.fd, l.buffer[begun:])
	now := l.run.now()
	if err == unix.EAGAIN {
		return
	}
	data, ended := l.buffer[:begun+max(n, 0)], n == 0
	switch {
	case err == unix.ECONNREFUSED && l.run.Network == UDP:
		l.lose(c, notSent, os.NewSyscallError("read", err), now) // the system says that nobody listens there
	case err != nil:
		l.lose(c, unknown, os.NewSyscallError("read", err), now)
	case l.run.Network == UDP:
		l.take(c, data, true, now)
	case l.run.Network == RESP && ended && c.busy && l.run.door.untilEnd(data):
		l.take(c, data, true, now)
	case l.run.Network == RESP && ended && c.busy:
		l.lose(c, unknown, errNoAnswer, now)
	case l.run.Network == RESP && !c.busy && (ended || l.run.door.untilEnd(data)):
		l.hangUp(c) // it connects again for its next requests
	case l.run.Network == RESP:
		l.take(c, data, false, now)
	case ended || events&unix.EPOLLRDHUP != 0 && events&unix.EPOLLERR == 0 && n < readBuffer-begun:
		l.take(c, data, true, now) // all of it
	case len(data) > longAnswer:
		l.lose(c, unknown, errTwoAnswers, now)
	default:
		c.part = append(c.part[:0], data...)
	}
}

// take takes the answers that have arrived, and makes the next requests when all are there.
func (l *loop) take(c *conn, data []byte, whole bool, now int64) {
	rest, err := l.receive(&c.inFlight, data, whole, now)
	if err != nil {
		l.lose(c, classOf(err), err, now)
		return
	}
	c.part = append(c.part[:0], rest...)
	if !c.busy || !c.done() {
		return
	}
	if l.run.door.perRequest() {
		l.hangUp(c)
	}
	if c.troubled {
		l.pause(c, now)
		return
	}
	l.busy--
	c.busy = false
	l.next(c, now)
}
