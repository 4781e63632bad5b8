package server

import (
	"gcd/store"
	"gcd/store/core"
)

// Backend makes groups of operations durable, in one order for all. A *store.Store is one.
//
// A group belongs to the backend until it calls the group's Done, once, on the goroutine that owns
// the commit. That may be inside the call that handed the group over.
type Backend interface {
	// Submit takes a group from any goroutine; somebody else commits it.
	Submit(g *core.Group)
	// Enqueue takes groups and, when it returns true, makes the caller the commit owner, who must
	// call Round. It keeps nothing of the slice itself.
	Enqueue(gs ...*core.Group) bool
	// Round commits what waits and calls its Dones, then ends the caller's ownership.
	Round()
	// Fits tells whether operations can be a whole group (core.Group.Whole).
	Fits(ops []core.Op) bool
	// Failed is closed when the backend can acknowledge nothing any more.
	Failed() <-chan struct{}

	// Refusing is why nothing can be counted just now, an error of an Op's, or nil. It costs next
	// to nothing.
	Refusing() error

	// What RESP reads: everything that was acknowledged before, and nothing that is not durable.

	// WholeVersion is odd while whole groups come into effect. With the same even one before and
	// after them the reads below saw none half.
	WholeVersion() uint64
	// GetBytes returns the state of a topic, and whether it was ever counted or reset.
	GetBytes(topic []byte) (core.Value, bool)
	// Live is the number of topics whose sum is not 0.
	Live() int
	// Scan calls each with at most limit topics and returns the cursor to go on with, 0 at the end;
	// 0 begins. A cursor is at most maxCursor.
	Scan(cursor uint64, limit int, each func(topic []byte, v core.Value)) uint64
	// Stats are the backend's figures, and Options how it was opened.
	Stats() store.Stats
	Options() store.Options
}

// unloaded is the backend of a server that loads its counters: the gate lets no request through to
// it.
type unloaded struct{}

func (unloaded) Submit(*core.Group)                                {}
func (unloaded) Enqueue(...*core.Group) bool                       { return false }
func (unloaded) Round()                                            {}
func (unloaded) Fits([]core.Op) bool                               { return true }
func (unloaded) Failed() <-chan struct{}                           { return nil }
func (unloaded) Refusing() error                                   { return nil }
func (unloaded) WholeVersion() uint64                              { return 0 }
func (unloaded) GetBytes([]byte) (core.Value, bool)                { return core.Value{}, false }
func (unloaded) Live() int                                         { return 0 }
func (unloaded) Scan(uint64, int, func([]byte, core.Value)) uint64 { return 0 }
func (unloaded) Stats() store.Stats                                { return store.Stats{} }
func (unloaded) Options() store.Options                            { return store.Options{} }
