package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/tools/internal/bytopic"
	"gcd/wal"
)

// DumpOptions say what a dump holds. The zero value is everything, at the last record.
type DumpOptions struct {
	At     *uint64   // the index of the state; nil: that of the last record
	Before time.Time // the state before the first record that is later than this; zero: At
	Times  bool      // of each counter's last change; the whole log is read for them
	Prefix string    // topics that begin with it alone

	TempDir  string // for what does not fit into memory, and the copy of a running server's snapshot; "": os.TempDir
	Progress ProgressFunc

	// Rest, if not nil, is called between small pieces of the work, and may wait. It leaves
	// processor and disk to a server that counts.
	Rest func()

	memory int // of the log's topics before they go to a temporary file, bytes; 0: dumpMemory
}

// restEvery is how many changes, records or counters lie between two rests: some tens of
// microseconds.
const restEvery = 32

// dumpMemory is how many bytes of the log's topics are collected before they go to a temporary
// file. They fit into the processor's caches, and are sorted in a few milliseconds, without a rest.
const dumpMemory = 2 << 20

// ErrNotKept says that the log does not reach back to the state that was asked for, or not up to
// it.
var ErrNotKept = errors.New("tools: the log is not kept for that")

// Dumped is what a dump was of.
type Dumped struct {
	Header  DumpHeader
	Entries uint64
	Running bool // a server has the directory

	// With Before: records after the index whose times are not later, because the clock went back.
	Backwards uint64
}

// Dump writes the counters of a store's directory as they were at one index, and changes nothing.
// Beside a running server it shows the last record that there was when it began. Errors are those
// of OpenView, ErrNotKept, those of the writer, and *wal.CorruptionError if entries do not fit the
// log. Memory does not grow with the number of topics.
func Dump(ctx context.Context, dir string, w DumpWriter, o DumpOptions) (result Dumped, err error) {
	if o.Rest == nil {
		o.Rest = func() {}
	}
	src, err := OpenView(ctx, dir, ViewOptions{TempDir: o.TempDir, Rest: o.Rest})
	if err != nil {
		return Dumped{}, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if o.memory == 0 {
		o.memory = dumpMemory
	}
	d := &dumper{DumpOptions: o, ctx: ctx, src: src, w: w}
	d.result.Running = src.Running()
	d.deltas = newDeltas(d.collecting())
	defer func() { _ = d.deltas.Close() }() // nothing of it is kept
	return d.result, d.dump()
}

// dumper is one Dump.
type dumper struct {
	DumpOptions
	ctx    context.Context
	src    *View
	w      DumpWriter
	deltas deltas
	index  uint64 // of the state
	from   uint64 // the log is read from here
	result Dumped
	pieces int // of the work, done

	counter Counter // the last one written: one for each would be garbage
}

func (d *dumper) collecting() bytopic.Options {
	return bytopic.Options{Dir: d.TempDir, Memory: d.memory, Pause: d.src.pause}
}

func (d *dumper) dump() error {
	if err := d.choose(); err != nil {
		return err
	}
	d.from = d.src.First()
	if d.index == d.src.Last() && !d.Times {
		d.from = max(d.from, d.src.Replay()+1) // the entries have what is before
	}
	d.result.Header = DumpHeader{Store: d.src.ID(), Index: d.index, Prefix: d.Prefix}
	err := d.collect()
	var damage *wal.CorruptionError
	if needed := min(d.index, d.src.Replay()) + 1; errors.As(err, &damage) && d.from < needed && !d.Times {
		// The records before that would only say which of them changed a topic last. The state at
		// the index does not depend on them.
		_ = d.deltas.Close()
		d.deltas, d.from = newDeltas(d.collecting()), needed
		err = d.collect()
	}
	if err != nil {
		return err
	}
	if err := d.w.Header(d.result.Header); err != nil {
		return err
	}
	if err := errors.Join(d.join(), d.ctx.Err()); err != nil {
		return err // without its footer it is no dump
	}
	return d.w.Footer()
}

// choose finds the index of the state.
func (d *dumper) choose() error {
	first, last := d.src.First(), d.src.Last()
	d.index = last
	if !d.Before.IsZero() {
		return d.chooseBefore()
	}
	if d.At != nil {
		d.index = *d.At
	}
	if d.index > last || d.index+1 < first {
		return fmt.Errorf("%w: it has %v, so states from %d to %d", ErrNotKept, Range{first, last}, first-1, last)
	}
	return nil
}

// chooseBefore finds the first record that is later than a time.
func (d *dumper) chooseBefore() error {
	var done uint64
	first := d.src.First()
	if first > 1 && first > d.src.Last() && d.Before.Before(time.Now()) { // at a time to come the state is that of now
		return fmt.Errorf("%w: it has no records, so nothing says of when the state at %d is", ErrNotKept, first-1)
	}
	found := false
	for r, err := range d.src.Records(first) {
		if err != nil {
			return err
		}
		later := r.Time.After(d.Before)
		switch {
		case found && !later:
			d.result.Backwards++
		case !found && later && r.Index == first && first > 1:
			return fmt.Errorf("%w: its first record, %d, is of %s, later than that", ErrNotKept, first,
				appendTime(nil, r.Time))
		case !found && later:
			d.index, found = r.Index-1, true
		}
		if err := d.step(&done, "looking for the time", "records", d.src.Last()+1-first); err != nil {
			return err
		}
	}
	return nil
}

// step counts one more, reports it now and then, and ends the work with ctx.
func (d *dumper) step(done *uint64, phase, unit string, total uint64) error {
	*done++
	d.piece()
	d.Progress.report(phase, unit, *done, total)
	return d.ctx.Err()
}

// piece counts one more piece of the work, and rests now and then.
func (d *dumper) piece() {
	if d.pieces++; d.pieces%restEvery == 0 {
		d.Rest()
	}
}

// collect reads the log into deltas: what each topic was at the index, and what it was after.
func (d *dumper) collect() error {
	from := d.from
	if d.index >= d.src.First() {
		from = min(from, d.index) // for the time of that record
	}
	var done uint64
	for r, err := range d.src.Records(from) {
		if err != nil {
			return err
		}
		if r.Index == d.index {
			d.result.Header.Time = r.Time
		}
		if r.Index < d.from {
			continue
		}
		for change, err := range core.Changes(r.Type, r.Payload) {
			if err != nil {
				return d.src.damaged(r, err)
			}
			d.piece()
			if !d.wanted(change.Topic) {
				continue
			}
			before, ok, err := d.deltas.add(r.Index, r.Time, &change, r.Index <= d.index)
			if err != nil {
				return err
			}
			if !ok {
				return d.src.damaged(r, doesNotFollow(change.Topic, r.Index, change.Before(), before))
			}
		}
		if err := d.step(&done, "reading the log", "records", d.src.Last()+1-from); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) wanted(topic []byte) bool {
	return len(topic) >= len(d.Prefix) && string(topic[:len(d.Prefix)]) == d.Prefix
}

// join writes the topics that the snapshot or the log has.
func (d *dumper) join() error {
	var done, total uint64
	if d.src.Snapshot != nil {
		total = d.src.Snapshot.Count
	}
	for t, err := range bytopic.Join(allOf(d.src.Entries), d.deltas.Collector) {
		if err != nil {
			return err
		}
		if t.Entry == nil && done >= total {
			total = 0 // nobody knows how many come after those of the snapshot
		}
		if t.Entry != nil || total == 0 {
			if err := d.step(&done, "writing counters", "topics", total); err != nil {
				return err
			}
		}
		if !d.wanted(t.Name) {
			continue
		}
		log, err := whole(t, d.broken)
		if err != nil {
			return err
		}
		if err := d.topic(t, &log); err != nil {
			return err
		}
	}
	return nil
}

// topic writes a topic.
func (d *dumper) topic(t *bytopic.Topic[delta], log *delta) error {
	switch {
	case t.Entry == nil:
		return d.new(t.Name, log)
	case log.first == 0:
		return d.unchanged(*t.Entry)
	}
	return d.changed(*t.Entry, log)
}

// unchanged writes an entry that no record that was read has changed.
func (d *dumper) unchanged(e snapshot.Entry) error {
	if e.Last >= d.from {
		return d.wrong(e.Topic, "it is said to be of record %d, which does not change it", e.Last)
	}
	return d.write(e, time.Time{})
}

// changed writes a topic that both have. An entry may be newer than the snapshot's replay index,
// and then has changes of the log already.
func (d *dumper) changed(e snapshot.Entry, log *delta) error {
	at, ok := e.Value, true
	switch {
	case e.Last < log.first:
		ok = at == log.from && log.first > d.src.Replay()
	case e.Last == log.last:
		ok = at == log.at
	case e.Last == log.upTo:
		ok = at == log.upToAt
	default:
		ok = e.Last < log.last && !less(at, log.from) && !less(log.at, at)
	}
	if ok && log.last <= d.src.Replay() {
		ok = e.Last == log.last
	}
	if !ok {
		return d.wrong(e.Topic, "it is at epoch %d, sum %d of record %d, but the log takes it from epoch %d, sum %d "+
			"in record %d to epoch %d, sum %d in record %d",
			at.Epoch, at.Sum, e.Last, log.from.Epoch, log.from.Sum, log.first, log.at.Epoch, log.at.Sum, log.last)
	}
	return d.atIndex(e.Topic, log)
}

// new writes a topic that the snapshot does not have.
func (d *dumper) new(topic []byte, log *delta) error {
	if log.from != (core.Value{}) || log.first <= d.src.Replay() {
		return d.wrong(topic, "it is missing, but record %d takes it from epoch %d, sum %d", log.first, log.from.Epoch,
			log.from.Sum)
	}
	return d.atIndex(topic, log)
}

// atIndex writes what a topic was at the index: what the last change up to it leads to, or what the
// first one after it starts from.
func (d *dumper) atIndex(topic []byte, log *delta) error {
	if log.upTo > 0 {
		return d.write(snapshot.Entry{Topic: topic, Value: log.upToAt, Last: log.upTo}, time.Unix(0, int64(log.time)))
	}
	if log.from == (core.Value{}) {
		return nil // it was not there yet
	}
	return d.write(snapshot.Entry{Topic: topic, Value: log.from}, time.Time{})
}

func (d *dumper) write(e snapshot.Entry, at time.Time) error {
	d.result.Entries++
	d.counter = Counter{Entry: e, Time: at}
	return d.w.Counter(&d.counter)
}

// less says whether a state comes before another.
func less(a, b core.Value) bool { return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Sum < b.Sum }

// wrong is an error about a topic's entry in the snapshot.
func (d *dumper) wrong(topic []byte, format string, args ...any) error {
	return &wal.CorruptionError{File: store.SnapshotPath(d.src.dir),
		Err: fmt.Errorf("topic %.64q: "+format, append([]any{bytes.Clone(topic)}, args...)...)}
}

// broken is a notFollowing.
func (d *dumper) broken(topic []byte, index uint64, from, at core.Value) error {
	reason := doesNotFollow(topic, index, from, at)
	for r, err := range d.src.Records(index) {
		if err != nil {
			return err
		}
		return d.src.damaged(r, reason)
	}
	return reason
}
