package tools

import (
	"context"
	"errors"
	"time"

	"gcd/store"
	"gcd/store/core"
	"gcd/wal"
)

// A Step is what one record did to a topic: it handed out First to Last, or it ended the epoch.
type Step struct {
	Index uint64
	Time  time.Time
	Epoch uint64 // of the numbers; for a reset the epoch that it ended
	Reset bool
	First uint64 // number that was handed out; 0 for a reset
	Last  uint64 // for a reset the sum that the topic had
}

// HistoryOptions say which part of a topic's history is wanted. The zero value wants all.
type HistoryOptions struct {
	Since    time.Time // records of this time and later
	Rest     func()    // nil or as in DumpOptions
	Progress ProgressFunc
}

// HistoryRange is what is kept.
type HistoryRange struct {
	Store       wal.ID
	First, Last uint64 // records; First comes after Last if there is none
	Steps       uint64 // of the topic that History told of
	Covered     bool   // the topic's history is whole: the log goes back to record 1
	Known       bool   // there is such a topic, even if History told nothing of it
}

// History calls each with what the kept records say of a topic, in their order. Several changes of
// one record come one by one. Damage is the error, after everything that comes before it. So is a
// snapshot that knows of later records than the log has. Errors are *wal.CorruptionError,
// wal.ErrNotOurs and wal.ErrVersion.
func History(
	ctx context.Context, topic []byte, dir string, o HistoryOptions, each func(Step) error,
) (found HistoryRange, err error) {
	if topic == nil {
		topic = []byte{}
	}
	r, err := openDirView(ctx, dir, dirViewOptions{rest: o.Rest, noEntries: true, topic: topic})
	if err != nil {
		return HistoryRange{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	log, damage := r.openLog()
	records, total := wal.Scan(store.LogDir(dir), wal.Options{FS: r.fs}), uint64(0)
	switch {
	case log != nil:
		found = HistoryRange{Store: log.ID(), First: log.First(), Last: log.Last(), Covered: log.First() == 1}
		records, total = log.Records(found.First), found.Last+1-found.First
		damage = r.fits(log)
	case errors.Is(damage, store.ErrNoStore):
		return HistoryRange{}, damage
	}
	found.Known = r.has
	var done uint64
	for rec, err := range records {
		if errors.Is(err, wal.ErrNoLog) {
			break // the snapshot knows of one
		}
		if err != nil {
			return found, err
		}
		done++
		o.Progress.report("reading the log", "records", done, total)
		if err := ctx.Err(); err != nil {
			return found, err
		}
		early := rec.Time.Before(o.Since)
		if early && found.Known {
			continue
		}
		for c, err := range core.Changes(rec.Type, rec.Payload) {
			if err != nil {
				return found, &wal.CorruptionError{File: segmentPath(dir, rec.Segment), Offset: rec.Offset,
					Index: rec.Index, Err: err}
			}
			if string(c.Topic) != string(topic) {
				continue
			}
			if found.Known = true; early {
				break
			}
			step := Step{Index: rec.Index, Time: rec.Time, Epoch: c.Epoch, Reset: c.N == 0, Last: c.Sum}
			if c.N > 0 {
				step.First, step.Last = c.Sum+1, c.Sum+c.N
			}
			found.Steps++
			if err := each(step); err != nil {
				return found, err
			}
		}
	}
	return found, damage
}
