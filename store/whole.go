package store

// Whole groups (Group.Whole): all changes in one record, and nobody's between them.
//
// A record holds one batch, and a batch is formed by one goroutine, group after group. So all that
// a whole group needs is that no batch ends within it: what its changes take at most is known
// before the first is sequenced, and if that may be more than the batch has room for, the batch
// ends before the group. Alone it always fits, or it is refused.

// maxWhole is the most bytes that the changes of a whole group take, where records can be longer.
// It is half of the longest record, so that a batch that ends before a group is at least half full.
const maxWhole = 512<<10 - 64

// Fits tells whether ops can be a whole group: whether their changes, at their longest, fit into a
// record. It does not depend on what the topics are at.
func (s *Store) Fits(ops []Op) bool { return fits(ops, s.own.seq.limits.maxWhole) }

// fits tells whether the changes of ops take no more than room bytes, whatever becomes of them.
// Counts of a topic without a reset between them are one change. If one of them is refused, the
// next may begin a change, but then the refused one has none.
func fits(ops []Op, room int) bool {
	most := 0
	for i := range ops {
		if changes(&ops[i]) {
			most += len(ops[i].Topic) + maxChangeLen
		}
	}
	if most <= room {
		return true
	}
	counted := make(map[string]struct{}) // at most as many as have room
	for i := range ops {
		op := &ops[i]
		if !changes(op) {
			continue
		}
		if _, same := counted[string(op.Topic)]; same && op.Kind == Count {
			continue
		}
		if room -= len(op.Topic) + maxChangeLen; room < 0 {
			return false
		}
		if op.Kind == Count {
			counted[string(op.Topic)] = struct{}{}
		} else {
			delete(counted, string(op.Topic))
		}
	}
	return true
}

// changes tells whether an op may need a change in the log.
func changes(op *Op) bool { return op.Kind == Count || op.Kind == Reset || op.Kind == Delete }

// takes tells whether the batch has room for a whole group. If it returns false, the batch ends
// before the group, or the group is too large for any and has its outcome.
func (s *sequencer) takes(g *Group) bool {
	if fits(g.Ops, min(s.limits.maxWhole, s.limits.maxBatch-s.size)) {
		s.whole = true
		return true
	}
	if len(s.changes) == 0 {
		g.settle(len(g.Ops), ErrTooLarge)
	}
	return false
}

// live is how many topics have a sum behind the batch so far. A change's sum is the one that it
// starts from, and a count that extends one starts above 0, so each change is looked at once.
func (s *sequencer) live() uint64 {
	for _, c := range s.changes[s.sized:] {
		switch {
		case c.n > 0 && c.sum == 0:
			s.grown++
		case c.n == 0 && c.sum > 0:
			s.grown--
		}
	}
	s.sized = len(s.changes)
	return uint64(int(s.m.live.Load()) + s.grown)
}

// apply puts the sequenced batch into effect.
func (s *Store) apply(index uint64) error {
	seq := s.own.seq
	if seq.whole {
		s.wholes.Add(1)
		defer s.wholes.Add(1)
	}
	return s.machine.apply(index, seq.changes)
}

// applied is what a Read or a Size would report of the applied state.
func (s *Store) applied(op *Op) Value {
	if op.Kind == Size {
		return Value{Sum: uint64(s.Live())}
	}
	at, _ := s.machine.get(op.Topic)
	return at
}

// WholeVersion is odd while the changes of whole groups come into effect, one topic after the
// other, and grows by two each time. Reads by Get, GetBytes, Live and Scan with the same even
// version before and behind them saw no whole group half; a Read in a group never does.
func (s *Store) WholeVersion() uint64 { return s.wholes.Load() }
