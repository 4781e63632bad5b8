package tools

import (
	"errors"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// countTopics counts the topics of a directory, in its snapshot and after it in the log. changes
// calls do with the changes of the records after the snapshot, in their order. m is nil if there is
// no snapshot that can be read. exact is false if some topics may have been counted twice.
func (r *dirView) countTopics(m *snapshot.Meta, changes func(do func(index uint64,
	c core.Change) error) error) (n uint64, exact bool, err error) {
	if m == nil {
		m = &snapshot.Meta{}
	}
	// A topic leaves its first state once, so the change that starts from it stands for the topic.
	// An interrupted snapshot may already have topics whose records come after it.
	search := m.Count > 0 && r.meta == nil
	var born, known, doubtful uint64
	failed := error(nil)
	topics := func(yield func([]byte) bool) {
		failed = changes(func(index uint64, c core.Change) error {
			if c.Before() != (core.Value{}) {
				return nil
			}
			if born++; m.Count == 0 || index > m.DurableAtLeast {
				return nil
			}
			if doubtful++; search && !yield(c.Topic) {
				return errEnough
			}
			return nil
		})
	}
	if search {
		_, err = (&snapshot.File{Path: store.SnapshotPath(r.dir), Open: r.open, Rest: r.pause}).Find(topics,
			func(snapshot.Entry) error { known++; return nil })
	} else {
		topics(func([]byte) bool { return true })
	}
	if errors.Is(failed, errEnough) {
		failed = nil
	}
	return m.Count + born - known, search || doubtful == 0, errors.Join(failed, err)
}

// errEnough ends an iteration.
var errEnough = errors.New("enough")

// changesOf gives the changes of the records of a log after an index.
func changesOf(log *wal.Log, after uint64) func(do func(index uint64, c core.Change) error) error {
	return func(do func(index uint64, c core.Change) error) error {
		if log == nil || after >= log.Last() {
			return nil
		}
		for rec, err := range log.Records(max(after+1, log.First())) {
			if err != nil {
				return err
			}
			if err := changesIn(rec, do); err != nil {
				return err
			}
		}
		return nil
	}
}

// changesIn gives the changes of a record, those before the first that cannot be read.
func changesIn(rec wal.Record, do func(index uint64, c core.Change) error) error {
	for c, err := range core.Changes(rec.Type, rec.Payload) {
		if err != nil {
			return nil // who reads the records says so
		}
		if err := do(rec.Index, c); err != nil {
			return err
		}
	}
	return nil
}
