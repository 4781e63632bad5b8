package tools

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
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

// chains collects chains in memory of bounded size, spills them as sorted runs into temporary files without names, and gives them back sorted as the
// entries of a snapshot are.
type chains struct {
	dir    string
	memory int
	open   map[string]*chain
	size   int

	runs   []*chainRun // sorted, earlier records first; the last one is in memory
	merged runHeap     // those that are not at their end
	head   *chain      // what next will return
}

func newChains(dir string, memory int) *chains {
	return &chains{dir: dir, memory: memory, open: map[string]*chain{}}
}

// add adds a change of the record with an index and a time. Settled changes come before the others: those that the snapshot is said to have, or those up to the
// index that a dump is of. It is not ok if it does not follow from the state that an earlier change of the present run led to, which is returned.
func (c *chains) add(index uint64, at time.Time, change *store.Change, settled bool) (before store.Value, ok bool, err error) {
	ch := c.open[string(change.Topic)]
	if ch == nil {
		if c.size += len(change.Topic) + chainSize; c.size > c.memory {
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
	slices.SortFunc(list, func(a, b *chain) int { return store.CompareTopics(a.topic, b.topic) })
	return list
}

// spill writes what is collected as a run.
func (c *chains) spill() error {
	file, err := os.CreateTemp(c.dir, "gcd-tool-")
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return errors.Join(fmt.Errorf("temporary file: %w", err), file.Close())
	}
	c.runs = append(c.runs, &chainRun{file: file})
	w := bufio.NewWriterSize(file, 256<<10)
	var b []byte
	for _, ch := range c.take() {
		b = binary.AppendUvarint(b[:0], uint64(len(ch.topic)))
		b = append(b, ch.topic...)
		for _, n := range []uint64{ch.first, ch.from.Epoch, ch.from.Sum, ch.last, ch.at.Epoch, ch.at.Sum, ch.settled, ch.settledAt.Epoch, ch.settledAt.Sum, uint64(ch.time)} {
			b = binary.AppendUvarint(b, n)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("temporary file: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	return nil
}

// sort ends the collecting.
func (c *chains) sort() error {
	c.runs = append(c.runs, &chainRun{list: c.take()})
	for i, run := range c.runs {
		run.order = i
		if run.file != nil {
			if _, err := run.file.Seek(0, io.SeekStart); err != nil {
				return fmt.Errorf("temporary file: %w", err)
			}
			run.r = bufio.NewReaderSize(run.file, 64<<10)
		}
		if err := run.read(); err != nil {
			return err
		}
		if run.head != nil {
			c.merged = append(c.merged, run)
		}
	}
	heap.Init(&c.merged)
	return nil
}

// runHeap has the run with the least topic first, and of those with the same topic the one with the earlier records.
type runHeap []*chainRun

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(run any) { *h = append(*h, run.(*chainRun)) }

func (h runHeap) Less(i, j int) bool {
	order := store.CompareTopics(h[i].head.topic, h[j].head.topic)
	return order < 0 || order == 0 && h[i].order < h[j].order
}

func (h *runHeap) Pop() any {
	last := len(*h) - 1
	run := (*h)[last]
	*h = (*h)[:last]
	return run
}

// pop takes the least chain of all runs.
func (h *runHeap) pop() (*chain, error) {
	run := (*h)[0]
	ch := run.head
	if err := run.read(); err != nil {
		return nil, err
	}
	if run.head == nil {
		heap.Pop(h)
	} else {
		heap.Fix(h, 0)
	}
	return ch, nil
}

// brokenFunc is told of a change that does not follow from the one before it.
type brokenFunc func(topic []byte, index uint64, from, at store.Value) error

// peek is next, without stepping over it.
func (c *chains) peek(broken brokenFunc) (*chain, error) {
	if c.head != nil {
		return c.head, nil
	}
	if len(c.merged) == 0 {
		return nil, nil
	}
	whole, err := c.merged.pop()
	if err != nil {
		return nil, err
	}
	for len(c.merged) > 0 && bytes.Equal(c.merged[0].head.topic, whole.topic) {
		later, err := c.merged.pop()
		if err != nil {
			return nil, err
		}
		if later.from != whole.at {
			if err := broken(later.topic, later.first, later.from, whole.at); err != nil {
				return nil, err
			}
		}
		whole.join(later)
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
	for _, run := range c.runs {
		if run.file != nil {
			_ = run.file.Close() // it has no name, and nothing of it is kept
		}
	}
}

// chainRun is a sorted run, in a temporary file or in memory.
type chainRun struct {
	order int
	file  *os.File // nil: in memory
	r     *bufio.Reader
	list  []*chain // what is left of it, in memory
	head  *chain   // nil at the end
}

func (r *chainRun) read() error {
	if r.file == nil {
		r.head = nil
		if len(r.list) > 0 {
			r.head, r.list = r.list[0], r.list[1:]
		}
		return nil
	}
	n, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		r.head = nil
		return nil
	}
	if err == nil && n > store.MaxTopicLen {
		err = errors.New("it was changed")
	}
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	ch := &chain{topic: make([]byte, n)}
	_, err = io.ReadFull(r.r, ch.topic)
	var at uint64
	for _, to := range []*uint64{&ch.first, &ch.from.Epoch, &ch.from.Sum, &ch.last, &ch.at.Epoch, &ch.at.Sum, &ch.settled, &ch.settledAt.Epoch, &ch.settledAt.Sum, &at} {
		if err == nil {
			*to, err = binary.ReadUvarint(r.r)
		}
	}
	ch.time = int64(at)
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	r.head = ch
	return nil
}
