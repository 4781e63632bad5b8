package tools

import (
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
)

// seen is the furthest state that anything shows a topic in.
type seen struct {
	core.Value
	last uint64 // the latest record that names the topic
}

func seenNumbers(s *seen) []*uint64 { return []*uint64{&s.Epoch, &s.Sum, &s.last} }

// join takes what another source shows of the same topic.
func (s *seen) join(other seen) {
	if less(s.Value, other.Value) {
		s.Value = other.Value
	}
	s.last = max(s.last, other.last)
}

// furthest collects the furthest state of each topic, from entries and records in any order.
type furthest struct{ *bytopic.Collector[seen] }

func newFurthest(o bytopic.Options) furthest { return furthest{bytopic.New(seenNumbers, o)} }

// observe notes that a topic was seen at a state, and that a record names it.
func (f furthest) observe(topic []byte, v core.Value, last uint64) error {
	known, _, err := f.At(topic)
	if err == nil {
		known.join(seen{v, last})
	}
	return err
}

// each calls do with every topic, in the order of keys. The entry is valid until do returns.
func (f furthest) each(do func(snapshot.Entry) error) error {
	for t, err := range f.All() {
		if err != nil {
			return err
		}
		var s seen
		for t.Next() {
			s.join(t.Value)
		}
		if err := do(snapshot.Entry{Topic: t.Name, Value: s.Value, Last: s.last}); err != nil {
			return err
		}
	}
	return nil
}
