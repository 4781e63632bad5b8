package core

import (
	"bytes"
	"errors"
	"math"
)

// Sequencer turns the ops of waiting groups into one batch of changes. It belongs to the commit
// owner.
//
// It decides every outcome from the applied state plus the batch so far, so a refused op never
// reaches the log. One batch is in flight: when the next is formed the last has been applied, so
// nothing is speculative and nothing rolls back.
//
// A batch begins with Form. If it has changes they go into the log, and then it is either applied,
// by Apply, or it is not, which Undo says. Then Through gives the groups back.
type Sequencer struct {
	// Limits may be changed between two batches.
	Limits Limits

	m *Machine

	first, end *Group // the groups of the batch; end is the one in which it got full, or nil
	from       int    // where in first the batch begins; in all others it is 0

	changes []Change
	size    int // bytes that changes take in the log
	fresh   int // topics that the batch creates
	views   []view
	last    int  // index of the view that was used last, or -1
	whole   bool // the batch has a whole group
	sized   int  // changes that grown knows of
	grown   int  // how many topics more have a sum with those changes
	// slots finds a topic's view: an open-addressed table of generation<<32 | index, its length a
	// power of two. What carries an older generation is free, so starting a batch costs nothing.
	slots      []uint64
	generation uint32

	prefetch prefetch
}

// Limits are what a sequencer refuses by.
type Limits struct {
	MaxTopics   int
	MaxTopicLen int // bytes
	MaxBatch    int // bytes
	MaxWhole    int // bytes, of a whole group
}

// view is a topic as the next op of the batch finds it.
type view struct {
	hash       uint64
	topic      []byte
	epoch, sum uint64
	ref        uint32 // id+1, 0 = not in the table
	run        int32  // the change that a further count extends, or -1
	created    bool   // the batch creates the topic
}

// NewSequencer makes a sequencer over a machine.
func NewSequencer(m *Machine, l Limits) *Sequencer {
	return &Sequencer{Limits: l, m: m, slots: make([]uint64, 64), last: -1}
}

// Form makes a batch of groups that wait, as many as it has room for. A group in which it gets full
// goes on waiting for the next one, with the ops that are not sequenced yet.
func (s *Sequencer) Form(waiting *List) {
	s.begin(waiting)
	for s.end != nil && s.sequence(s.end) {
		s.end = s.end.next
	}
	waiting.from(s.end)
}

// Refuse makes a batch without changes of all groups that wait: every op that has no outcome yet is
// refused.
func (s *Sequencer) Refuse(waiting *List, err error) {
	s.begin(waiting)
	for ; s.end != nil; s.end = s.end.next {
		s.end.refuseRest(err)
	}
	waiting.from(nil)
}

// begin starts a new batch.
func (s *Sequencer) begin(waiting *List) {
	s.first, s.end, s.from = waiting.head, waiting.head, 0
	if s.first != nil {
		s.from = s.first.pos
	}
	s.changes, s.views = s.changes[:0], s.views[:0]
	s.size, s.fresh, s.last = 0, 0, -1
	s.whole, s.sized, s.grown = false, 0, 0
	s.prefetch.forget()
	if s.generation++; s.generation == 0 { // wrapped: forget what the old generations left
		clear(s.slots)
		s.generation = 1
	}
}

// Changes is how many changes the batch has; without any there is nothing to log.
func (s *Sequencer) Changes() int { return len(s.changes) }

// Record appends the bytes of the batch to payload, and says which type the record has that they
// are for.
func (s *Sequencer) Record(payload []byte) (recordType uint8, _ []byte) {
	for i := range s.changes {
		payload = s.changes[i].Append(payload)
	}
	return batch, payload
}

// Apply puts the batch, which is durable, into effect as the record at index.
func (s *Sequencer) Apply(index uint64) error {
	if s.whole {
		s.m.wholes.Add(1)
		defer s.m.wholes.Add(1)
	}
	if err := s.m.Apply(index, s.changes); err != nil {
		return err
	}
	for g := s.first; g != nil; g = g.next {
		if g.changed {
			g.Index, g.changed = index, false
		}
		if g == s.end {
			break
		}
	}
	return nil
}

// Undo gives the ops of a batch that was not committed their outcome. What was refused for its own
// sake stays so; a read of a batch that is surely not in the log (ErrLogFull) reports the applied
// state, but in a whole group it is refused if it saw anything else.
func (s *Sequencer) Undo(err error) {
	from := s.from
	for g := s.first; g != nil; g = g.next {
		s.undo(g, from, err)
		g.changed = false
		if from = 0; g == s.end {
			break
		}
	}
}

// undo is Undo of the ops of one group from an op on.
func (s *Sequencer) undo(g *Group, from int, err error) {
	for i := from; i < g.pos; i++ {
		op := &g.Ops[i]
		if op.Err != nil {
			continue
		}
		if (op.Kind == Read || op.Kind == Size) && errors.Is(err, ErrLogFull) {
			at := s.applied(op)
			if saw := (Value{op.Sum, op.Epoch}); !g.Whole || saw == at {
				op.Sum, op.Epoch = at.Sum, at.Epoch
				continue
			}
		}
		op.Sum, op.Epoch, op.Err = 0, 0, err
	}
}

// applied is what a Read or a Size would report of the applied state.
func (s *Sequencer) applied(op *Op) Value {
	if op.Kind == Size {
		return Value{Sum: uint64(s.m.Live())}
	}
	at, _ := s.m.Get(op.Topic)
	return at
}

// Through gives a group back in which every op has its outcome, each once, in their order; nil when
// there are no more in the batch. The group may be used again at once.
func (s *Sequencer) Through() *Group {
	g := s.first
	if g == s.end {
		return nil
	}
	s.first = g.next
	return g
}

// sequence gives ops of a group their places and values, from where the last call stopped. It
// returns false when the batch is full and the group is not yet through; of a whole group nothing
// is sequenced then.
func (s *Sequencer) sequence(g *Group) bool {
	if g.Whole && !s.takes(g) {
		return g.pos == len(g.Ops)
	}
	for ; g.pos < len(g.Ops); g.pos++ {
		op, known := &g.Ops[g.pos], s.prefetch.next(s.m.table, g)
		tooLong := len(op.Topic) > s.Limits.MaxTopicLen // it may be there all the same, from a time with a higher limit
		if tooLong && (op.Kind == Count || op.Kind == Reset) {
			op.Sum, op.Epoch, op.Err = 0, 0, ErrTopicTooLong
			continue
		}
		if s.size+len(op.Topic)+MaxChangeLen > s.Limits.MaxBatch && len(s.changes) > 0 && !g.Whole {
			return false
		}
		v := s.view(op.Topic, known)
		switch op.Kind {
		case Count:
			s.count(v, op)
			g.changed = g.changed || op.Err == nil
		case Reset:
			s.reset(v, op)
			g.changed = g.changed || op.Err == nil
		case Delete:
			switch {
			case v.sum == 0:
				op.Sum, op.Epoch, op.Err = 0, v.epoch, nil
			case tooLong:
				op.refuse(v, ErrTopicTooLong)
			default:
				s.reset(v, op)
				g.changed = g.changed || op.Err == nil
			}
		case Size:
			op.Sum, op.Epoch, op.Err = s.live(), 0, nil
		default:
			op.Sum, op.Epoch, op.Err = v.sum, v.epoch, nil
		}
	}
	return true
}

func (s *Sequencer) count(v *view, op *Op) {
	n, highest := max(op.N, 1), op.Max
	if highest == 0 {
		highest = math.MaxUint64
	}
	if v.sum > highest || n > highest-v.sum {
		op.refuse(v, ErrOverflow)
		return
	}
	if !s.admit(v) {
		op.refuse(v, ErrTooManyTopics)
		return
	}
	if v.run >= 0 {
		c := &s.changes[v.run]
		s.size -= uvarintLen(c.N)
		c.N += n
		s.size += uvarintLen(c.N)
	} else {
		v.run = int32(len(s.changes))
		s.push(Change{Topic: v.topic, Epoch: v.epoch, Sum: v.sum, N: n, hash: v.hash, ref: v.ref})
	}
	v.sum += n
	op.Sum, op.Epoch, op.Err = v.sum, v.epoch, nil
}

func (s *Sequencer) reset(v *view, op *Op) {
	if v.epoch == MaxEpoch {
		op.refuse(v, ErrOverflow)
		return
	}
	if !s.admit(v) {
		op.refuse(v, ErrTooManyTopics)
		return
	}
	s.push(Change{Topic: v.topic, Epoch: v.epoch, Sum: v.sum, hash: v.hash, ref: v.ref})
	op.Sum, op.Epoch, op.Err = v.sum, v.epoch, nil
	v.epoch, v.sum, v.run = v.epoch+1, 0, -1
}

// refuse gives an op the state it met and the reason.
func (op *Op) refuse(v *view, err error) { op.Sum, op.Epoch, op.Err = v.sum, v.epoch, err }

func (s *Sequencer) push(c Change) {
	s.changes = append(s.changes, c)
	s.size += c.size()
}

// admit lets a new topic in while the limit allows.
func (s *Sequencer) admit(v *view) bool {
	if v.ref > 0 || v.created {
		return true
	}
	if s.m.Len()+s.fresh >= s.Limits.MaxTopics {
		return false
	}
	s.fresh++
	v.created = true
	return true
}

// view finds or makes the view of a topic.
func (s *Sequencer) view(topic []byte, known lookup) *view {
	if s.last >= 0 && bytes.Equal(s.views[s.last].topic, topic) {
		return &s.views[s.last]
	}
	hash := known.hash
	if hash == 0 {
		hash = s.m.hash(topic)
	}
	if 4*len(s.views) >= 3*len(s.slots) {
		s.growSlots()
	}
	mask := uint64(len(s.slots) - 1)
	i := hash & mask
	for ; uint32(s.slots[i]>>32) == s.generation; i = (i + 1) & mask {
		if v := &s.views[uint32(s.slots[i])]; v.hash == hash && bytes.Equal(v.topic, topic) {
			s.last = int(uint32(s.slots[i]))
			return v
		}
	}
	s.last = len(s.views)
	s.slots[i] = uint64(s.generation)<<32 | uint64(s.last)
	v := view{hash: hash, topic: topic, run: -1}
	id, ok := known.ref-1, known.ref > 0 && bytes.Equal(s.m.Topic(known.ref-1), topic)
	if !ok {
		id, ok = s.m.find(hash, topic)
	}
	if ok {
		at := s.m.entry(id).read()
		v.epoch, v.sum, v.ref = at.Epoch, at.Sum, id+1
	}
	s.views = append(s.views, v)
	return &s.views[s.last]
}

func (s *Sequencer) growSlots() {
	s.slots = make([]uint64, 2*len(s.slots))
	mask := uint64(len(s.slots) - 1)
	for n := range s.views {
		i := s.views[n].hash & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = uint64(s.generation)<<32 | uint64(n)
	}
}
