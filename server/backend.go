package server

import (
	"errors"

	"gcd/codec"
	"gcd/store"
)

// Backend makes groups of operations durable, in one order for all. A *store.Store is one.
//
// A group belongs to the backend until it calls the group's Done, once, on the goroutine that owns the commit. That may be
// inside the call that handed the group over.
type Backend interface {
	// Submit takes a group from any goroutine; somebody else commits it.
	Submit(g *store.Group)
	// Enqueue takes groups and, when it returns true, makes the caller the commit owner, who must call Round. It keeps
	// nothing of the slice itself.
	Enqueue(gs ...*store.Group) bool
	// Round commits what waits and calls its Dones, then ends the caller's ownership.
	Round()
	// Fits tells whether operations can be a whole group (store.Group.Whole).
	Fits(ops []store.Op) bool
	// Failed is closed when the backend can acknowledge nothing any more.
	Failed() <-chan struct{}

	// Refusing is why nothing can be counted just now, an error of an Op's, or nil. It costs next
	// to nothing.
	Refusing() error

	// What RESP reads: everything that was acknowledged before, and nothing that is not durable.

	// WholeVersion is odd while whole groups come into effect. With the same even one before and
	// behind them the reads below saw none half.
	WholeVersion() uint64
	// GetBytes returns the state of a topic, and whether it was ever counted or reset.
	GetBytes(topic []byte) (store.Value, bool)
	// Live is the number of topics whose sum is not 0.
	Live() int
	// Scan calls each with at most limit topics and returns the cursor to go on with, 0 at the end; 0 begins. A cursor is at most maxCursor.
	Scan(cursor uint64, limit int, each func(topic []byte, v store.Value)) uint64
	// Stats are the backend's figures, and Options how it was opened.
	Stats() store.Stats
	Options() store.Options
}

// errTooManyRequests is the outcome of operations for which admit had no places.
var errTooManyRequests = errors.New("server: too many requests in flight")

// codeOf translates why an operation was not done. It returns false when the outcome is unknown: then nothing may be
// answered, for every answer would be a claim.
func codeOf(err error) (codec.Code, bool) {
	switch {
	case errors.Is(err, store.ErrUnknown):
		return 0, false
	case errors.Is(err, store.ErrOverflow):
		return codec.CodeSumAtMaximum, true
	case errors.Is(err, store.ErrTopicTooLong):
		return codec.CodeTopicTooLong, true
	case errors.Is(err, store.ErrTooManyTopics):
		return codec.CodeTooManyTopics, true
	case errors.Is(err, store.ErrLogFull):
		return codec.CodeNoRoom, true
	case errors.Is(err, store.ErrClosed):
		return codec.CodeShuttingDown, true
	case errors.Is(err, store.ErrFailed):
		return codec.CodeStoppedAfterError, true
	case err == errTooManyRequests:
		return codec.CodeTooManyRequests, true
	}
	// An error that is not ErrUnknown means that nothing was done, whatever it is.
	return codec.CodeMalformed, true
}
