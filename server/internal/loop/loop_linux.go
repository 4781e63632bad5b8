// Package loop is the dispatch by readiness loops (Linux): a few goroutines that never wait but in
// epoll_wait and, if they own the commit, for the disk.
package loop

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gcd/internal/epoll"
	"gcd/internal/sched"
	"gcd/server/internal/counter"
	"gcd/server/internal/gate"
	"gcd/server/internal/redis"
	"gcd/server/internal/session"
	"gcd/server/internal/socket"
	"gcd/store/core"
)

// loop is one worker of a pool. A turn of it reads everything that is ready, gives all requests to
// the backend as one list, commits them itself if nobody else is committing, and writes the answers
// of everything that was committed meanwhile, by whomever. Its fields belong to its goroutine where
// nothing else is said.
type loop struct {
	p           *Pool
	poll        *epoll.Poller
	completions completions
	began       time.Time // of the gate's clock
	courtesy    sched.Courtesy

	scratch []byte         // what a read returns, counter.MaxRead bytes
	groups  []*core.Group  // this turn's requests
	worker  session.Worker // its tally has the time, read once a turn
	tally   *gate.Tally    // the worker's
	redis   *redis.Worker  // nil: RESP is off
	spare   []completion   // the other room of completions

	again, spareAgain []later // those that go on in the next turn, and the list's other room
	looking           []later // likewise, with topics to look at

	conns []*conn // by slot
	free  []*conn // closed ones, to be used again
	open  int     // those that are not closed

	settling, reading, writing, greeting, lingering timers
	due                                             time.Duration // of the timers' first, or earlier

	datagrams *datagramDoor // nil when off
	behind    bool          // this turn left something in a shared socket
	waits     bool          // the shared sockets are not watched, since too much is in flight
	parted    bool          // it has told its connections that what has arrived is the last

	isHome        bool         // of conversations; only read from Run on
	conversations atomic.Int32 // that are here, or on their way

	phase        atomic.Int32 // a phase; lease.enter begins it, and commit ends a committing one
	sleeperIndex int          // guarded by lease.mu: its place among the sleepers, while it sleeps
}

// never is when a timer is due that there is not.
const never time.Duration = math.MaxInt64

// later is a connection that goes on later, unless it was closed since.
type later struct {
	c          *conn
	generation int32
}

// The tokens of what is no connection in a poller. A connection's token is its slot, which is never
// negative.
const (
	alarmToken     = -1 // the lease's
	listenerToken  = -2
	datagramsToken = -3
	wakeToken      = -4
)

// mostEvents is how many sockets a loop finds ready at once.
const mostEvents = 256

func newLoop(p *Pool) (*loop, error) {
	poll, err := epoll.New(mostEvents)
	if err != nil {
		return nil, fmt.Errorf("server: epoll_create: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		poll.Close()
		return nil, fmt.Errorf("server: eventfd: %w", err)
	}
	o := &p.o
	l := &loop{
		p: p, poll: poll,
		completions: completions{wakeFD: wakeFD},
		began:       o.Gate.Began,
		due:         never,
		scratch:     make([]byte, counter.MaxRead),
		worker:      session.Worker{Gate: o.Gate, Tally: o.Gate.Tally(false)},
	}
	l.tally = &l.worker.Tally
	l.settling = timers{wait: o.Settle, due: &l.due}
	l.reading = timers{wait: o.ReadTimeout, due: &l.due}
	l.writing = timers{wait: o.WriteTimeout, due: &l.due}
	l.greeting = timers{wait: o.FirstByte, due: &l.due}
	l.lingering = timers{wait: o.Linger, due: &l.due}
	if o.Redis != nil {
		l.redis = o.Redis.NewWorker(&l.worker, false)
	}
	err = poll.Add(wakeFD, unix.EPOLLIN|unix.EPOLLET, wakeToken, 0)
	if err != nil {
		l.close()
		return nil, fmt.Errorf("server: epoll_ctl: %w", err)
	}
	if p.datagrams >= 0 {
		l.datagrams = newDatagramDoor(l, p.datagrams)
	}
	return l, nil
}

func (l *loop) close() {
	l.completions.close()
	l.poll.Close()
}

func (l *loop) run() {
	for {
		for _, ev := range l.wait() {
			l.handle(ev)
		}
		if len(l.again)+len(l.looking) > 0 {
			l.goOn()
		}
		if l.tally.Now >= l.due {
			l.expire()
		}
		l.commit()
		if l.redis != nil && l.redis.Talked {
			l.redis.Flush(time.Since(l.began) - l.tally.Now)
		}
		if l.tally.Now >= l.courtesy.Due {
			l.courtesy.Yield(l.tally.Now)
		}
		if stage := l.p.stage.Load(); stage != serving && l.end(stage) {
			return
		}
	}
}

// wait returns what is ready. It sleeps until something is, unless there is something else to do.
func (l *loop) wait() (events []unix.EpollEvent) {
	if l.waits {
		if room, _ := l.p.o.Gate.AtOnce(time.Since(l.began)); room > 0 {
			l.waits = !l.p.lease.letGo(l)
		}
	}
	sleeps := len(l.groups) == 0 && len(l.again) == 0 && len(l.looking) == 0
	if sleeps {
		l.completions.asleep.Store(true) // before it looks: what comes later wakes it
		if l.completions.ready.Load() {
			sleeps = false
			l.completions.asleep.Store(false)
		}
	}
	if sleeps {
		most := time.Duration(-1)
		if l.waits {
			most = gate.OverfullPause
		} else if l.due != never {
			most = max(0, l.due-time.Since(l.began))
		}
		l.p.lease.enter(l, asleep, false)
		events = l.poll.Wait(most)
		l.p.lease.enter(l, working, false)
		l.completions.asleep.Store(false)
	} else {
		events = l.poll.Wait(0)
	}
	l.tally.Now = time.Since(l.began)
	return events
}

// handle does what one event asks for.
func (l *loop) handle(ev unix.EpollEvent) {
	switch ev.Fd {
	case wakeToken:
	case alarmToken:
		l.p.lease.alarmed(l)
	case listenerToken, datagramsToken:
		connections, datagrams := l.p.o.Gate.AtOnce(l.tally.Now)
		switch {
		case connections == 0:
			l.waits = true
			l.p.lease.hold(l)
		case ev.Fd == listenerToken:
			l.behind = l.accept(connections) || l.behind
		default:
			l.behind = l.datagrams.receive(datagrams) || l.behind
		}
	default:
		if c := l.conns[ev.Fd]; c.generation == ev.Pad {
			c.hung = c.hung || ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
			c.broken = c.broken || ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
			c.unread = true
			switch {
			case c.state == lingering:
				c.discard()
			case c.state != reading && c.state != writing, c.queued:
			case c.state == reading && c.greedy && l.spent(): // it comes after those that wait already
				c.goOnLater(&l.again)
			default:
				c.advance()
			}
		}
	}
}

// spent says that the turn has taken as long as it may with those who ask for much: the others of
// them wait for the next one.
func (l *loop) spent() bool {
	return time.Since(l.began)-l.tally.Now >= l.p.o.Gate.LoopTime(l.tally.Now)
}

// goOn gives their turns to the connections that did not get through in the last one. At least one
// has its turn. Those who look at topics share a little time of each turn.
func (l *loop) goOn() {
	if len(l.again) > 0 {
		list := l.again
		l.again = l.spareAgain[:0]
		for i, a := range list {
			if i > 0 && l.spent() {
				l.again = slices.Insert(l.again, 0, list[i:]...) // they are first in the next turn
				break
			}
			l.goOnWith(a, false)
		}
		clear(list)
		l.spareAgain = list[:0]
	}
	if len(l.looking) == 0 {
		return
	}
	began := time.Now()
	for range len(l.looking) { // those who look on come after the others
		a := l.looking[0]
		l.looking = l.looking[1:]
		if l.goOnWith(a, true); time.Since(began) >= l.p.o.Gate.SharedLoopTime {
			return
		}
	}
}

// goOnWith is the turn of a connection, unless it was closed since: the descriptor of one that was
// may be anything's.
func (l *loop) goOnWith(a later, looks bool) {
	c := a.c
	if c.generation != a.generation || c.state != reading {
		return
	}
	c.queued = false
	if looks && c.broken {
		l.p.o.Gate.Happened(gate.LostAnswer, c.peer, "the connection broke before the answer was made")
		c.close(nil)
		return
	}
	c.advance()
}

// expire does what has become due.
func (l *loop) expire() {
	for c := l.settling.expired(l.tally.Now); c != nil; c = l.settling.expired(l.tally.Now) {
		c.settled()
	}
	for _, ts := range [...]*timers{&l.reading, &l.greeting} {
		for c := ts.expired(l.tally.Now); c != nil; c = ts.expired(l.tally.Now) {
			c.late()
		}
	}
	for c := l.writing.expired(l.tally.Now); c != nil; c = l.writing.expired(l.tally.Now) {
		l.p.o.Gate.Happened(gate.LostAnswer, c.peer, "write deadline")
		c.close(nil)
	}
	for c := l.lingering.expired(l.tally.Now); c != nil; c = l.lingering.expired(l.tally.Now) {
		c.close(nil)
	}
	l.due = never
	for _, ts := range [...]*timers{&l.settling, &l.reading, &l.writing, &l.greeting, &l.lingering} {
		if ts.first != nil {
			l.due = min(l.due, ts.first.due)
		}
	}
}

// commit gives this turn's requests to the backend, and finishes what was committed, by whomever:
// answers go out. If nobody is committing, this thread does it here and now. What it has left in
// the shared sockets is a reason to share the work with another loop, but not while a conversation
// asks for little: that would wait for the commits of both.
func (l *loop) commit() {
	behind := l.behind
	l.behind = false
	if len(l.groups) > 0 {
		l.tally.Flush()
		backend := l.p.o.Backend()
		owner := backend.Enqueue(l.groups...)
		clear(l.groups)
		l.groups = l.groups[:0]
		if owner {
			l.p.lease.enter(l, committing, behind && !l.p.o.Gate.IsConversing(l.tally.Now))
			backend.Round()
			l.phase.Store(int32(working))
		}
	}
	items := l.completions.take(l.spare)
	for _, one := range items {
		one.advance()
	}
	clear(items)
	l.spare = items[:0]
	l.tally.Flush()
}

// end goes on with parting or aborting, and tells whether nothing is left.
func (l *loop) end(stage int32) bool {
	if stage == parting && !l.parted {
		l.parted = true
		l.p.lastCall.Do(l.shutDoors)
		for _, c := range l.conns {
			if c.state == reading && !c.queued {
				c.advance()
			}
		}
	}
	if stage == aborting {
		l.abandon()
		return true
	}
	return stage == parting && l.open == 0 && (l.datagrams == nil || l.datagrams.outstanding == 0) &&
		l.completions.closeEmpty()
}

// abandon ends everything at once. What the backend has it keeps.
func (l *loop) abandon() {
	for _, c := range l.conns {
		c.close(nil)
	}
	for _, g := range l.groups { // of those who came in this turn: the backend never gets it
		g.Done(g)
	}
	l.groups = nil
	l.tally.Flush()
	for _, one := range l.completions.close() {
		one.drop()
	}
}

// shutDoors looks for the last time at the shared sockets, when nothing more gets in.
func (l *loop) shutDoors() {
	if l.p.listener >= 0 {
		most := socket.WholeQueue
		if err := socket.CloseDoor(l.p.listener); err != nil {
			l.p.o.Logger.Debug("the listening socket goes on to take connections until it is closed", "error", err)
			most = socket.UsualQueue
		}
		l.accept(most)
		_ = unix.Shutdown(l.p.listener, unix.SHUT_RDWR)
	}
	if l.datagrams != nil {
		most := socket.WholeQueue
		if err := socket.CloseBox(l.p.datagrams); err != nil {
			l.p.o.Logger.Debug("the socket for datagrams goes on to take them until it is closed", "error", err)
			most = socket.UsualQueue
		}
		for n := 0; n < most && l.datagrams.receive(batchSize); n += batchSize {
		}
	}
}
