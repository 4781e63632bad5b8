package core

import (
	"fmt"
	"sync/atomic"
)

// Machine is the counters: the state that a sequence of batches leads to. What changes it is pure
// and deterministic: no clock, no I/O, no configuration. The same code runs after live batches and
// in recovery.
//
// One goroutine at a time, the owner, changes it; any number read beside it. Methods are the
// owner's where they do not say that any goroutine may call them.
type Machine struct {
	*table
	applied uint64        // index of the last batch
	live    atomic.Int64  // topics whose sum is not 0
	wholes  atomic.Uint64 // WholeVersion
}

// NewMachine is a machine without topics, before the first record.
func NewMachine() *Machine { return &Machine{table: newTable()} }

// Applied is the index of the last record that came into effect.
func (m *Machine) Applied() uint64 { return m.applied }

// Live is the number of topics whose sum is not 0; any goroutine.
func (m *Machine) Live() int { return int(m.live.Load()) }

// WholeVersion is odd while the changes of whole groups come into effect, one topic after the
// other, and grows by two each time; any goroutine.
func (m *Machine) WholeVersion() uint64 { return m.wholes.Load() }

// Apply puts a batch into effect. Changes that the state already holds are skipped; one that
// neither follows from the state nor is held by it is an error, and the state is then not to be
// used.
func (m *Machine) Apply(index uint64, changes []Change) error {
	for i := range changes {
		if err := m.applyChange(index, &changes[i]); err != nil {
			return err
		}
	}
	m.applied = index
	return nil
}

func (m *Machine) applyChange(index uint64, c *Change) error {
	id, known := c.ref-1, c.ref > 0
	if !known {
		if c.hash == 0 {
			c.hash = m.hash(c.Topic)
		}
		id, known = m.find(c.hash, c.Topic)
	}
	var at Value
	if known {
		at = m.entry(id).read()
	}
	after, held, follows := c.Step(at)
	if !follows {
		return fmt.Errorf("record %d takes topic %.64q from epoch %d, sum %d, but it is at epoch %d, sum %d",
			index, c.Topic, c.Epoch, c.Sum, at.Epoch, at.Sum)
	}
	if held {
		return nil
	}
	if !known {
		id = m.insert(c.hash, c.Topic)
	}
	if c.N > 0 {
		m.entry(id).sum.Store(after.Sum)
	} else {
		m.entry(id).reset(after.Epoch)
	}
	if c.Sum == 0 && c.N > 0 {
		m.live.Add(1)
	} else if c.Sum > 0 && c.N == 0 {
		m.live.Add(-1)
	}
	m.mark(id, index)
	return nil
}

// Replay applies the payload of a record that was read back.
func (m *Machine) Replay(index uint64, recordType uint8, payload []byte) error {
	if len(payload) == 0 {
		return errBatchFormat
	}
	for len(payload) > 0 {
		c, rest, err := decodeChange(recordType, payload)
		if err != nil {
			return err
		}
		if err := m.applyChange(index, &c); err != nil {
			return err
		}
		payload = rest
	}
	m.applied = index
	return nil
}

// Loader puts the entries of a snapshot into a new machine.
type Loader struct {
	m *Machine
	b bulk
}

// Loader begins the loading of a machine that nobody reads yet.
func (m *Machine) Loader() *Loader { return &Loader{m: m, b: bulk{t: m.table}} }

// Add sets the state of a topic that was not added before. The topic is copied.
func (l *Loader) Add(topic []byte, v Value) {
	l.b.insert(topic, v)
	if v.Sum > 0 {
		l.m.live.Add(1)
	}
}

// Finish makes the machine ready. Every record up to index is in its entries.
func (l *Loader) Finish(index uint64) {
	l.b.finish()
	l.m.applied = index
}

// At returns the topic with an id, which is lower than Len, and its state; any goroutine.
func (m *Machine) At(id uint32) (topic []byte, v Value) { return m.Topic(id), m.entry(id).read() }

// What changed since it was last captured is marked, for the next snapshot.

// TakeChanged returns the ids of topics that changed since the last call and starts a new list.
// Their marks stay until Capture.
func (m *Machine) TakeChanged() []uint32 {
	ids := m.dirty
	m.dirty = nil
	return ids
}

// GiveBack puts ids of topics that were taken, and are marked still, onto the list again.
func (m *Machine) GiveBack(ids []uint32) { m.dirty = append(m.dirty, ids...) }

// Capture returns a topic that was taken, its state, and the index of the record that changed it
// last, and takes its mark away.
func (m *Machine) Capture(id uint32) (topic []byte, v Value, last uint64) {
	return m.Topic(id), m.entry(id).read(), m.clear(id)
}

// Uncapture marks a captured topic again, with the index that Capture returned, unless it has
// changed since: then it is marked, and on the list.
func (m *Machine) Uncapture(id uint32, last uint64) {
	if m.marked(id) == 0 {
		m.mark(id, last)
	}
}
