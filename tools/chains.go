package tools

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"gcd/store"
)

// A chain is what a run of records says of one topic: its changes, each following from the one before, folded.
type chain struct {
	topic     []byte
	first     uint64      // index of the first change
	from      store.Value // that it starts from
	last      uint64      // index of the last one
	at        store.Value // that it leads to
	settled   uint64      // index of the last one that was added as settled; 0: none
	settledAt store.Value // that this one leads to
	time      int64       // of the record of this one, nanoseconds since 1970
}

// chainSize is about what a chain takes in memory beside its topic, in bytes.
const chainSize = 240

// join adds a later run's chain of the same topic.
func (c *chain) join(later *chain) {
	c.last, c.at = later.last, later.at
	if later.settled > 0 {
		c.settled, c.settledAt, c.time = later.settled, later.settledAt, later.time
	}
}

// chains collects chains in memory of bounded size, spills them as sorted runs into a temporary file, and gives them back sorted as the
// entries of a snapshot are.
type chains struct {
	memory int
	open   map[string]*chain
	size   int
	runs   runs           // earlier records first
	sorted merged[*chain] // behind sort
	head   *chain         // what next will return
}

func newChains(dir string, memory int) *chains {
	return &chains{memory: memory, open: map[string]*chain{}, runs: runs{dir: dir}, sorted: merged[*chain]{compare: compareChains}}
}

func compareChains(a, b *chain) int { return store.CompareTopics(a.topic, b.topic) }

// add adds a change of the record with an index and a time. Settled changes come before the others: those that the snapshot is said to have, or those up to the
// index that a dump is of. It is not ok if it does not follow from the state that an earlier change of the present run led to, which is returned.
func (c *chains) add(index uint64, at time.Time, change *store.Change, settled bool) (before store.Value, ok bool, err error) {
	ch := c.open[string(change.Topic)]
	if ch == nil {
		if c.size += len(change.Topic) + chainSize; c.size > c.memory && len(c.open) > 0 {
			if err := c.spill(); err != nil {
				return store.Value{}, false, err
			}
			c.size = len(change.Topic) + chainSize
		}
		ch = &chain{topic: bytes.Clone(change.Topic), first: index, from: change.Before(), at: change.Before()}
		c.open[string(ch.topic)] = ch
	}
	before = ch.at
	ch.last, ch.at = index, change.After()
	if settled {
		ch.settled, ch.settledAt, ch.time = ch.last, ch.at, at.UnixNano()
	}
	return before, before == change.Before(), nil
}

// take empties the map into a sorted list.
func (c *chains) take() []*chain {
	list := make([]*chain, 0, len(c.open))
	for _, ch := range c.open {
		list = append(list, ch)
	}
	clear(c.open)
	slices.SortFunc(list, compareChains)
	return list
}

// spill writes what is collected as a run.
func (c *chains) spill() error {
	return c.runs.write(func(w *bufio.Writer) error {
		var b []byte
		for _, ch := range c.take() {
			b = appendTopic(b[:0], ch.topic)
			for _, n := range ch.numbers() {
				b = binary.AppendUvarint(b, *n)
			}
			b = binary.AppendVarint(b, ch.time)
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// numbers are what a chain has in a run besides topic and time.
func (c *chain) numbers() []*uint64 {
	return []*uint64{&c.first, &c.from.Epoch, &c.from.Sum, &c.last, &c.at.Epoch, &c.at.Sum, &c.settled, &c.settledAt.Epoch, &c.settledAt.Sum}
}

// readChain reads the next chain of a run; io.EOF behind the last.
func readChain(r *bufio.Reader) (*chain, error) {
	topic, err := readTopic(r)
	if err != nil {
		return nil, err
	}
	ch := &chain{topic: topic}
	if err := readNumbers(r, ch.numbers()...); err != nil {
		return nil, err
	}
	ch.time, err = binary.ReadVarint(r)
	return ch, unexpected(err)
}

// sort ends the collecting.
func (c *chains) sort() error {
	for _, r := range c.runs.readers() {
		if err := c.sorted.add(func() (*chain, error) { return readChain(r) }); err != nil {
			return err
		}
	}
	return c.sorted.addList(c.take())
}

// brokenFunc is told of a change that does not follow from the one before it.
type brokenFunc func(topic []byte, index uint64, from, at store.Value) error

// peek is next, without stepping over it.
func (c *chains) peek(broken brokenFunc) (*chain, error) {
	if c.head != nil {
		return c.head, nil
	}
	whole, ok := c.sorted.peek()
	if !ok {
		return nil, nil
	}
	if err := c.sorted.step(); err != nil {
		return nil, err
	}
	for later, ok := c.sorted.peek(); ok && bytes.Equal(later.topic, whole.topic); later, ok = c.sorted.peek() {
		if later.from != whole.at {
			if err := broken(later.topic, later.first, later.from, whole.at); err != nil {
				return nil, err
			}
		}
		whole.join(later)
		if err := c.sorted.step(); err != nil {
			return nil, err
		}
	}
	c.head = whole
	return whole, nil
}

// next returns the next topic's chain over all records; nil at the end.
func (c *chains) next(broken brokenFunc) (*chain, error) {
	ch, err := c.peek(broken)
	c.head = nil
	return ch, err
}

func (c *chains) close() {
	_ = c.runs.close() // nothing of it is kept
}
