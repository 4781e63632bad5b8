package server

import (
	"sync/atomic"
	"time"
)

// How much is done at once. Whoever asks for little waits for all that is read, committed and
// answered together with his request, so what others ask for at that moment must be little, too;
// and where nobody does, much at once is cheaper. So connections with long pipelines, and floods of
// new connections and of datagrams, have long turns only while nobody has asked for little lately.
const (
	littleOps   = 8                      // operations of a turn of who asks for little, and what any turn may have
	lately      = 100 * time.Millisecond // how long somebody is remembered
	remembering = time.Millisecond       // how often that is written down

	// What a command costs that is answered at once, its number does not say: a PING is a hundredth
	// of an INFO. So the time has a bound that a connection's turn takes with such.
	fullTime   = 2 * time.Millisecond
	sharedTime = 100 * time.Microsecond

	// How long a turn of a loop goes on with connections that ask for much. One that is newly come
	// waits for that, and who looks at topics has no more of it than the shared one.
	fullLoopTime   = 8 * time.Millisecond
	sharedLoopTime = time.Millisecond

	// timedCommands is how many commands that are answered at once there are between two looks at
	// the clock, while nobody asks for little.
	timedCommands = 8

	fullTurnOps   = 16 * maxTurnOps // operations of all connections together in one turn: 256 pipelines of 128 are not cut
	sharedTurnOps = 128             // the same, while somebody asks for little

	// Connections that a loop accepts before it looks after those that it has. While a conversation
	// asks for little, eight cost about what its commit does.
	acceptBatch       = 256
	sharedAcceptBatch = 8

	// sharedInFlight is how many requests may be in flight while somebody asks for little and new
	// connections and datagrams are taken: what waits for the next commit makes it longer. The
	// system keeps the others meanwhile, and looks at each overfullPause.
	sharedInFlight = 64
	overfullPause  = time.Millisecond

	// mostMoving is how many connections may be on their way to the loop that serves them: it
	// begins with all of them in one turn.
	mostMoving = 16

	// Datagrams that a turn receives, so that connections get theirs.
	packetsAtOnce       = 512
	sharedPacketsAtOnce = 32
)

// askers remembers when somebody has asked for little. Times are since Server.began.
type askers struct {
	anybody atomic.Int64
	// Over a RESP connection: those that come by new connections and datagrams are no reason to
	// take less of these.
	talkers atomic.Int64
}

// note remembers who asks for little.
func (a *askers) note(now time.Duration, talks bool) {
	remember(&a.anybody, now)
	if talks {
		remember(&a.talkers, now)
	}
}

func remember(at *atomic.Int64, now time.Duration) {
	if int64(now)-at.Load() > int64(remembering) {
		at.Store(int64(now))
	}
}

func isLately(at *atomic.Int64, now time.Duration) bool {
	last := at.Load()
	return last > 0 && int64(now)-last < int64(lately)
}

// turnOps is how many operations the turn of a connection may have: as many as all may, divided by
// how many connections have something in flight with it.
func (s *Server) turnOps(now time.Duration, clients int64) int64 {
	ops := int64(fullTurnOps)
	if isLately(&s.askers.anybody, now) {
		ops = sharedTurnOps
	}
	return min(maxTurnOps, max(littleOps, ops/(clients+1)))
}

// turnTime is how long the turn of a connection may take with what is answered at once, and
// commands are how many there are between two looks at the clock.
func (s *Server) turnTime(now time.Duration) (long time.Duration, commands int) {
	if isLately(&s.askers.anybody, now) {
		return s.sharedTime, 1
	}
	return s.fullTime, timedCommands
}

// acceptsAtOnce is how many connections one turn accepts.
func (s *Server) acceptsAtOnce(now time.Duration) int {
	if isLately(&s.askers.talkers, now) {
		return sharedAcceptBatch
	}
	return acceptBatch
}

// receivesAtOnce is how many datagrams one turn receives.
func (s *Server) receivesAtOnce(now time.Duration) int {
	if isLately(&s.askers.talkers, now) {
		return sharedPacketsAtOnce
	}
	return packetsAtOnce
}

// overfull tells whether so much is in flight, or so many connections are on their way to the loop
// that serves them, that new connections and datagrams have to wait.
func (s *Server) overfull(now time.Duration) bool {
	return s.moving.Load() > mostMoving || s.inFlight.Load() > sharedInFlight && isLately(&s.askers.talkers, now)
}
