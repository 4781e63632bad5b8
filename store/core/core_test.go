package core

// counters are a machine and its sequencer without a log: what is sequenced is in effect at once.
type counters struct {
	*Machine
	seq *Sequencer
}

func newCounters() *counters {
	m := NewMachine()
	return &counters{m, NewSequencer(m, Limits{
		MaxTopics: 1 << 20, MaxTopicLen: MaxTopicLen, MaxBatch: 1 << 20, MaxWhole: MaxWhole})}
}

// run takes groups as one queue, in as many batches as it needs.
func (c *counters) run(groups ...*Group) {
	var waiting List
	for _, g := range groups {
		waiting.Add(g)
	}
	for !waiting.Empty() {
		c.seq.Form(&waiting)
		if c.seq.Changes() > 0 {
			if err := c.seq.Apply(c.Applied() + 1); err != nil {
				panic(err)
			}
		}
	}
}
