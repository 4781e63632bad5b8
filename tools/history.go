package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gcd/store"
	"gcd/wal"
)

// A Step is what one record did to a topic: it handed out First to Last, or it ended the epoch.
type Step struct {
	Index uint64
	Time  time.Time
	Epoch uint64 // that the numbers belong to; of a reset the one that it ended
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
	First, Last uint64 // records; First is behind Last if there is none
	Steps       uint64 // of the topic, told of
	Covered     bool   // the topic's history is whole: the log goes back to record 1
}

// History calls each with what the kept records say of a topic, in their order. Several changes of a record that follow each other are told one by
// one. Damage is a *wal.CorruptionError, behind what was before it.
func History(ctx context.Context, topic []byte, dir string, o HistoryOptions, each func(Step) error) (found HistoryRange, err error) {
	r, err := openReading(ctx, dir, "", o.Rest)
	if err != nil {
		return HistoryRange{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	log, err := r.openLog()
	if err != nil {
		return HistoryRange{}, err
	}
	found = HistoryRange{Store: log.ID(), First: log.First(), Last: log.Last(), Covered: log.First() == 1}
	total := found.Last + 1 - found.First
	for rec, err := range log.Records(found.First) {
		if err != nil {
			return found, err
		}
		done := rec.Index - found.First + 1
		o.Progress.report("reading the log", "records", done, total)
		if done%progressEvery == 0 && ctx.Err() != nil {
			return found, ctx.Err()
		}
		if rec.Time.Before(o.Since) {
			continue
		}
		for c, err := range store.Changes(rec.Payload) {
			if err != nil {
				return found, &wal.CorruptionError{File: segmentPath(dir, rec.Segment), Offset: rec.Offset, Index: rec.Index, Err: err}
			}
			if string(c.Topic) != string(topic) {
				continue
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
	return found, nil
}

// openLog opens the log, whose records at or below the snapshot's replay are not read yet: whoever reads them hears of their damage then.
func (r *reading) openLog() (*wal.Log, error) {
	o := wal.Options{FS: r.fs}
	m, err := r.snapshotMeta()
	if err == nil {
		o.Settled, o.Ours = m.Replay, true
	}
	log, logErr := wal.Open(store.LogDir(r.dir), o)
	if errors.Is(logErr, wal.ErrNoLog) && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", store.ErrNoStore, r.dir)
	}
	return log, logErr
}
