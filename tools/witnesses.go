package tools

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"slices"

	"gcd/store"
)

// A witnessed is the furthest state of a topic that anything is witness to.
type witnessed struct {
	topic []byte
	store.Value
	last uint64 // the latest record that is witness to the topic
}

// witnessedSize is about what one takes in memory beside its topic, in bytes.
const witnessedSize = 120

func compareWitnessed(a, b *witnessed) int { return store.CompareTopics(a.topic, b.topic) }

// join adds another witness of the same topic.
func (w *witnessed) join(v store.Value, last uint64) {
	if less(w.Value, v) {
		w.Value = v
	}
	w.last = max(w.last, last)
}

// witnesses collects what topics were seen at, in any order, in memory of bounded size, spills it as sorted runs into a temporary file, and gives it
// back sorted as the entries of a snapshot are.
type witnesses struct {
	memory int
	open   map[string]*witnessed
	size   int
	runs   runs
}

func newWitnesses(dir string, memory int) *witnesses {
	return &witnesses{memory: memory, open: map[string]*witnessed{}, runs: runs{dir: dir}}
}

// add adds that a topic was at a state, and that a record is witness to it. The topic is copied.
func (w *witnesses) add(topic []byte, v store.Value, last uint64) error {
	if known := w.open[string(topic)]; known != nil {
		known.join(v, last)
		return nil
	}
	if w.size += len(topic) + witnessedSize; w.size > w.memory && len(w.open) > 0 {
		if err := w.spill(); err != nil {
			return err
		}
		w.size = len(topic) + witnessedSize
	}
	w.open[string(topic)] = &witnessed{topic: bytes.Clone(topic), Value: v, last: last}
	return nil
}

// inMemory is a sorted list of what is in no run.
func (w *witnesses) inMemory() []*witnessed {
	list := make([]*witnessed, 0, len(w.open))
	for _, t := range w.open {
		list = append(list, t)
	}
	slices.SortFunc(list, compareWitnessed)
	return list
}

func (w *witnesses) spill() error {
	err := w.runs.write(func(to *bufio.Writer) error {
		var b []byte
		for _, t := range w.inMemory() {
			b = appendTopic(b[:0], t.topic)
			for _, n := range []uint64{t.Epoch, t.Sum, t.last} {
				b = binary.AppendUvarint(b, n)
			}
			if _, err := to.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	clear(w.open)
	return err
}

// each calls do with every topic, in the order of keys. Nothing is added meanwhile; it may be called again.
func (w *witnesses) each(do func(*witnessed) error) error {
	sorted := merged[*witnessed]{compare: compareWitnessed}
	for _, r := range w.runs.readers() {
		if err := sorted.add(func() (*witnessed, error) { return readWitnessed(r) }); err != nil {
			return err
		}
	}
	if err := sorted.addList(w.inMemory()); err != nil {
		return err
	}
	for next, ok := sorted.peek(); ok; {
		whole := *next // what is in memory is given again
		if err := sorted.step(); err != nil {
			return err
		}
		for next, ok = sorted.peek(); ok && bytes.Equal(next.topic, whole.topic); next, ok = sorted.peek() {
			whole.join(next.Value, next.last)
			if err := sorted.step(); err != nil {
				return err
			}
		}
		if err := do(&whole); err != nil {
			return err
		}
	}
	return nil
}

// readWitnessed reads the next one of a run; io.EOF behind the last.
func readWitnessed(r *bufio.Reader) (*witnessed, error) {
	topic, err := readTopic(r)
	if err != nil {
		return nil, err
	}
	w := &witnessed{topic: topic}
	return w, readNumbers(r, &w.Epoch, &w.Sum, &w.last)
}

func (w *witnesses) close() error { return w.runs.close() }
