package store

import (
	"bytes"
	"math"
)

// sequencer turns the ops of waiting groups into one batch of changes. It belongs to the commit owner.
//
// It decides every outcome from the applied state plus the batch so far, so a refused op never reaches the log. One batch is
// in flight: when the next is formed the last has been applied, so nothing is speculative and nothing rolls back.
type sequencer struct {
	m      *machine
	limits limits

	changes []change
	size    int // bytes that changes take in the log
	fresh   int // topics that the batch creates
	views   []view
	last    int  // index of the view that was used last, or -1
	whole   bool // the batch has a whole group
	sized   int  // changes that grown knows of
	grown   int  // how many topics more have a sum behind those changes
	// slots finds a topic's view: an open-addressed table of generation<<32 | index, its length a power of two. What carries
	// an older generation is free, so starting a batch costs nothing.
	slots      []uint64
	generation uint32

	ahead lookahead
}

type limits struct {
	maxTopics   int
	maxTopicLen int
	maxBatch    int // bytes
	maxWhole    int // bytes, of a whole group
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

func newSequencer(m *machine, l limits) *sequencer {
	return &sequencer{m: m, limits: l, slots: make([]uint64, 64), last: -1}
}

// begin starts a new batch.
func (s *sequencer) begin() {
	s.changes, s.views = s.changes[:0], s.views[:0]
	s.size, s.fresh, s.last = 0, 0, -1
	s.whole, s.sized, s.grown = false, 0, 0
	s.ahead.forget()
	if s.generation++; s.generation == 0 { // wrapped: forget what the old generations left
		clear(s.slots)
		s.generation = 1
	}
}

// add sequences ops of a group from where the last call stopped. It returns false when the batch is full and the group is
// not yet through; of a whole group nothing is sequenced then.
func (s *sequencer) add(g *Group) bool {
	if g.Whole && !s.takes(g) {
		return g.pos == len(g.Ops)
	}
	for ; g.pos < len(g.Ops); g.pos++ {
		op, known := &g.Ops[g.pos], s.ahead.next(s.m.table, g)
		tooLong := len(op.Topic) > s.limits.maxTopicLen // it may be there all the same, from a time with a higher limit
		if tooLong && (op.Kind == Count || op.Kind == Reset) {
			op.Sum, op.Epoch, op.Err = 0, 0, ErrTopicTooLong
			continue
		}
		if s.size+len(op.Topic)+maxChangeLen > s.limits.maxBatch && len(s.changes) > 0 && !g.Whole {
			return false
		}
		v := s.view(op.Topic, known)
		switch op.Kind {
		case Count:
			s.count(v, op)
		case Reset:
			s.reset(v, op)
		case Delete:
			switch {
			case v.sum == 0:
				op.Sum, op.Epoch, op.Err = 0, v.epoch, nil
			case tooLong:
				op.refuse(v, ErrTopicTooLong)
			default:
				s.reset(v, op)
			}
		case Size:
			op.Sum, op.Epoch, op.Err = s.live(), 0, nil
		default:
			op.Sum, op.Epoch, op.Err = v.sum, v.epoch, nil
		}
	}
	return true
}

func (s *sequencer) count(v *view, op *Op) {
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
		s.size -= uvarintLen(c.n)
		c.n += n
		s.size += uvarintLen(c.n)
	} else {
		v.run = int32(len(s.changes))
		s.push(change{topic: v.topic, epoch: v.epoch, sum: v.sum, n: n, hash: v.hash, ref: v.ref})
	}
	v.sum += n
	op.Sum, op.Epoch, op.Err = v.sum, v.epoch, nil
}

func (s *sequencer) reset(v *view, op *Op) {
	if v.epoch == maxEpoch {
		op.refuse(v, ErrOverflow)
		return
	}
	if !s.admit(v) {
		op.refuse(v, ErrTooManyTopics)
		return
	}
	s.push(change{topic: v.topic, epoch: v.epoch, sum: v.sum, hash: v.hash, ref: v.ref})
	op.Sum, op.Epoch, op.Err = v.sum, v.epoch, nil
	v.epoch, v.sum, v.run = v.epoch+1, 0, -1
}

// refuse gives an op the state it met and the reason.
func (op *Op) refuse(v *view, err error) { op.Sum, op.Epoch, op.Err = v.sum, v.epoch, err }

func (s *sequencer) push(c change) {
	s.changes = append(s.changes, c)
	s.size += c.size()
}

// admit lets a new topic in while the limit allows.
func (s *sequencer) admit(v *view) bool {
	if v.ref > 0 || v.created {
		return true
	}
	if s.m.len()+s.fresh >= s.limits.maxTopics {
		return false
	}
	s.fresh++
	v.created = true
	return true
}

// view finds or makes the view of a topic.
func (s *sequencer) view(topic []byte, known lookup) *view {
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
	id, ok := known.ref-1, known.ref > 0 && bytes.Equal(s.m.topic(known.ref-1), topic)
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

func (s *sequencer) growSlots() {
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
