package tools

import (
	"errors"
	"iter"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// replayMemory is how many bytes of changes are collected before they go into a temporary file.
const replayMemory = 32 << 20

// step is a change of a topic, with the index of its record.
type step struct{ index, epoch, sum, n uint64 }

func stepNumbers(s *step) []*uint64 { return []*uint64{&s.index, &s.epoch, &s.sum, &s.n} }

// changesByTopic collects every change of a part of the log. Unlike deltas it keeps each of them,
// so that the rule of a start can be applied to each.
type changesByTopic struct{ *bytopic.Collector[step] }

func newChangesByTopic(o bytopic.Options) changesByTopic {
	return changesByTopic{bytopic.New(stepNumbers, o)}
}

// add adds the next change of the log.
func (l changesByTopic) add(index uint64, c core.Change) error {
	return l.Append(c.Topic, step{index, c.Epoch, c.Sum, c.N})
}

// replay yields every topic as a start would have it, in the order of keys: the entries of a
// snapshot, with the changes applied to them. broken is called with a change that does not follow,
// and its error ends the loop.
func (l changesByTopic) replay(
	entries iter.Seq2[snapshot.Entry, error], broken notFollowing,
) iter.Seq2[snapshot.Entry, error] {
	return func(yield func(snapshot.Entry, error) bool) {
		for t, err := range bytopic.Join(entries, l.Collector) {
			e := snapshot.Entry{}
			if err == nil {
				e, err = applied(t, broken)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// applied is one topic after all of its changes.
func applied(t *bytopic.Topic[step], broken notFollowing) (snapshot.Entry, error) {
	e := snapshot.Entry{Topic: t.Name}
	if t.Entry != nil {
		e = *t.Entry
	}
	for t.Next() {
		c := core.Change{Topic: t.Name, Epoch: t.Value.epoch, Sum: t.Value.sum, N: t.Value.n}
		after, held, follows := c.Step(e.Value)
		switch {
		case !follows:
			return e, broken(t.Name, t.Value.index, c.Before(), e.Value)
		case !held:
			e.Value, e.Last = after, t.Value.index
		}
	}
	return e, nil
}

// refusal replays the log after a record over the entries of a snapshot, and finds what a start
// would refuse. err is what keeps it from that.
func (l changesByTopic) refusal(
	log *wal.Log, after uint64, entries iter.Seq2[snapshot.Entry, error], passed func(done, total uint64) error,
) (refusal, err error) {
	for rec, err := range log.Records(after + 1) {
		var damage *wal.CorruptionError
		if errors.As(err, &damage) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		for c, err := range core.Changes(rec.Type, rec.Payload) {
			if err != nil {
				return err, nil
			}
			if err := l.add(rec.Index, c); err != nil {
				return nil, err
			}
		}
		if err := passed(rec.Index-after, log.Last()-after); err != nil {
			return nil, err
		}
	}
	broken := func(topic []byte, index uint64, from, at core.Value) error {
		refusal = doesNotFollow(topic, index, from, at)
		return refusal
	}
	for _, err := range l.replay(entries, broken) {
		if err != nil && refusal == nil {
			return nil, err
		}
	}
	return refusal, nil
}
