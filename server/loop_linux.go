package server

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gcd/codec"
	"gcd/internal/priority"
	"gcd/store"
)

// loop is one worker of a pool. A turn of it reads everything that is ready, gives all requests to the backend as one
// list, commits them itself if nobody else is committing, and writes the answers of everything that was committed
// meanwhile, by whomever. Its fields belong to its goroutine where nothing else is said.
type loop struct {
	p     *pool
	s     *Server
	poll  *poller
	mail  mailbox
	epoch time.Time
	now   time.Duration // since epoch, read once a turn
	stint priority.Stint

	scratch []byte         // what a read returns, maxRead bytes
	groups  []*store.Group // this turn's requests
	tally   tally
	times   commandTimes
	in, out int        // bytes of this turn that the server has not been told of
	spare   []finisher // the mailbox's other room

	again, spareAgain []*conversation // those that go on in the next turn, and the list's other room
	looking           []*conversation // likewise, with topics to look at
	exchanges         []*loopExchange // that nobody uses
	spareBytes        int             // that those hold

	handler handler   // of new streams
	streams []*stream // by slot
	free    []*stream // closed ones, to be used again
	open    int       // streams that are not closed

	settling, reading, writing, greeting, lingering timers

	packets *packetDoor // nil when off
	// fullLoopTime and sharedLoopTime, except in a test.
	fullTime, sharedTime time.Duration

	talked bool // this turn had commands of RESP
	behind bool // this turn left something in a shared socket
	waits  bool // the shared sockets are not watched, since too much is in flight

	parted bool // it has told its streams that what has arrived is the last

	isHome        bool         // of conversations; only read from begin on
	conversations atomic.Int32 // that are here, or on their way
	committing    atomic.Bool  // it may wait for the disk

	bed int // guarded by watch.mu: its place among the sleepers, while it sleeps
}

func newLoop(p *pool) (*loop, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		poll.close()
		return nil, fmt.Errorf("server: eventfd: %w", err)
	}
	o := &p.s.opts
	l := &loop{
		p: p, s: p.s, poll: poll, epoch: p.s.began,
		mail:     mailbox{wakeFD: wakeFD},
		scratch:  make([]byte, maxRead),
		tally:    tally{s: p.s},
		handler:  oneMessage{},
		fullTime: fullLoopTime, sharedTime: sharedLoopTime,
		settling:  timers{wait: o.Settle},
		reading:   timers{wait: o.ReadTimeout},
		writing:   timers{wait: o.WriteTimeout},
		greeting:  timers{wait: p.s.firstByte},
		lingering: timers{wait: p.s.linger},
	}
	err = poll.add(wakeFD, unix.EPOLLIN|unix.EPOLLET, wakeToken, 0)
	if err != nil {
		l.close()
		return nil, err
	}
	if p.packets >= 0 {
		l.packets = newPacketDoor(l, p.packets)
	}
	return l, nil
}

func (l *loop) close() {
	l.mail.close()
	l.poll.close()
}

func (l *loop) run() {
	for {
		for _, ev := range l.wait() {
			l.handle(ev)
		}
		l.goOn()
		l.expire()
		l.commit()
		l.deliver()
		l.account()
		l.stint.Turn(l.now)
		if stage := l.p.stage.Load(); stage != serving && l.end(stage) {
			return
		}
	}
}

// wait returns what is ready. It sleeps until something is, unless there is something else to do.
func (l *loop) wait() []unix.EpollEvent {
	var events []unix.EpollEvent
	if l.waits && !l.s.overfull(time.Since(l.epoch)) {
		l.waits = !l.p.watch.letGo(l)
	}
	if len(l.groups) == 0 && len(l.again) == 0 && len(l.looking) == 0 && l.mail.sleep() {
		l.p.watch.sleep(l)
		events = l.poll.wait(l.untilDue())
		l.p.watch.awake(l)
		l.mail.awake()
	} else {
		events = l.poll.ready()
	}
	l.now = time.Since(l.epoch)
	return events
}

// handle does what one event asks for.
func (l *loop) handle(ev unix.EpollEvent) {
	switch ev.Fd {
	case wakeToken:
	case alarmToken:
		l.p.watch.alarmed(l)
	case listenerToken, packetsToken:
		if l.s.overfull(l.now) {
			l.waits = true
			l.p.watch.hold(l)
			return
		}
		l.takeNew(ev.Fd)
	default:
		if c := l.streams[ev.Fd]; c.generation == ev.Pad {
			c.hung = c.hung || ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
			c.broken = c.broken || ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
			l.step(c, c.ready)
		}
	}
}

// takeNew takes what has arrived at one of the shared sockets.
func (l *loop) takeNew(token int32) {
	if token == listenerToken {
		l.behind = l.accept() || l.behind
	} else {
		l.behind = l.packets.receive() || l.behind
	}
}

// step runs one step of a connection. A panic in it costs that connection alone.
func (l *loop) step(c *stream, f func()) {
	if !l.s.guard(c.peer, f) {
		c.close()
	}
}

// spent says that the turn has taken as long as it may with those who ask for much: the others of
// them wait for the next one.
func (l *loop) spent() bool {
	long := l.fullTime
	if isLately(&l.s.askers.anybody, l.now) {
		long = l.sharedTime
	}
	return time.Since(l.epoch)-l.now >= long
}

// goOn gives their turns to the conversations that did not get through in the last one, and were
// not ended since: the descriptor of one that was may be anything's. At least one has its turn.
func (l *loop) goOn() {
	list := l.again
	l.again = l.spareAgain[:0]
	for i, v := range list {
		if i > 0 && l.spent() {
			l.again = slices.Insert(l.again, 0, list[i:]...) // they are first in the next turn
			break
		}
		l.goOnWith(v)
	}
	clear(list)
	l.spareAgain = list[:0]

	if len(l.looking) == 0 {
		return
	}
	began := time.Now()
	for range len(l.looking) { // those who look on come behind the others
		v := l.looking[0]
		l.looking = l.looking[1:]
		if l.goOnWith(v); time.Since(began) >= l.sharedTime {
			return
		}
	}
}

func (l *loop) goOnWith(v *conversation) {
	v.queued = false
	if v.c.handler == v && v.c.state == reading {
		l.step(v.c, v.goOn)
	}
}

// untilDue is how long the loop may sleep: until the next timer, or -1 for as long as nothing happens.
func (l *loop) untilDue() time.Duration {
	due := time.Duration(-1)
	for _, ts := range [...]*timers{&l.settling, &l.reading, &l.writing, &l.greeting, &l.lingering} {
		if ts.first != nil && (due < 0 || ts.first.due < due) {
			due = ts.first.due
		}
	}
	if l.waits {
		return overfullPause
	}
	if due < 0 {
		return -1
	}
	return max(0, due-time.Since(l.epoch))
}

// expire does what has become due.
func (l *loop) expire() {
	for c := l.settling.expired(l.now); c != nil; c = l.settling.expired(l.now) {
		l.step(c, c.settled)
	}
	for c := l.reading.expired(l.now); c != nil; c = l.reading.expired(l.now) {
		l.step(c, func() { c.handler.late(c) })
	}
	for c := l.writing.expired(l.now); c != nil; c = l.writing.expired(l.now) {
		l.s.journal.happened(lostAnswer, c.peer, "write deadline")
		c.close()
	}
	for c := l.greeting.expired(l.now); c != nil; c = l.greeting.expired(l.now) {
		l.step(c, func() { c.handler.late(c) })
	}
	for c := l.lingering.expired(l.now); c != nil; c = l.lingering.expired(l.now) {
		c.close()
	}
}

// commit gives this turn's requests to the backend. If nobody is committing, this thread does it
// here and now. What it has left in the shared sockets is a reason to share the work with another
// loop, but not while a conversation asks for little: that would wait for the commits of both.
func (l *loop) commit() {
	behind := l.behind && !isLately(&l.s.askers.talkers, l.now)
	l.behind = false
	if len(l.groups) == 0 {
		return
	}
	l.tally.settle()
	owner := l.s.backend.Enqueue(l.groups...)
	clear(l.groups)
	l.groups = l.groups[:0]
	if owner {
		l.p.watch.commits(l, behind)
		l.committing.Store(true)
		l.s.backend.Round()
		l.committing.Store(false)
		l.p.watch.committed(l)
	}
}

// deliver finishes what was committed: answers go out.
func (l *loop) deliver() {
	items := l.mail.take(l.spare)
	for _, f := range items {
		f.finish()
	}
	l.tally.settle()
	clear(items)
	l.spare = items[:0]
}

// account tells the server what the turn was.
func (l *loop) account() {
	if l.talked {
		l.talked = false
		l.times.settle(l.s.resp, time.Since(l.epoch)-l.now)
	}
	l.s.traffic.took(l.in)
	l.s.traffic.gave(l.out)
	l.in, l.out = 0, 0
	l.s.noteRates(l.now)
}

// read reads from a socket, and counts the bytes.
func (l *loop) read(fd int, b []byte) (int, error) {
	n, err := readSocket(fd, b)
	l.in += max(0, n)
	return n, err
}

// accept takes new connections and reads from each at once: most clients have sent their request already, and then the
// connection never needs to be watched. It returns true if there may be more.
func (l *loop) accept() bool {
	for range l.s.acceptsAtOnce(l.now) {
		fd, peer, err := l.acceptOne()
		if err == unix.EAGAIN || err != nil && l.p.stage.Load() >= parting {
			return false
		}
		if err != nil {
			l.s.journal.happened(acceptError, netip.AddrPort{}, err)
			if acceptGoesOn(err) {
				continue
			}
			l.p.watch.pause()
			return false
		}
		l.p.watch.accepted()
		l.s.accepted.Add(1)
		code := l.s.conns.acquire(peer.Addr())
		if code != 0 && !l.s.conns.acquireLingering() {
			l.turnAway(fd, peer, code)
			continue
		}
		c := l.newStream(fd, peer)
		if code != 0 {
			c.extra, c.handler = true, surplus{code}
		}
		l.step(c, c.ready)
	}
	return true
}

func (l *loop) acceptOne() (int, netip.AddrPort, error) {
	if l.s.beforeAccept != nil {
		if err := l.s.beforeAccept(); err != nil {
			return -1, netip.AddrPort{}, err
		}
	}
	return acceptSocket(l.p.listener)
}

// turnAway refuses a connection for which not even a place to linger is free: it is told, if it listens.
func (l *loop) turnAway(fd int, peer netip.AddrPort, code codec.Code) {
	n, _ := l.read(fd, l.scratch) // what was sent already would else reset the connection
	said := l.scratch[:max(0, n)]
	l.s.journal.refused(code, peer, said)
	n, _ = writeLast(fd, l.s.appendSurplus(nil, said, code))
	l.out += max(0, n)
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	unix.Close(fd)
}

// end goes on with parting or aborting, and tells whether nothing is left.
func (l *loop) end(stage int32) bool {
	if stage == parting && !l.parted {
		l.parted = true
		l.p.lastCall.Do(l.shutDoors)
		for _, c := range l.streams {
			if c.state == reading {
				l.step(c, func() { c.handler.parting(c) })
			}
		}
	}
	if stage == aborting {
		for _, c := range l.streams {
			if c.state != closed {
				c.abandon()
			}
		}
		for _, g := range l.groups { // of conversations that arrived in this turn: the backend never gets it
			g.Done(g)
		}
		l.groups = nil
		l.tally.settle()
		for _, f := range l.mail.close() {
			f.drop()
		}
		return true
	}
	return stage == parting && l.open == 0 && (l.packets == nil || l.packets.outstanding == 0) && l.mail.closeEmpty()
}

// shutDoors looks for the last time at the shared sockets, when nothing more gets in.
func (l *loop) shutDoors() {
	const most = 1 << 20 // connections, and datagrams: more than any queue has, should closing a socket have failed
	if l.p.listener >= 0 {
		if err := closeDoor(l.p.listener); err != nil {
			l.s.log.Debug("the listening socket goes on to take connections until it is closed", "error", err)
		}
		for n := 0; n < most && l.accept(); n += acceptBatch {
		}
		_ = unix.Shutdown(l.p.listener, unix.SHUT_RDWR)
	}
	if l.packets != nil {
		if err := closeBox(l.p.packets); err != nil {
			l.s.log.Debug("the socket for datagrams goes on to take them until it is closed", "error", err)
		}
		for n := 0; n < most && l.packets.receive(); n += packetsAtOnce {
		}
	}
}
