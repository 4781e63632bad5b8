// Package core decides what operations do to counters: it takes groups of operations, gives each
// its outcome, and makes of them the changes that a log keeps and that a machine applies. It has no
// files, no clock and no goroutines.
package core

import "errors"

// Kind says what an Op does.
type Kind uint8

// The kinds of Op. They never reach the disk; docs/storage.md has the numbers that do.
const (
	Count Kind = 1 // add N to the topic's sum
	Reset Kind = 2 // end the topic's epoch: sum 0, epoch + 1
	// Read reports sum and epoch as they are after every earlier op of the group, and of groups
	// that were submitted before.
	Read Kind = 3
	// Delete is a Reset of a topic that has a sum; one whose sum is 0, or that is not there, stays
	// as it is, and nothing is logged.
	Delete Kind = 4
	// Size is a Read of how many topics have a sum. It has no topic.
	Size Kind = 5
)

// Op is one operation and, once its group's Done was called, its outcome.
type Op struct {
	Kind Kind
	// Topic is not copied: its bytes must not change until the group's Done was called.
	Topic []byte
	// N is how many values a Count takes; 0 means 1.
	N uint64
	// Max refuses a Count whose last value would be above it with ErrOverflow; 0 means 2^64−1.
	Max uint64

	// Sum is, after a Count, the last value it took (the first is Sum−N+1); after a Reset or Delete
	// the sum that the topic had; after a Read the sum; after a Size the number of topics.
	Sum uint64
	// Epoch is the epoch that Sum belongs to.
	Epoch uint64
	// Err is nil for an op whose record is durable and applied. An error that is ErrUnknown means
	// that the op may or may not be found applied after a restart; any other error means that it
	// surely was not applied.
	Err error
}

// Group is a list of ops that take effect in their order, submitted as one. It belongs to the store
// from Submit (or Enqueue) until Done is called, once, when every op has its outcome.
type Group struct {
	Ops []Op
	// Whole keeps the group together: its changes are one record, so that they are durable together
	// or not at all, and no op of another group comes between its own. An op that is refused for
	// its own sake leaves the others; what refuses the record refuses every change, and each Read
	// that saw one. A group that does not fit (Store.Fits) is refused with ErrTooLarge.
	Whole bool

	changed bool // an op that the batch in flight has sequenced changes something

	// Done runs on the goroutine that owns the commit: it must not block and must not call into the
	// store.
	Done func(*Group)

	// Index is, once Done was called, the index of the record that holds the group's changes, the
	// last one if they are in several; 0 if it changed nothing. Whoever knows it can go on from
	// there in the log.
	Index uint64

	next *Group
	pos  int // ops before pos have their outcome, or will have it with the batch in flight
}

// Refuse ends a group that the store does not take: every op has the error, and Done is called.
func (g *Group) Refuse(err error) {
	g.pos, g.Index = 0, 0
	g.refuseRest(err)
	g.Done(g)
}

// refuseRest gives the ops of a group that have no outcome yet an error.
func (g *Group) refuseRest(err error) {
	for ; g.pos < len(g.Ops); g.pos++ {
		op := &g.Ops[g.pos]
		op.Sum, op.Epoch, op.Err = 0, 0, err
	}
}

// List is groups in the order in which they wait.
type List struct{ head, tail *Group }

// Empty says whether nothing waits.
func (l *List) Empty() bool { return l.head == nil }

// Add puts a group at the end.
func (l *List) Add(g *Group) {
	g.next, g.pos, g.Index, g.changed = nil, 0, 0, false
	l.Append(List{g, g})
}

// Append puts another list, which is not used again, at the end.
func (l *List) Append(other List) {
	switch {
	case other.head == nil:
		return
	case l.head == nil:
		l.head = other.head
	default:
		l.tail.next = other.head
	}
	l.tail = other.tail
}

// from leaves out what comes before a group; nil leaves nothing.
func (l *List) from(g *Group) {
	if l.head = g; g == nil {
		l.tail = nil
	}
}

// Value is the state of a topic.
type Value struct {
	Sum, Epoch uint64
}

// The errors of an Op. All but ErrUnknown mean that nothing happened.
var (
	ErrUnknown       = errors.New("store: outcome unknown")
	ErrOverflow      = errors.New("store: sum would exceed its maximum")
	ErrTopicTooLong  = errors.New("store: topic too long")
	ErrTooManyTopics = errors.New("store: too many topics")
	ErrTooLarge      = errors.New("store: the changes of a whole group do not fit into one record")
	ErrLogFull       = errors.New("store: no room to write the log")
	ErrClosed        = errors.New("store: closed")
	ErrFailed        = errors.New("store: stopped after a disk error")
)
