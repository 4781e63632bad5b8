package tools

import (
	"errors"
	"fmt"
	"path/filepath"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// A comparison compares the snapshot with the records that are kept: each topic's changes follow
// one from another, the snapshot's entry is what they lead to at the record that it names, and it
// lacks none that it should have. The topics of the log are collected, and read beside the
// snapshot.
type comparison struct {
	*verifier
	log    *wal.Log // nil: there is none that the snapshot could be compared with
	replay uint64   // the snapshot's
	first  uint64   // record that is kept
	deltas deltas

	newer map[string]newer // entries newer than replay that are not compared yet
	size  int              // of newer, bytes
}

// newer is an entry that was written while the log grew. The record that it names says what it
// should be.
type newer struct {
	last        uint64
	value, seen core.Value
	offset      int64 // of the entry in the file, bytes
}

func newComparison(v *verifier, log *wal.Log) *comparison {
	c := &comparison{verifier: v, log: log, newer: map[string]newer{}, deltas: newDeltas(v.collecting()),
		first: v.result.First}
	if v.meta != nil {
		c.replay = v.meta.Replay
	}
	return c
}

func (c *comparison) close() { _ = c.deltas.Close() } // nothing of it is kept

func (c *comparison) run() error {
	if c.log != nil {
		if err := c.collect(); err != nil {
			return err
		}
	}
	entries := func(func(snapshot.Entry, error) bool) {}
	if c.snapshot >= 0 {
		entries = allOf(c.entries)
	}
	for t, err := range bytopic.Join(entries, c.deltas.Collector) {
		if err == nil {
			err = c.topic(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collect reads every record into deltas.
func (c *comparison) collect() error {
	total := c.log.Last() + 1 - c.first
	var done uint64
	for r, err := range c.log.Records(c.first) {
		if err != nil {
			return c.logDamage(c.log.Last(), err)
		}
		for change, err := range core.Changes(r.Type, r.Payload) {
			if err != nil {
				if err := c.recordDamage(r, err); err != nil {
					return err
				}
				break
			}
			c.result.Changes++
			before, ok, err := c.deltas.add(r.Index, r.Time, &change, r.Index <= c.replay)
			if err != nil {
				return err
			}
			if !ok {
				if err := c.recordDamage(r, doesNotFollow(change.Topic, r.Index, change.Before(), before)); err != nil {
					return err
				}
			}
		}
		done++
		c.Progress.report("reading the log", "records", done, total)
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func doesNotFollow(topic []byte, index uint64, from, at core.Value) error {
	return fmt.Errorf("record %d takes topic %.64q from epoch %d, sum %d, but it was at epoch %d, sum %d", index, topic,
		from.Epoch, from.Sum, at.Epoch, at.Sum)
}

func (c *comparison) recordDamage(r wal.Record, err error) error {
	c.contradicted = true
	at := c.segments[r.Segment]
	return c.damage(at, &wal.CorruptionError{File: filepath.Join(c.dir, c.result.Files[at].Name), Offset: r.Offset,
		Index: r.Index, Err: err})
}

// logDamage notes an error of reading a record, at the segment that holds it.
func (c *comparison) logDamage(index uint64, err error) error {
	return c.damage(c.segmentFile(index), err)
}

// broken is a notFollowing. It notes damage, and goes on.
func (c *comparison) broken(topic []byte, index uint64, from, at core.Value) error {
	for r, err := range c.log.Records(index) {
		if err != nil {
			return c.logDamage(index, err)
		}
		return c.recordDamage(r, doesNotFollow(topic, index, from, at))
	}
	return nil
}

// wrong notes damage of the snapshot at an offset; 0: of the whole file.
func (c *comparison) wrong(offset int64, format string, args ...any) error {
	c.contradicted = true
	return c.damage(c.snapshot,
		&wal.CorruptionError{File: store.SnapshotPath(c.dir), Offset: offset, Err: fmt.Errorf(format, args...)})
}

// entries calls each with the entries of the snapshot, and then looks up those that are newer.
func (c *comparison) entries(each func(snapshot.Entry) error) error {
	var done uint64
	var ours error
	_, err := c.readEntries(func(m snapshot.Meta, e snapshot.Entry) error {
		done++
		c.Progress.report("comparing the snapshot", "topics", done, m.Count)
		if ours = c.ctx.Err(); ours == nil {
			ours = each(e)
		}
		return ours
	})
	if ours != nil {
		return ours
	}
	c.result.Files[c.snapshot].Entries = done
	if err != nil && len(c.result.Files[c.snapshot].Damage) == 0 {
		return c.damage(c.snapshot, err)
	}
	return c.checkNewer()
}

// topic compares what the snapshot and the log say of a topic.
func (c *comparison) topic(t *bytopic.Topic[delta]) error {
	log, err := whole(t, c.broken)
	switch {
	case err != nil:
		return err
	case t.Entry == nil:
		return c.without(t.Name, &log)
	case c.log == nil:
		return nil
	}
	return c.entry(*t.Entry, &log)
}

// entry compares an entry of the snapshot.
func (c *comparison) entry(e snapshot.Entry, log *delta) error {
	last := c.log.Last()
	switch {
	case e.Last > last:
		return c.wrong(e.Offset, "topic %.64q was changed last by record %d, but the log ends at %d", e.Topic, e.Last,
			last)
	case e.Last == 0 && c.first == 1:
		return c.wrong(e.Offset, "topic %.64q is said to be older than what the log keeps, but it has every record",
			e.Topic)
	case e.Last < c.first && log.first == 0:
		c.unproved++
	case log.first == 0:
		return c.wrong(e.Offset, "topic %.64q was changed last by record %d, which does not change it", e.Topic, e.Last)
	case e.Last < c.first:
		if log.upTo > 0 {
			return c.wrong(e.Offset, "topic %.64q is as record %d left it, but record %d changed it and is said to "+
				"be in the snapshot", e.Topic, e.Last, log.upTo)
		}
		if e.Value != log.from {
			return c.wrong(e.Offset, "topic %.64q is at epoch %d, sum %d, but record %d takes it from epoch %d, sum %d",
				e.Topic, e.Epoch, e.Sum, log.first, log.from.Epoch, log.from.Sum)
		}
	case e.Last <= c.replay:
		if log.upTo != e.Last || log.upToAt != e.Value {
			return c.wrong(e.Offset, "topic %.64q is at epoch %d, sum %d by record %d, but the log has it at epoch "+
				"%d, sum %d by record %d",
				e.Topic, e.Epoch, e.Sum, e.Last, log.upToAt.Epoch, log.upToAt.Sum, log.upTo)
		}
	default:
		c.newerEntries++
		c.newer[string(e.Topic)] = newer{last: e.Last, value: e.Value, offset: e.Offset}
		if c.size += len(e.Topic) + 128; c.size > c.memory {
			return c.checkNewer()
		}
	}
	return nil
}

// without checks a topic that the log has and the snapshot does not.
func (c *comparison) without(topic []byte, log *delta) error {
	c.result.Topics++
	switch {
	case log.upTo > 0: // so there is a snapshot
		return c.wrong(0, "topic %.64q is missing, though record %d, which is said to be in the snapshot, changed it",
			topic, log.upTo)
	case log.from != core.Value{}:
		return c.broken(topic, log.first, log.from, core.Value{})
	}
	return nil
}

// checkNewer looks up in the log what entries newer than replay should be.
func (c *comparison) checkNewer() error {
	if len(c.newer) == 0 {
		return nil
	}
	for r, err := range c.log.Records(c.replay + 1) {
		if err != nil {
			return c.logDamage(r.Index, err)
		}
		for change, err := range core.Changes(r.Type, r.Payload) {
			if err != nil {
				break // collect has said so
			}
			if n, ok := c.newer[string(change.Topic)]; ok && n.last == r.Index {
				n.seen = change.After()
				c.newer[string(change.Topic)] = n
			}
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	var errs []error
	for topic, n := range c.newer {
		if n.seen != n.value {
			errs = append(errs, c.wrong(n.offset,
				"topic %.64q is at epoch %d, sum %d by record %d, but that record left it at epoch %d, sum %d",
				topic, n.value.Epoch, n.value.Sum, n.last, n.seen.Epoch, n.seen.Sum))
		}
	}
	clear(c.newer)
	c.size = 0
	return errors.Join(errs...)
}
