package tools

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"time"

	"gcd/store"
)

// A chain is what a run of records says of one topic.
type chain struct {
	topic []byte
	fold
}

// fold is the changes of a chain, each following from the one before, as one.
type fold struct {
	first     uint64      // index of the first change
	from      store.Value // that it starts from
	last      uint64      // index of the last one
	at        store.Value // that it leads to
	settled   uint64      // index of the last one that was added as settled; 0: none
	settledAt store.Value // that this one leads to
	time      int64       // of the record of this one, nanoseconds since 1970
}

// chainSize is about what a chain takes in memory beside its topic, in bytes.
const chainSize = 80 + cellSize

// join adds the later changes of the same topic.
func (f *fold) join(later *fold) {
	f.last, f.at = later.last, later.at
	if later.settled > 0 {
		f.settled, f.settledAt, f.time = later.settled, later.settledAt, later.time
	}
}

// chains collects chains in memory of bounded size, spills them as sorted runs into a temporary file, and gives them back sorted as the
// entries of a snapshot are.
type chains struct {
	memory int
	open   topics[fold]
	size   int
	runs   runs           // earlier records first
	sorted merged[*chain] // behind sort; each source has one chain, which holds its next entry
	whole  chain          // what next will return, if there is one
	ready  bool           // there is
}

func newChains(dir string, memory int, pause pause) *chains {
	return &chains{memory: memory, open: newTopics[fold](memory / chainSize), runs: runs{dir: dir,
		pause: pause}, sorted: merged[*chain]{compare: compareChains}}
}

func compareChains(a, b *chain) int { return store.CompareTopics(a.topic, b.topic) }

// add adds a change of the record with an index and a time. Settled changes come before the others: those that the snapshot is said to have, or those up to the
// index that a dump is of. It is not ok if it does not follow from the state that an earlier change of the present run led to, which is returned.
func (c *chains) add(index uint64, at time.Time, change *store.Change, settled bool) (before store.Value, ok bool, err error) {
	f := c.open.find(change.Topic)
	if f == nil {
		if c.size += len(change.Topic) + chainSize; c.size > c.memory && len(c.open.cells) > 0 {
			if err := c.spill(); err != nil {
				return store.Value{}, false, err
			}
			c.size = len(change.Topic) + chainSize
		}
		f = c.open.add(change.Topic, fold{first: index, from: change.Before(), at: change.Before()})
	}
	before = f.at
	_, held, follows := change.Step(before)
	f.last, f.at = index, change.After()
	if settled {
		f.settled, f.settledAt, f.time = f.last, f.at, at.UnixNano()
	}
	return before, follows && !held, nil
}

// spill writes what is collected as a run.
func (c *chains) spill() error {
	err := c.runs.write(func(w *bufio.Writer) error {
		var b []byte
		for _, i := range c.open.sorted() {
			b = appendTopic(b[:0], c.open.topic(i))
			f := &c.open.cells[i].value
			for _, n := range f.numbers() {
				b = binary.AppendUvarint(b, n)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	c.open.clear()
	return err
}

// foldNumbers is how many numbers a fold is in a run.
const foldNumbers = 10

// numbers are what a chain has in a run besides its topic.
func (f *fold) numbers() [foldNumbers]uint64 {
	return [...]uint64{f.first, f.from.Epoch, f.from.Sum, f.last, f.at.Epoch, f.at.Sum, f.settled, f.settledAt.Epoch, f.settledAt.Sum, uint64(f.time)}
}

// read reads the next chain of a run into c; io.EOF behind the last.
func (c *chain) read(r *bufio.Reader) (err error) {
	if c.topic, err = readTopic(r, c.topic); err != nil {
		return err
	}
	var n [foldNumbers]uint64
	err = readNumbers(r, n[:])
	c.fold = fold{
		first: n[0], from: store.Value{Epoch: n[1], Sum: n[2]},
		last: n[3], at: store.Value{Epoch: n[4], Sum: n[5]},
		settled: n[6], settledAt: store.Value{Epoch: n[7], Sum: n[8]}, time: int64(n[9]),
	}
	return err
}

// sort ends the collecting.
func (c *chains) sort() error {
	readers, err := c.runs.readers()
	if err != nil {
		return err
	}
	for _, r := range readers {
		next := &chain{}
		if err := c.sorted.add(func() (*chain, error) { return next, next.read(r) }); err != nil {
			return err
		}
	}
	last, next := &chain{}, c.open.inOrder()
	return c.sorted.add(func() (_ *chain, err error) {
		last.topic, last.fold, err = next()
		return last, err
	})
}

// brokenFunc is told of a change that does not follow from the one before it.
type brokenFunc func(topic []byte, index uint64, from, at store.Value) error

// peek is next, without stepping over it. What either returns is good until the next call of one of them that is behind a next.
func (c *chains) peek(broken brokenFunc) (*chain, error) {
	if c.ready {
		return &c.whole, nil
	}
	head, ok := c.sorted.peek()
	if !ok {
		return nil, nil
	}
	c.whole.topic, c.whole.fold = append(c.whole.topic[:0], head.topic...), head.fold
	if err := c.sorted.step(); err != nil {
		return nil, err
	}
	for later, ok := c.sorted.peek(); ok && bytes.Equal(later.topic, c.whole.topic); later, ok = c.sorted.peek() {
		if later.from != c.whole.at {
			if err := broken(later.topic, later.first, later.from, c.whole.at); err != nil {
				return nil, err
			}
		}
		c.whole.join(&later.fold)
		if err := c.sorted.step(); err != nil {
			return nil, err
		}
	}
	c.ready = true
	return &c.whole, nil
}

// next returns the next topic's chain over all records; nil at the end.
func (c *chains) next(broken brokenFunc) (*chain, error) {
	ch, err := c.peek(broken)
	c.ready = false
	return ch, err
}

func (c *chains) close() {
	_ = c.runs.close() // nothing of it is kept
}
