package tools

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"gcd/store"
	"gcd/wal"
)

const (
	// tailMemory is how much of the changes is collected before it goes to a temporary file, in bytes.
	tailMemory = 32 << 20
	// tailChangeSize is about what a change takes in memory beside its topic, in bytes.
	tailChangeSize = 80
)

// tailChange is a change with the index of its record.
type tailChange struct {
	index uint64
	store.Change
}

func compareChanges(a, b tailChange) int { return store.CompareTopics(a.Topic, b.Topic) }

// tail sorts the changes of a part of the log by topic, in a bounded amount of memory: each topic's stay in the order of the log.
// Changes are added, and behind sort they come out of sorted. Unlike chains it keeps each of them, so that the rules of a start can be applied to each.
type tail struct {
	memory int
	list   []tailChange
	size   int
	runs   runs
	sorted merged[tailChange]
}

func newTail(dir string, memory int, pause pause) *tail {
	return &tail{memory: memory, runs: runs{dir: dir, pause: pause},
		sorted: merged[tailChange]{compare: compareChanges}}
}

// add adds a change; it is copied.
func (t *tail) add(index uint64, c store.Change) error {
	c.Topic = bytes.Clone(c.Topic)
	t.list = append(t.list, tailChange{index, c})
	if t.size += len(c.Topic) + tailChangeSize; t.size < t.memory {
		return nil
	}
	slices.SortStableFunc(t.list, compareChanges)
	err := t.runs.write(func(w *bufio.Writer) error {
		var b []byte
		for _, c := range t.list {
			b = appendTopic(b[:0], c.Topic)
			for _, n := range []uint64{c.index, c.Epoch, c.Sum, c.N} {
				b = binary.AppendUvarint(b, n)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	clear(t.list)
	t.list, t.size = t.list[:0], 0
	return err
}

// sort ends the adding.
func (t *tail) sort() error {
	readers, err := t.runs.readers()
	if err != nil {
		return err
	}
	for _, r := range readers {
		if err := t.sorted.add(func() (tailChange, error) { return readChange(r) }); err != nil {
			return err
		}
	}
	slices.SortStableFunc(t.list, compareChanges)
	return t.sorted.addList(t.list)
}

// fold ends the adding and applies the changes, by the rules of a start, to the entries of a snapshot, which entries gives in the order of keys. each gets
// every topic as it is then, in that order. broken is told of a change that does not follow, and ends the work with its error.
func (t *tail) fold(entries func(each func(store.Entry) error) error, each func(store.Entry) error, broken brokenFunc) error {
	if err := t.sort(); err != nil {
		return err
	}
	apply := func(e store.Entry) error {
		for next, ok := t.sorted.peek(); ok && bytes.Equal(next.Topic, e.Topic); next, ok = t.sorted.peek() {
			after, held, follows := next.Step(e.Value)
			switch {
			case !follows:
				return broken(next.Topic, next.index, next.Before(), e.Value)
			case !held:
				e.Value, e.Last = after, next.index
			}
			if err := t.sorted.step(); err != nil {
				return err
			}
		}
		return each(e)
	}
	err := entries(func(e store.Entry) error {
		for next, ok := t.sorted.peek(); ok && store.CompareTopics(next.Topic, e.Topic) < 0; next, ok = t.sorted.peek() {
			if err := apply(store.Entry{Topic: next.Topic}); err != nil {
				return err
			}
		}
		return apply(e)
	})
	if err != nil {
		return err
	}
	for next, ok := t.sorted.peek(); ok; next, ok = t.sorted.peek() {
		if err := apply(store.Entry{Topic: next.Topic}); err != nil {
			return err
		}
	}
	return nil
}

// replay replays a log behind an index over the entries of a snapshot, and finds what a start would refuse. The error is what keeps it from that.
func (t *tail) replay(log *wal.Log, behind uint64, entries func(each func(store.Entry) error) error, passed func(done, total uint64) error) (refusal, err error) {
	for rec, err := range log.Records(behind + 1) {
		var damage *wal.CorruptionError
		if errors.As(err, &damage) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		for c, err := range store.Changes(rec.Payload) {
			if err != nil {
				return err, nil
			}
			if err := t.add(rec.Index, c); err != nil {
				return nil, err
			}
		}
		if err := passed(rec.Index-behind, log.Last()-behind); err != nil {
			return nil, err
		}
	}
	err = t.fold(entries, func(store.Entry) error { return nil }, func(topic []byte, index uint64, from, at store.Value) error {
		refusal = doesNotFollow(topic, index, from, at)
		return refusal
	})
	if refusal != nil {
		err = nil
	}
	return refusal, err
}

func (t *tail) close() error { return t.runs.close() }

// readChange reads the next change of a run; io.EOF behind the last.
func readChange(r *bufio.Reader) (c tailChange, err error) {
	if c.Topic, err = readTopic(r, nil); err != nil {
		return c, err
	}
	var n [4]uint64
	err = readNumbers(r, n[:])
	c.index, c.Epoch, c.Sum, c.N = n[0], n[1], n[2], n[3]
	return c, err
}
