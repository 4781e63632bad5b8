package bytopic

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/tempfile"
)

// A Topic is a topic with what is known of it. All of it is valid until the next one.
type Topic[V any] struct {
	Name  []byte
	Entry *snapshot.Entry // nil: the snapshot does not have it
	Value V               // the one that Next has found

	values *merged[V]
	some   bool // there may be values that Next has not found yet
}

// Next finds the topic's next value, in the order in which they were added. It is false after the
// last one, and where the temporary file cannot be read: the join ends with the error then.
func (t *Topic[V]) Next() bool {
	head := t.values.head()
	if t.some = t.some && head != nil && bytes.Equal(head.topic, t.Name); !t.some {
		return false
	}
	t.Value = head.value
	t.values.step()
	return true
}

// All yields the topics that were collected, in the order of keys.
func (c *Collector[V]) All() iter.Seq2[*Topic[V], error] {
	return Join(func(func(snapshot.Entry, error) bool) {}, c)
}

// Join yields every topic that a snapshot has, or for which something was collected, or both, in
// the order of keys. entries are those of the snapshot, in that order.
//
// With an error there is no topic. One of entries ends these, and a loop that goes on gets what was
// collected for the topics after them. An error of the temporary file ends the loop: what it got
// before is to be believed only without one.
func Join[V any](entries iter.Seq2[snapshot.Entry, error], c *Collector[V]) iter.Seq2[*Topic[V], error] {
	return func(yield func(*Topic[V], error) bool) {
		values, err := c.merge()
		if err != nil {
			yield(nil, err)
			return
		}
		t := &Topic[V]{values: values}
		var (
			entry snapshot.Entry
			name  []byte
		)
		// next yields a topic, and steps over its values. It is false if the loop has ended.
		next := func() bool {
			if values.err == nil && !yield(t, nil) {
				return false
			}
			for t.Next() {
			}
			if values.err != nil {
				yield(nil, values.err)
			}
			return values.err == nil
		}
		// without yields a topic that the snapshot does not have.
		without := func(head *source[V]) bool {
			name = append(name[:0], head.topic...)
			t.Name, t.Entry, t.some = name, nil, true
			return next()
		}
		for e, err := range entries {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				break
			}
			order := 1
			head := values.head()
			for ; head != nil; head = values.head() {
				if order = core.CompareTopics(head.topic, e.Topic); order >= 0 {
					break
				}
				if !without(head) {
					return
				}
			}
			entry = e
			t.Name, t.Entry, t.some = e.Topic, &entry, head != nil && order == 0
			if !next() {
				return
			}
		}
		for head := values.head(); head != nil; head = values.head() {
			if !without(head) {
				return
			}
		}
	}
}

// merge begins to read what was collected, in the order of keys.
func (c *Collector[V]) merge() (*merged[V], error) {
	readers, err := c.runs.readers()
	if err != nil {
		return nil, err
	}
	m := &merged[V]{}
	for _, r := range readers {
		m.addSource(c.inRun(r))
	}
	m.addSource(c.inMemory())
	return m, m.err
}

// A source is a sorted sequence of topics with a value of each; a topic may come several times.
type source[V any] struct {
	topic []byte
	value V
	order int // of two sources with the same topic this one's comes first if it is lower
	read  func(*source[V]) (more bool, err error)
}

// inMemory is what is in memory.
func (c *Collector[V]) inMemory() *source[V] {
	list := c.set.sorted()
	var now *topic
	var place uint32
	return &source[V]{read: func(s *source[V]) (bool, error) {
		switch {
		case now != nil && place != now.last:
			place = c.set.values[place].later
		case len(list) == 0:
			return false, nil
		default:
			now, s.topic = &c.set.topics[list[0]], c.set.topic(list[0])
			list, place = list[1:], now.first
		}
		s.value = c.set.values[place].v
		return true, nil
	}}
}

// inRun is what a run has.
func (c *Collector[V]) inRun(r *bufio.Reader) *source[V] {
	s := &source[V]{}
	numbers := c.numbers(&s.value)
	s.read = func(s *source[V]) (_ bool, err error) {
		if s.topic, err = readTopic(r, s.topic); err == io.EOF {
			return false, nil
		}
		if err == nil {
			err = readNumbers(r, numbers)
		}
		return err == nil, err
	}
	return s
}

// readTopic reads the topic that an entry of a run begins with, into the memory of into; io.EOF
// where the run ends.
func readTopic(r *bufio.Reader, into []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return into, err
	}
	if n > core.MaxTopicLen {
		return into, errChanged
	}
	if uint64(cap(into)) < n {
		into = make([]byte, n)
	}
	into = into[:n]
	_, err = io.ReadFull(r, into)
	return into, unexpected(err)
}

// readNumbers reads numbers, runBufferMin/binary.MaxVarintLen64 at most.
func readNumbers(r *bufio.Reader, to []*uint64) error {
	b, err := r.Peek(len(to) * binary.MaxVarintLen64)
	if err != nil && err != io.EOF {
		return err
	}
	size := 0
	for _, number := range to {
		n, length := binary.Uvarint(b[size:])
		switch {
		case length == 0:
			return io.ErrUnexpectedEOF
		case length < 0:
			return errChanged
		}
		*number = n
		size += length
	}
	_, err = r.Discard(size)
	return err
}

// merged is what sorted sources have as one sorted sequence.
type merged[V any] struct {
	added int
	left  []*source[V] // a heap: those that are not at their end
	err   error        // why there is no more
}

// addSource adds a source, whose values come after those that earlier ones have of the same topic.
func (m *merged[V]) addSource(s *source[V]) {
	s.order = m.added
	m.added++
	if m.advance(s) {
		heap.Push(m, s)
	}
}

// head is where the least topic is; nil at the end.
func (m *merged[V]) head() *source[V] {
	if len(m.left) == 0 || m.err != nil {
		return nil
	}
	return m.left[0]
}

// step steps over the head.
func (m *merged[V]) step() {
	if m.advance(m.left[0]) {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
}

// advance reads the next topic of a source, and says whether there is one.
func (m *merged[V]) advance(s *source[V]) bool {
	more, err := s.read(s)
	if err != nil {
		m.err = fmt.Errorf("%w: %w", tempfile.Err, err)
	}
	return more
}

// The rest is container/heap's.

func (m *merged[V]) Len() int      { return len(m.left) }
func (m *merged[V]) Swap(i, j int) { m.left[i], m.left[j] = m.left[j], m.left[i] }
func (m *merged[V]) Push(s any)    { m.left = append(m.left, s.(*source[V])) }

func (m *merged[V]) Less(i, j int) bool {
	a, b := m.left[i], m.left[j]
	order := core.CompareTopics(a.topic, b.topic)
	return order < 0 || order == 0 && a.order < b.order
}

func (m *merged[V]) Pop() any {
	last := len(m.left) - 1
	s := m.left[last]
	m.left[last] = nil
	m.left = m.left[:last]
	return s
}
