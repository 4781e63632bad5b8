package store

import (
	"fmt"
	"sync/atomic"
)

// maxEpoch is the highest epoch a topic can have; a reset in it is refused. An entry keeps one bit of its version for itself.
const maxEpoch = 1<<63 - 1

// machine is the counters: the state that a sequence of batches leads to. Apply is pure and deterministic: no clock, no
// I/O, no configuration. The same code runs behind live batches and in recovery.
type machine struct {
	*table
	applied uint64       // index of the last batch
	live    atomic.Int64 // topics whose sum is not 0
}

func newMachine() *machine { return &machine{table: newTable()} }

// apply puts a batch into effect. Changes that the state already holds are skipped; one that neither follows from the state nor
// is held by it is an error, and the state is then not to be used. Called by the owner alone.
func (m *machine) apply(index uint64, changes []change) error {
	for i := range changes {
		if err := m.applyChange(index, &changes[i]); err != nil {
			return err
		}
	}
	m.applied = index
	return nil
}

func (m *machine) applyChange(index uint64, c *change) error {
	id, known := c.ref-1, c.ref > 0
	if !known {
		if c.hash == 0 {
			c.hash = m.hash(c.topic)
		}
		id, known = m.find(c.hash, c.topic)
	}
	var at Value
	if known {
		at = m.entry(id).read()
	}
	after, held, follows := step(at, c.epoch, c.sum, c.n)
	switch {
	case held:
		return nil
	case !follows:
		return fmt.Errorf("record %d takes topic %.64q from epoch %d, sum %d, but it is at epoch %d, sum %d", index, c.topic, c.epoch, c.sum, at.Epoch, at.Sum)
	}
	if !known {
		id = m.insert(c.hash, c.topic)
	}
	if c.n > 0 {
		m.entry(id).sum.Store(after.Sum)
	} else {
		m.entry(id).reset(after.Epoch)
	}
	if c.sum == 0 && c.n > 0 {
		m.live.Add(1)
	} else if c.sum > 0 && c.n == 0 {
		m.live.Add(-1)
	}
	m.mark(id, index)
	return nil
}

// replay applies the payload of a record that was read back.
func (m *machine) replay(index uint64, payload []byte) error {
	if len(payload) == 0 {
		return errBatchFormat
	}
	for len(payload) > 0 {
		c, rest, err := decodeChange(payload)
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

// loader puts the entries of a snapshot into a new machine.
type loader struct {
	m *machine
	b bulk
}

func (m *machine) loader() *loader { return &loader{m: m, b: bulk{t: m.table}} }

// add sets the state of a topic that was not added before.
func (l *loader) add(topic []byte, v Value) {
	l.b.add(topic, v)
	if v.Sum > 0 {
		l.m.live.Add(1)
	}
}

// finish makes the machine ready.
func (l *loader) finish() { l.b.finish() }
