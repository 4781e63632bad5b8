package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"gcd/store"
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

	// Rest, if not nil, is called between small pieces of the work, and may wait: for who shares processor and disk with what counts.
	Rest func()

	memory int // of the log's topics before they go to a temporary file, bytes; 0: dumpMemory
}

// restEvery is how many changes, records or counters lie between two rests: some tens of microseconds.
const restEvery = 32

// dumpMemory is how much of the log's topics is collected before it goes to a temporary file, in bytes. It fits into the processor's caches, and is
// sorted in a few milliseconds, in which there is no rest.
const dumpMemory = 2 << 20

// ErrNotKept says that the log does not reach back, or not reach, to the state that was asked for.
var ErrNotKept = errors.New("tools: the log is not kept for that")

// Dumped is what a dump was of.
type Dumped struct {
	Header    DumpHeader
	Entries   uint64
	Running   bool   // a server has the directory
	Backwards uint64 // with Before: records behind the index whose times are not later, because the clock went backwards
}

// Dump writes the counters of a store's directory as they were at one index, and changes nothing. Beside a running server it is of the last record that there was
// when it began. Errors are those of OpenSource, ErrNotKept, the writer's and, if the entries do not fit to the log, *wal.CorruptionError.
// Memory does not grow with the number of topics.
func Dump(ctx context.Context, dir string, w DumpWriter, o DumpOptions) (result Dumped, err error) {
	if o.Rest == nil {
		o.Rest = func() {}
	}
	src, err := OpenSource(ctx, dir, SourceOptions{TempDir: o.TempDir, Rest: o.Rest})
	if err != nil {
		return Dumped{}, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if o.memory == 0 {
		o.memory = dumpMemory
	}
	d := &dumper{DumpOptions: o, ctx: ctx, src: src, w: w}
	d.result.Running = src.Running()
	d.chains = newChains(o.TempDir, o.memory, src.pause)
	defer func() { d.chains.close() }()
	return d.result, d.dump()
}

// dumper is one Dump.
type dumper struct {
	DumpOptions
	ctx    context.Context
	src    *Source
	w      DumpWriter
	chains *chains
	index  uint64 // of the state
	from   uint64 // the log is read from here
	result Dumped
	pieces int // of the work, done

	counter Counter // the last one written: one for each would be garbage
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
		// What is before says of topics that changed since which record they are of, and no more.
		d.chains.close()
		d.chains, d.from = newChains(d.TempDir, d.memory, d.src.pause), needed
		err = d.collect()
	}
	if err != nil {
		return err
	}
	if err := d.w.Header(d.result.Header); err != nil {
		return err
	}
	if err := errors.Join(d.merge(), d.ctx.Err()); err != nil {
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
			return fmt.Errorf("%w: its first record, %d, is of %s, later than that", ErrNotKept, first, appendTime(nil, r.Time))
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

// collect reads the log into chains: what each topic was at the index, and what it was after.
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
		for change, err := range store.Changes(r.Payload) {
			if err != nil {
				return d.src.damaged(r, err)
			}
			d.piece()
			if !d.wanted(change.Topic) {
				continue
			}
			before, ok, err := d.chains.add(r.Index, r.Time, &change, r.Index <= d.index)
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
	return d.chains.sort()
}

func (d *dumper) wanted(topic []byte) bool {
	return len(topic) >= len(d.Prefix) && string(topic[:len(d.Prefix)]) == d.Prefix
}

// merge joins the snapshot's entries, which come in the order of keys, with the chains, which do too.
func (d *dumper) merge() error {
	var done, total uint64
	if d.src.Snapshot != nil {
		total = d.src.Snapshot.Count
	}
	err := d.src.Entries(func(e store.Entry) error {
		if err := d.step(&done, "writing counters", "topics", total); err != nil {
			return err
		}
		if !d.wanted(e.Topic) {
			return nil
		}
		for {
			ch, err := d.chains.peek(d.broken)
			if err != nil {
				return err
			}
			order := 1
			if ch != nil {
				order = store.CompareTopics(ch.topic, e.Topic)
			}
			if order > 0 {
				return d.unchanged(e)
			}
			if ch, err = d.chains.next(d.broken); err != nil {
				return err
			}
			if order == 0 {
				return d.changed(e, ch)
			}
			if err := d.new(ch); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	for {
		ch, err := d.chains.next(d.broken)
		if ch == nil || err != nil {
			return err
		}
		if err := d.step(&done, "writing counters", "topics", 0); err != nil {
			return err
		}
		if err := d.new(ch); err != nil {
			return err
		}
	}
}

// unchanged writes an entry that no record that was read has changed.
func (d *dumper) unchanged(e store.Entry) error {
	if e.Last >= d.from {
		return d.wrong(e.Topic, "it is said to be of record %d, which does not change it", e.Last)
	}
	return d.write(e, time.Time{})
}

// changed writes a topic that has both. An entry may be newer than the snapshot's replay index, and then holds changes of the chain.
func (d *dumper) changed(e store.Entry, ch *chain) error {
	at, ok := e.Value, true
	switch {
	case e.Last < ch.first:
		ok = at == ch.from && ch.first > d.src.Replay()
	case e.Last == ch.last:
		ok = at == ch.at
	case e.Last == ch.settled:
		ok = at == ch.settledAt
	default:
		ok = e.Last < ch.last && !less(at, ch.from) && !less(ch.at, at)
	}
	if ok && ch.last <= d.src.Replay() {
		ok = e.Last == ch.last
	}
	if !ok {
		return d.wrong(e.Topic, "it is at epoch %d, sum %d of record %d, but the log takes it from epoch %d, sum %d in record %d to epoch %d, sum %d in record %d",
			at.Epoch, at.Sum, e.Last, ch.from.Epoch, ch.from.Sum, ch.first, ch.at.Epoch, ch.at.Sum, ch.last)
	}
	return d.settled(ch)
}

// new writes a topic that the snapshot does not have.
func (d *dumper) new(ch *chain) error {
	if ch.from != (store.Value{}) || ch.first <= d.src.Replay() {
		return d.wrong(ch.topic, "it is missing, but record %d takes it from epoch %d, sum %d", ch.first, ch.from.Epoch, ch.from.Sum)
	}
	return d.settled(ch)
}

// settled writes what a topic was at the index: what the last change up to it led to, or what the first one behind it starts from.
func (d *dumper) settled(ch *chain) error {
	if ch.settled > 0 {
		return d.write(store.Entry{Topic: ch.topic, Value: ch.settledAt, Last: ch.settled}, time.Unix(0, ch.time))
	}
	if ch.from == (store.Value{}) {
		return nil // it was not there yet
	}
	return d.write(store.Entry{Topic: ch.topic, Value: ch.from}, time.Time{})
}

func (d *dumper) write(e store.Entry, at time.Time) error {
	d.result.Entries++
	d.counter = Counter{Entry: e, Time: at}
	return d.w.Counter(&d.counter)
}

// less says whether a state comes before another.
func less(a, b store.Value) bool { return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Sum < b.Sum }

// wrong is an error about a topic's entry in the snapshot.
func (d *dumper) wrong(topic []byte, format string, args ...any) error {
	return &wal.CorruptionError{File: store.SnapshotPath(d.src.dir), Err: fmt.Errorf("topic %.64q: "+format, append([]any{bytes.Clone(topic)}, args...)...)}
}

// broken is a brokenFunc.
func (d *dumper) broken(topic []byte, index uint64, from, at store.Value) error {
	reason := doesNotFollow(topic, index, from, at)
	for r, err := range d.src.Records(index) {
		if err != nil {
			return err
		}
		return d.src.damaged(r, reason)
	}
	return reason
}
