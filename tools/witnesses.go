package tools

import (
	"bufio"
	"bytes"
	"encoding/binary"

	"gcd/store"
)

// A witnessed is a topic with the furthest state of it that anything is witness to.
type witnessed struct {
	topic []byte
	seen
}

type seen struct {
	store.Value
	last uint64 // the latest record that is witness to the topic
}

// witnessedSize is about what one takes in memory beside its topic, in bytes.
const witnessedSize = 24 + cellSize

func compareWitnessed(a, b *witnessed) int { return store.CompareTopics(a.topic, b.topic) }

// join adds what another witness of the same topic has seen.
func (s *seen) join(other seen) {
	if less(s.Value, other.Value) {
		s.Value = other.Value
	}
	s.last = max(s.last, other.last)
}

// witnesses collects what topics were seen at, in any order, in memory of bounded size, spills it as sorted runs into a temporary file, and gives it
// back sorted as the entries of a snapshot are.
type witnesses struct {
	memory int
	open   topics[seen]
	size   int
	runs   runs
}

func newWitnesses(dir string, memory int, pause pause) *witnesses {
	return &witnesses{memory: memory, open: newTopics[seen](memory / witnessedSize), runs: runs{dir: dir, pause: pause}}
}

// add adds that a topic was at a state, and that a record is witness to it. The topic is copied.
func (w *witnesses) add(topic []byte, v store.Value, last uint64) error {
	if known := w.open.find(topic); known != nil {
		known.join(seen{v, last})
		return nil
	}
	if w.size += len(topic) + witnessedSize; w.size > w.memory && len(w.open.cells) > 0 {
		if err := w.spill(); err != nil {
			return err
		}
		w.size = len(topic) + witnessedSize
	}
	w.open.add(topic, seen{v, last})
	return nil
}

func (w *witnesses) spill() error {
	err := w.runs.write(func(to *bufio.Writer) error {
		var b []byte
		for _, i := range w.open.sorted() {
			b = appendTopic(b[:0], w.open.topic(i))
			s := &w.open.cells[i].value
			for _, n := range []uint64{s.Epoch, s.Sum, s.last} {
				b = binary.AppendUvarint(b, n)
			}
			if _, err := to.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	w.open.clear()
	return err
}

// each calls do with every topic, in the order of keys, which is good until it returns. Nothing is added meanwhile; it may be called again.
func (w *witnesses) each(do func(*witnessed) error) error {
	sorted := merged[*witnessed]{compare: compareWitnessed}
	readers, err := w.runs.readers()
	if err != nil {
		return err
	}
	for _, r := range readers {
		next := &witnessed{}
		if err := sorted.add(func() (*witnessed, error) { return next, next.read(r) }); err != nil {
			return err
		}
	}
	last, inMemory := &witnessed{}, w.open.inOrder()
	err = sorted.add(func() (_ *witnessed, err error) { // it is given again the next time
		last.topic, last.seen, err = inMemory()
		return last, err
	})
	if err != nil {
		return err
	}
	var whole witnessed
	for next, ok := sorted.peek(); ok; {
		whole.topic, whole.seen = append(whole.topic[:0], next.topic...), next.seen
		if err := sorted.step(); err != nil {
			return err
		}
		for next, ok = sorted.peek(); ok && bytes.Equal(next.topic, whole.topic); next, ok = sorted.peek() {
			whole.join(next.seen)
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

// read reads the next one of a run into t; io.EOF behind the last.
func (t *witnessed) read(r *bufio.Reader) (err error) {
	if t.topic, err = readTopic(r, t.topic); err != nil {
		return err
	}
	var n [3]uint64
	err = readNumbers(r, n[:])
	t.seen = seen{store.Value{Epoch: n[0], Sum: n[1]}, n[2]}
	return err
}

func (w *witnesses) close() error { return w.runs.close() }
