package gate

import "time"

// How much is done at once. Whoever asks for little waits for all that is read, committed and
// answered together with his request, so what others ask for at that moment must be little, too;
// and where nobody does, much at once is cheaper. So connections with long pipelines, and floods of
// new connections and of datagrams, have long turns only while nobody has asked for little lately.
const (
	// MaxTurnOps is how many operations a turn of one connection has; one command alone may have
	// more.
	MaxTurnOps  = 4096
	LittleOps   = 8                      // operations of a turn of who asks for little, and what any turn may have
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

	// Operations of all connections together in one turn: 256 pipelines of 128 are not cut.
	fullTurnOps   = 16 * MaxTurnOps
	sharedTurnOps = 128 // the same, while somebody asks for little

	// Connections that a loop accepts before it looks after those that it has. While a conversation
	// asks for little, eight cost about what its commit does.
	acceptBatch       = 256
	sharedAcceptBatch = 8

	// sharedInFlight is how many requests may be in flight while somebody asks for little and new
	// connections and datagrams are taken: what waits for the next commit makes it longer. The
	// system keeps the others meanwhile, and looks at each OverfullPause.
	sharedInFlight = 64
	OverfullPause  = time.Millisecond

	// mostMigrating is how many connections may be on their way to the loop that serves them: it
	// begins with all of them in one turn.
	mostMigrating = 16

	// Datagrams that a turn receives, so that connections get theirs.
	datagramsAtOnce       = 512
	sharedDatagramsAtOnce = 32
)

// Asker is what somebody is like who asks for something.
type Asker uint8

const (
	Greedy Asker = iota // asks for much
	Modest              // asks for little
	// Talker asks for little over a connection that is kept. Those who come by new connections and
	// datagrams are no reason to take less of these.
	Talker
	askers
)

// TurnTime is how long the turn of a connection may take with what is answered at once, and
// commands are how many there are between two looks at the clock.
func (g *Gate) TurnTime(now time.Duration) (long time.Duration, commands int) {
	if g.IsShared(now) {
		return g.SharedTime, 1
	}
	return g.FullTime, timedCommands
}

// AtOnce is how many new connections and datagrams one turn takes: none while so much is in flight,
// or so many connections are on their way to the loop that serves them, that others have to wait.
func (g *Gate) AtOnce(now time.Duration) (connections, datagrams int) {
	last := g.asked[Talker].Load()
	switch {
	case g.Migrating.Load() > mostMigrating:
		return 0, 0
	case last == 0 || int64(now)-last >= int64(lately): // nobody talks
		return acceptBatch, datagramsAtOnce
	case g.inFlight.Load() > sharedInFlight:
		return 0, 0
	}
	return sharedAcceptBatch, sharedDatagramsAtOnce
}

// NoteLittle remembers that somebody asks for little, who is not greedy, if that is not known from
// just before.
func (g *Gate) NoteLittle(now time.Duration, who Asker) {
	if int64(now)-g.asked[who].Load() <= int64(remembering) {
		return
	}
	g.asked[Modest].Store(int64(now))
	if who == Talker {
		g.asked[Talker].Store(int64(now))
	}
}

// IsConversing tells whether somebody who talks has asked for little lately.
func (g *Gate) IsConversing(now time.Duration) bool {
	last := g.asked[Talker].Load()
	return last > 0 && int64(now)-last < int64(lately)
}

// IsShared tells whether anybody has.
func (g *Gate) IsShared(now time.Duration) bool {
	last := g.asked[Modest].Load()
	return last > 0 && int64(now)-last < int64(lately)
}

// LoopTime is how long a turn of a loop may go on with connections that ask for much.
func (g *Gate) LoopTime(now time.Duration) time.Duration {
	if g.IsShared(now) {
		return g.SharedLoopTime
	}
	return g.FullLoopTime
}
