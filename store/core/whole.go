package core

// Whole groups (Group.Whole): all changes in one record, and nobody's between them.
//
// A record holds one batch, and a batch is formed by one goroutine, group after group. So all that
// a whole group needs is that no batch ends within it: what its changes take at most is known
// before the first is sequenced, and if that may be more than the batch has room for, the batch
// ends before the group. Alone it always fits, or it is refused.

// MaxWhole is the most bytes that the changes of a whole group take, where records can be longer.
// It is half of the longest record, so that a batch that ends before a group is at least half full.
const MaxWhole = 512<<10 - 64

// Fits tells whether ops can be a whole group: whether their changes, at their longest, fit into a
// record. It does not depend on what the topics are at, so any goroutine may ask.
func (s *Sequencer) Fits(ops []Op) bool { return fits(ops, s.Limits.MaxWhole) }

// fits tells whether the changes of ops take no more than room bytes, whatever becomes of them.
// Counts of a topic without a reset between them are one change. If one of them is refused, the
// next may begin a change, but then the refused one has none.
func fits(ops []Op, room int) bool {
	most := 0
	for i := range ops {
		if changes(&ops[i]) {
			most += len(ops[i].Topic) + MaxChangeLen
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
		if room -= len(op.Topic) + MaxChangeLen; room < 0 {
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
func (s *Sequencer) takes(g *Group) bool {
	if fits(g.Ops, min(s.Limits.MaxWhole, s.Limits.MaxBatch-s.size)) {
		s.whole = true
		return true
	}
	if len(s.changes) == 0 {
		g.refuseRest(ErrTooLarge)
	}
	return false
}

// live is how many topics have a sum after the batch so far. A change's sum is the one that it
// starts from, and a count that extends one starts above 0, so each change is looked at once.
func (s *Sequencer) live() uint64 {
	for _, c := range s.changes[s.sized:] {
		switch {
		case c.N > 0 && c.Sum == 0:
			s.grown++
		case c.N == 0 && c.Sum > 0:
			s.grown--
		}
	}
	s.sized = len(s.changes)
	return uint64(int(s.m.live.Load()) + s.grown)
}
