// Package bytopic brings what the records of a log say of topics into the order in which a snapshot
// has its entries. It needs a bounded amount of memory, however many topics there are: what does
// not fit goes into a temporary file, as sorted runs.
package bytopic

import (
	"bufio"
	"encoding/binary"
	"unsafe"
)

// Options say where things are collected. The zero value works.
type Options struct {
	Dir    string       // of the temporary file; "": os.TempDir
	Memory int          // of what is collected before it goes into the file, in bytes
	Pause  func() error // before each piece that is read back; its error ends the reading; nil: none
}

// A Collector collects values of topics. It is filled first, and then read, as often as is wished.
// Errors of it wrap tempfile.Err.
type Collector[V any] struct {
	memory  int
	size    int // of what is in memory, in bytes
	set     set[V]
	runs    runs // earlier values first
	numbers func(v *V) []*uint64
}

// New makes an empty collector. A value consists of numbers: numbers says where they are, the same
// ones in the same order each time.
func New[V any](numbers func(v *V) []*uint64, o Options) *Collector[V] {
	c := &Collector[V]{memory: o.Memory, numbers: numbers, runs: runs{dir: o.Dir, pause: o.Pause}}
	c.set = newSet[V](o.Memory / (topicSize + c.valueSize()))
	return c
}

// valueSize is what a value takes in memory, in bytes.
func (c *Collector[V]) valueSize() int { return int(unsafe.Sizeof(*new(V))) }

// At returns the value of a topic, which may be changed until the next call. known says that it was
// there; one that was not is zero. A topic whose value has gone into the file is not known.
func (c *Collector[V]) At(topic []byte) (v *V, known bool, err error) {
	hash := c.set.hash(topic)
	if t := c.set.find(hash, topic); t != nil {
		return &c.set.values[t.last].v, true, nil
	}
	if err := c.room(len(topic) + topicSize + c.valueSize()); err != nil {
		return nil, false, err
	}
	return c.set.insert(hash, topic, *new(V)), false, nil
}

// Append adds one more value of a topic, which follows those that the topic has.
func (c *Collector[V]) Append(topic []byte, v V) error {
	// A value takes less than a topic with its first one: the bytes of the topic make up for it.
	if err := c.room(len(topic) + topicSize + c.valueSize()); err != nil {
		return err
	}
	hash := c.set.hash(topic)
	if t := c.set.find(hash, topic); t != nil {
		c.set.append(t, v)
	} else {
		c.set.insert(hash, topic, v)
	}
	return nil
}

// room makes room for so many bytes.
func (c *Collector[V]) room(size int) error {
	if c.size += size; c.size <= c.memory || len(c.set.topics) == 0 {
		return nil
	}
	c.size = size
	return c.spill()
}

// spill writes what is in memory as a run.
func (c *Collector[V]) spill() error {
	err := c.runs.write(func(w *bufio.Writer) error {
		var b []byte
		from := c.inMemory()
		numbers := c.numbers(&from.value)
		for {
			more, err := from.read(from)
			if !more {
				return err
			}
			b = append(binary.AppendUvarint(b[:0], uint64(len(from.topic))), from.topic...)
			for _, n := range numbers {
				b = binary.AppendUvarint(b, *n)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	})
	c.set.clear()
	return err
}

// Close gives the file back.
func (c *Collector[V]) Close() error { return c.runs.close() }
