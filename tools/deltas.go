package tools

import (
	"errors"
	"iter"
	"time"

	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
)

// A delta is what a part of the log makes of one topic: its changes, each following from the one
// before, as one.
type delta struct {
	first uint64     // index of the record with the first change; 0: there is no change
	from  core.Value // that it starts from
	last  uint64     // index of the record with the last change
	at    core.Value // that it leads to

	// The last change up to the record at which the topic's state is asked for.
	upTo   uint64     // its record; 0: none is so early
	upToAt core.Value // that it leads to
	time   uint64     // of its record, nanoseconds since 1970
}

// deltaNumbers are what a delta consists of.
func deltaNumbers(d *delta) []*uint64 {
	return []*uint64{
		&d.first, &d.from.Epoch, &d.from.Sum, &d.last, &d.at.Epoch, &d.at.Sum,
		&d.upTo, &d.upToAt.Epoch, &d.upToAt.Sum, &d.time,
	}
}

// deltas collects a delta of each topic.
type deltas struct{ *bytopic.Collector[delta] }

func newDeltas(o bytopic.Options) deltas { return deltas{bytopic.New(deltaNumbers, o)} }

// add adds a change of the record with an index and a time. Changes up to the record at which the
// state is asked for come before the others.
//
// A change that does not follow from the one before it is added all the same, but not ok; before is
// the state that that one led to. Where memory was full between the two, whole finds that later.
func (d deltas) add(index uint64, at time.Time, c *core.Change, upTo bool) (before core.Value, ok bool, err error) {
	v, known, err := d.At(c.Topic)
	if err != nil {
		return core.Value{}, false, err
	}
	if !known {
		v.first, v.from, v.at = index, c.Before(), c.Before()
	}
	before = v.at
	_, held, follows := c.Step(before)
	v.last, v.at = index, c.After()
	if upTo {
		v.upTo, v.upToAt, v.time = v.last, v.at, uint64(at.UnixNano())
	}
	return before, follows && !held, nil
}

// notFollowing is called with a change that does not follow from the one before it. Its error ends
// the work.
type notFollowing func(topic []byte, index uint64, from, at core.Value) error

// whole is the delta of a topic over all records; zero if it has none.
func whole(t *bytopic.Topic[delta], broken notFollowing) (d delta, err error) {
	if t.Next() {
		d = t.Value
	}
	for t.Next() {
		later := &t.Value
		if later.from != d.at {
			if err := broken(t.Name, later.first, later.from, d.at); err != nil {
				return d, err
			}
		}
		d.last, d.at = later.last, later.at
		if later.upTo > 0 {
			d.upTo, d.upToAt, d.time = later.upTo, later.upToAt, later.time
		}
	}
	return d, nil
}

// allOf makes an iterator of a function that calls each with every entry. An error of reading them
// is its last step.
//
// It copies each topic, which is in a page of the file. A page that cannot be read must fault here,
// where snapshot.File makes an error of that: in the body of a loop over an iterator it would end
// the process.
func allOf(read func(each func(snapshot.Entry) error) error) iter.Seq2[snapshot.Entry, error] {
	return func(yield func(snapshot.Entry, error) bool) {
		var topic []byte
		err := read(func(e snapshot.Entry) error {
			topic = append(topic[:0], e.Topic...)
			e.Topic = topic
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(snapshot.Entry{}, err)
		}
	}
}
