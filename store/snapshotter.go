package store

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"gcd/internal/priority"
	"gcd/store/core"
	"gcd/store/snapshot"
)

const (
	captureEntries  = 200                    // topics copied between two batches
	transactionRest = 2                      // rest after a transaction, in times that it took
	mostRest        = 200 * time.Millisecond // the transaction may have waited for a processor most of the time
	snapshotRetry   = 10 * time.Second
	// asideTime is how long a snapshot is written at the least priority. On a machine that is
	// always busy it may not be complete by then, and goes on at the common priority: the log must
	// not grow for ever.
	asideTime = time.Minute
)

// snapshotState is what the snapshotter keeps and others read.
type snapshotState struct {
	done, entries atomic.Uint64
	replay        atomic.Uint64 // as in the file
	at, took      atomic.Int64  // when the last one was completed, in nanoseconds since 1970, and how long it took
	underWay      atomic.Bool   // one is written
	failed        atomic.Bool   // the last one was not completed
	unshortened   atomic.Bool   // the log kept segments that were to go, the last time
	grown         atomic.Int64  // bytes of batches since the last snapshot began
	doubted       atomic.Bool   // another process may have written the file: LOCK was gone for a while
	checked       bool          // since the start, all pages; the snapshotter's alone
	asideTime     time.Duration // asideTime, but in tests
	transaction   int           // snapshot.TransactionEntries, but in tests
}

// noticeGrowth wakes the snapshotter when the log has grown enough. Called by the owner.
func (s *Store) noticeGrowth(bytes int) {
	if s.wal == nil || s.options.SnapshotBytes < 0 {
		return
	}
	if s.snapshot.grown.Add(int64(bytes)) >= s.options.SnapshotBytes {
		select {
		case s.logGrew <- struct{}{}:
		default:
		}
	}
}

// Snapshot takes a snapshot now and returns when it is complete. A store without a directory has
// none to take: it returns nil.
func (s *Store) Snapshot(ctx context.Context) error {
	if s.wal == nil {
		return nil
	}
	result := make(chan error, 1)
	select {
	case s.requests <- result:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return core.ErrClosed
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// snapshotter takes snapshots when they are due, one at a time.
func (s *Store) snapshotter() {
	interval := s.options.SnapshotInterval
	if interval < 0 {
		interval = 1<<63 - 1
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		var result chan error
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		case <-s.logGrew:
		case result = <-s.requests:
		}
		err := s.takeSnapshot()
		if errors.Is(err, ErrMoved) {
			s.fail(err)
		}
		s.snapshot.failed.Store(err != nil)
		next := interval
		if err != nil && s.ctx.Err() == nil && s.Err() == nil {
			next = min(interval, snapshotRetry)
			s.options.Logger.Warn("no snapshot this time; the log is kept and nothing is lost", "error", err)
		}
		if err == nil { // without anything new, too: what is kept for history grows old
			err = s.shorten()
			s.snapshot.unshortened.Store(err != nil)
			if err != nil && s.ctx.Err() == nil && s.Err() == nil {
				next = min(interval, snapshotRetry)
				s.options.Logger.Warn("the log is longer than it need be: its old segments cannot be removed", "error",
					err)
			}
		}
		s.reserve.takeBack()
		s.wakeSpareKeeper() // which makes it again
		timer.Reset(next)
		if result != nil {
			result <- err
		}
	}
}

// takeSnapshot brings the snapshot file up to what is applied now. If it returns an error
// everything that was not written is still due.
func (s *Store) takeSnapshot() error {
	if err := s.look(); err != nil {
		return err
	}
	if s.snapshot.doubted.Load() {
		if err := s.file.Update(func(*snapshot.Meta) {}); err != nil { // which finds out
			return err
		}
		s.snapshot.doubted.Store(false)
	}
	if !s.snapshot.checked {
		if _, err := s.file.Meta(); err != nil { // which looks at every page
			return err
		}
		s.snapshot.checked = true
	}
	var ids []uint32
	var begun uint64
	err := s.do(func() {
		ids, begun = s.machine.TakeChanged(), s.machine.Applied()
		s.snapshot.grown.Store(0)
	})
	if err != nil {
		return err
	}
	if begun == s.snapshot.replay.Load() {
		return nil
	}
	started := time.Now()
	s.snapshot.underWay.Store(true)
	defer s.snapshot.underWay.Store(false)
	rest := ids
	if err = s.reserve.lend(2*s.options.SegmentSize, s.wal.BetweenSpares); err == nil {
		rest, err = s.writeAside(ids)
	}
	if err == nil {
		rest, err = s.writeEntries(rest, time.Time{}, nil)
	}
	if err != nil {
		return errors.Join(err, s.do(func() { s.machine.GiveBack(rest) }))
	}
	durable, err := s.durable()
	if err != nil {
		return err
	}
	err = s.file.Update(func(m *snapshot.Meta) {
		m.Replay, m.DurableAtLeast = begun, max(m.DurableAtLeast, durable)
	})
	if err != nil {
		return err
	}
	s.snapshot.replay.Store(begun)
	s.wal.Cover(begun)
	s.snapshot.took.Store(int64(time.Since(started)))
	s.snapshot.at.Store(s.options.now().UnixNano())
	s.snapshot.done.Add(1)
	s.snapshot.entries.Add(uint64(len(ids)))
	s.options.Logger.Info("snapshot", "topics", len(ids), "index", begun, "took_seconds",
		time.Since(started).Round(time.Millisecond).Seconds())
	return nil
}

// writeAside sorts ids and does writeEntries, at the least priority, for asideTime.
func (s *Store) writeAside(ids []uint32) (rest []uint32, err error) {
	until := time.Now().Add(s.snapshot.asideTime)
	done := make(chan struct{})
	go func() {
		defer close(done)
		priority.Least()
		yield := func() {
			if time.Now().Before(until) { // after that it no longer lets others go first
				priority.Yield()
			}
		}
		// neighbours in the file are written together; topics never change, so this needs no owner
		core.SortTopics(ids, s.machine.Topic, yield)
		rest, err = s.writeEntries(ids, until, yield)
	}()
	<-done
	return rest, err
}

// writeEntries writes the present state of topics, a transaction at a time, until then; the zero
// time is never. It returns the topics that it did not come to, whose marks are as they were. After
// an error the entries that are not in the file are marked again.
func (s *Store) writeEntries(ids []uint32, until time.Time, yield func()) (rest []uint32, err error) {
	entries := make([]snapshot.Entry, 0, min(len(ids), s.snapshot.transaction))
	for len(ids) > 0 && (until.IsZero() || time.Now().Before(until)) {
		part := ids[:min(len(ids), s.snapshot.transaction)]
		entries = entries[:0]
		for piece := range slices.Chunk(part, captureEntries) {
			if err := s.do(func() { entries = s.capture(entries, piece) }); err != nil {
				return ids, err
			}
		}
		ids = ids[len(part):]
		began := time.Now()
		durable, err := s.durable()
		if err == nil {
			err = s.file.Write(entries, durable, yield)
		}
		if err == nil && len(ids) > 0 {
			err = s.pace(min(transactionRest*time.Since(began), mostRest))
		}
		if err != nil {
			return ids, errors.Join(err, s.do(func() { s.uncapture(part, entries) }))
		}
	}
	return ids, nil
}

// capture copies topics' states and clears their marks. On the owner.
func (s *Store) capture(entries []snapshot.Entry, ids []uint32) []snapshot.Entry {
	for _, id := range ids {
		topic, v, last := s.machine.Capture(id)
		entries = append(entries, snapshot.Entry{Topic: topic, Value: v, Last: last})
	}
	return entries
}

// uncapture makes captured entries due again. On the owner.
func (s *Store) uncapture(ids []uint32, entries []snapshot.Entry) {
	for i := range entries {
		s.machine.Uncapture(ids[i], entries[i].Last)
	}
}

// durable makes the log durable up to what was captured (it is already, but in interval mode) and
// returns the index.
func (s *Store) durable() (uint64, error) {
	if s.options.Sync == SyncInterval {
		if err := s.do(s.syncLog); err != nil {
			return 0, err
		}
	}
	if err := s.Err(); err != nil {
		return 0, err
	}
	if err := s.look(); err != nil { // what is written next is written under a name
		return 0, err
	}
	return s.wal.Durable(), nil
}

// pace leaves disk and processors to the log for a while, and ends a snapshot when the store
// closes.
func (s *Store) pace(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return core.ErrClosed
	}
}
