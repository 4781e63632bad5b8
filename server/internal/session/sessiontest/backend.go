package sessiontest

import (
	"math"
	"slices"

	"gcd/store"
	"gcd/store/core"
)

// Backend counts in memory. It has its groups until Commit.
type Backend struct {
	// Outcome says what becomes of an operation, if it is not nil: an error is that the operation
	// was not done, or it is not known.
	Outcome func(op *core.Op) error
	// Full is what Refusing says.
	Full error
	// Odd is what WholeVersion says: a whole group comes into effect just now.
	Odd bool
	// Most is how many operations fit into a whole group; 0: any.
	Most int

	topics  []string // in the order in which they came
	values  map[string]core.Value
	waiting []submitted
	broken  bool // a topic changed while it was here
	groups  [][]core.Op
}

// submitted is a group, and what its topics were when it came.
type submitted struct {
	group  *core.Group
	topics []string
}

// Submit takes a group.
func (b *Backend) Submit(g *core.Group) {
	topics := make([]string, len(g.Ops))
	for i := range g.Ops {
		topics[i] = string(g.Ops[i].Topic)
	}
	b.waiting = append(b.waiting, submitted{g, topics})
}

// Commit gives the groups that wait their outcomes.
func (b *Backend) Commit() {
	waiting := b.waiting
	b.waiting = nil
	for _, one := range waiting {
		for i := range one.group.Ops {
			op := &one.group.Ops[i]
			b.broken = b.broken || one.topics[i] != string(op.Topic)
			b.apply(op)
		}
		b.groups = append(b.groups, slices.Clone(one.group.Ops))
	}
	for _, one := range waiting {
		one.group.Done(one.group)
	}
}

// Groups are what was committed so far, in that order.
func (b *Backend) Groups() [][]core.Op { return b.groups }

func (b *Backend) apply(op *core.Op) {
	op.Err = nil
	if b.Outcome != nil {
		if op.Err = b.Outcome(op); op.Err != nil {
			return
		}
	}
	if op.Kind == core.Size {
		op.Sum, op.Epoch = uint64(b.Live()), 0
		return
	}
	topic := string(op.Topic)
	v, known := b.values[topic]
	op.Sum, op.Epoch = v.Sum, v.Epoch
	switch op.Kind {
	case core.Count:
		n, most := max(op.N, 1), op.Max
		if most == 0 {
			most = math.MaxUint64
		}
		if v.Sum > most || n > most-v.Sum {
			op.Err = core.ErrOverflow
			return
		}
		op.Sum += n
		v.Sum = op.Sum
	case core.Reset, core.Delete:
		if op.Kind == core.Delete && v.Sum == 0 {
			return
		}
		v.Sum, v.Epoch = 0, v.Epoch+1
	default:
		return
	}
	b.set(topic, v, known)
}

func (b *Backend) set(topic string, v core.Value, known bool) {
	if b.values == nil {
		b.values = make(map[string]core.Value)
	}
	if !known {
		b.topics = append(b.topics, topic)
	}
	b.values[topic] = v
}

// Set gives a topic that it does not know a sum.
func (b *Backend) Set(topic string, sum uint64) { b.set(topic, core.Value{Sum: sum}, false) }

// Fits tells whether operations can be a whole group.
func (b *Backend) Fits(ops []core.Op) bool { return b.Most == 0 || len(ops) <= b.Most }

// Refusing is why nothing can be counted.
func (b *Backend) Refusing() error { return b.Full }

// WholeVersion is odd while a whole group comes into effect.
func (b *Backend) WholeVersion() uint64 {
	if b.Odd {
		return 1
	}
	return 0
}

// GetBytes returns the state of a topic.
func (b *Backend) GetBytes(topic []byte) (core.Value, bool) {
	v, known := b.values[string(topic)]
	return v, known
}

// Live is how many topics have a sum.
func (b *Backend) Live() (n int) {
	for _, v := range b.values {
		if v.Sum > 0 {
			n++
		}
	}
	return n
}

// Scan goes through the topics in the order in which they came.
func (b *Backend) Scan(cursor uint64, limit int, each func([]byte, core.Value)) uint64 {
	for ; limit > 0 && cursor < uint64(len(b.topics)); limit-- {
		topic := b.topics[cursor]
		each([]byte(topic), b.values[topic])
		cursor++
	}
	if cursor >= uint64(len(b.topics)) {
		return 0
	}
	return cursor
}

// Stats and Options are those of nothing.
func (b *Backend) Stats() (st store.Stats)    { return st }
func (b *Backend) Options() (o store.Options) { return o }

// Sum is that of all topics.
func (b *Backend) Sum() (sum uint64) {
	for _, v := range b.values {
		sum += v.Sum
	}
	return sum
}
