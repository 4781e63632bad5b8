// Package store keeps counters in a directory: it makes operations durable in the log before it
// tells their outcomes, takes snapshots so that a start need not read the whole log, and finds
// everything again at the next start.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gcd/internal/dirlock"
	"gcd/store/core"
	"gcd/store/snapshot"
	"gcd/wal"
)

// Store is the counters of one directory, or of no directory: memory only.
//
// Every exported method is safe for concurrent use. Its goroutines are the committer, and for a
// store with a directory the spare keeper, the snapshotter, the mark keeper, the one that looks
// after the directory and, in interval mode, the syncer; Close waits for all of them.
type Store struct {
	// Set by Open, then only read.
	dir     string
	options Options
	log     order
	wal     *wal.Log       // nil: memory only
	file    *snapshot.File // nil: memory only
	opened  fs.FileInfo    // which file that is, from the end of load on
	lock    *dirlock.Lock  // nil: memory only
	recover Recovery

	// The read view: entries are atomics.
	machine *core.Machine

	queue    queue
	handover chan struct{} // gives the ownership to the committer; never more than one in it

	// The commit owner's alone.
	own struct {
		seq     *core.Sequencer
		waiting core.List // groups that a full batch left over
		payload []byte
	}

	stats    counters
	full     moment       // counts are refused: the disk had no room for a batch, and has none yet
	reserve  *reserve     // nil: memory only
	reserved atomic.Int64 // room for a snapshot, in bytes, that the reserve is to have; the owner makes it more
	stopped  moment       // after a disk error; failure says which
	failed   chan struct{}
	failure  atomic.Pointer[error]
	failOnce sync.Once

	ctx      context.Context // ended by Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup // the goroutines
	kick     chan struct{}  // wakes the keeper of room
	logGrew  chan struct{}  // wakes the snapshotter when SnapshotBytes are reached
	requests chan chan error
	snapshot snapshotState
	diskFree atomic.Int64 // bytes, as noteDisk has found
	closing  sync.Once
	closeErr error
}

// start brings up what a recovered (or memory-only) store needs to take groups.
func (s *Store) start() {
	s.queue.idle.L = &s.queue.mu
	s.handover = make(chan struct{}, 1)
	s.failed = make(chan struct{})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.kick = make(chan struct{}, 1)
	s.logGrew = make(chan struct{}, 1)
	s.requests = make(chan chan error)
	s.snapshot.asideTime, s.snapshot.transaction = asideTime, snapshot.TransactionEntries
	maxBatch := memoryBatch
	if s.wal != nil {
		maxBatch = s.wal.MaxRecord()
	}
	// One change must fit into a record, whatever the segment size is.
	s.options.MaxTopicLen = min(s.options.MaxTopicLen, maxBatch-core.MaxChangeLen)
	s.own.seq = core.NewSequencer(s.machine, core.Limits{
		MaxTopics: s.options.MaxTopics, MaxTopicLen: s.options.MaxTopicLen, MaxBatch: maxBatch,
		MaxWhole: min(maxBatch, core.MaxWhole),
	})
	s.wg.Go(s.committer)
	if s.wal != nil {
		s.reserved.Store(s.reserve.covers(s.snapshotRoom()))
		s.noteDisk()
		s.reserve.done = s.ctx.Done()
		s.reserve.want(reserveSize(s.snapshotRoom()))
		s.wg.Go(s.keepRoom)
		s.wg.Go(s.snapshotter)
		s.wg.Go(s.watch)
		s.wg.Go(s.keepMark)
		if s.options.Sync == SyncInterval {
			s.wg.Go(s.syncer)
		}
	}
}

// Submit queues a group; the committer runs it. Submit does not wait. If the store is closed,
// g.Done is called before Submit returns, with ErrClosed in every op.
func (s *Store) Submit(g *core.Group) {
	owner, ok := s.queue.enqueue([]*core.Group{g})
	if !ok {
		g.Refuse(core.ErrClosed)
		return
	}
	if owner {
		s.handover <- struct{}{}
	}
}

// Enqueue queues groups in order, for a caller that can run a round itself. When it returns true
// the caller is the commit owner and must call Round. On a closed store it behaves as Submit and
// returns false.
func (s *Store) Enqueue(groups ...*core.Group) bool {
	owner, ok := s.queue.enqueue(groups)
	if !ok {
		for _, g := range groups {
			g.Refuse(core.ErrClosed)
		}
	}
	return owner
}

// Round commits what waits as one batch, calls Done of every group that is through, and ends the
// caller's ownership; if more waits by then the committer goes on. Only the owner may call it,
// once.
func (s *Store) Round() {
	s.round()
	if !s.queue.release(!s.own.waiting.Empty()) {
		s.handover <- struct{}{}
	}
}

// do runs a function on the commit owner, between two rounds, and waits for it. It returns
// ErrClosed without running it on a closed store.
func (s *Store) do(f func()) error {
	done := make(chan struct{})
	owner, ok := s.queue.enqueueTask(func() { f(); close(done) })
	if !ok {
		return core.ErrClosed
	}
	if owner {
		s.handover <- struct{}{}
	}
	<-done
	return nil
}

// committer owns the commit whenever no caller of Round does. It ends when Close closes handover.
func (s *Store) committer() {
	for range s.handover {
		for {
			runtime.Gosched() // let callers that were just answered submit again: they share this round, not the next
			s.round()
			if s.queue.release(!s.own.waiting.Empty()) {
				break
			}
		}
	}
}

// round takes everything that waits and commits one batch of it.
func (s *Store) round() {
	groups, tasks := s.queue.drain()
	for _, task := range tasks {
		task()
	}
	waiting, seq := &s.own.waiting, s.own.seq
	if waiting.Append(groups); waiting.Empty() {
		return
	}
	if s.Err() != nil {
		seq.Refuse(waiting, core.ErrFailed)
	} else {
		seq.Form(waiting)
	}
	if seq.Changes() > 0 {
		if err := s.commit(); err != nil {
			seq.Undo(err)
		}
	}
	for g := seq.Through(); g != nil; g = seq.Through() {
		s.stats.note(g)
		g.Done(g)
	}
}

// commit makes the sequenced batch durable and applies it.
func (s *Store) commit() error {
	seq := s.own.seq
	if s.full.Load() {
		return core.ErrLogFull
	}
	var recordType uint8
	recordType, s.own.payload = seq.Record(s.own.payload[:0])
	err := s.log.propose(recordType, s.own.payload)
	if errors.Is(err, core.ErrLogFull) {
		s.stopCounting(err)
		return err
	}
	if err != nil {
		s.fail(err)
		return fmt.Errorf("%w: %w", core.ErrUnknown, err)
	}
	s.stats.batches.Add(1)
	s.stats.changes.Add(uint64(seq.Changes()))
	s.noticeGrowth(len(s.own.payload))
	s.noticeTopics()
	return nil
}

// apply applies the sequenced batch, which is committed. The directory may have been taken away
// meanwhile, and the record with it.
func (s *Store) apply(index uint64, _ []byte) error {
	if err := s.Err(); err != nil {
		return err
	}
	return s.own.seq.Apply(index)
}

// fail ends the store's right to acknowledge anything.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		s.stopped.Store(true)
		s.failure.Store(&err)
		why := "stopped after a disk error: nothing more is acknowledged"
		if errors.Is(err, ErrMoved) || errors.Is(err, ErrLocked) {
			why = "stopped, since the directory is not this server's any more: nothing more is acknowledged"
		}
		s.options.Logger.Error(why, "error", err)
		close(s.failed)
	})
}

// Options is how the store was opened, with what holds for what was left open.
func (s *Store) Options() Options { return s.options }

// Failed is closed when the store stopped after an error that ends its right to acknowledge; Err
// then says which. The process should exit: after a failed sync only a restart finds out what is on
// the disk.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is the error that stopped the store, or nil.
func (s *Store) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Get returns the state of a topic, and whether it was ever counted or reset. It sees every op that
// was answered before.
func (s *Store) Get(topic string) (core.Value, bool) { return s.machine.Get([]byte(topic)) }

// GetBytes is Get of a topic in bytes, which it does not keep.
func (s *Store) GetBytes(topic []byte) (core.Value, bool) { return s.machine.Get(topic) }

// Len is the number of topics: all that were ever counted or reset.
func (s *Store) Len() int { return s.machine.Len() }

// Live is the number of topics whose sum is not 0.
func (s *Store) Live() int { return s.machine.Live() }

// Scan calls each with at most limit topics and their states, beginning where the cursor says, and
// returns the cursor to go on with: 0 when it is through. Cursor 0 begins. A scan sees each topic
// that was there when it began exactly once: first those of the snapshot that was opened, in its
// order, then the others, in the order in which they appeared. Those that appear meanwhile it may
// see. The order, and so a cursor, is this Store's alone: another Open finds topics in another. The
// topic is not to be changed or kept.
func (s *Store) Scan(cursor uint64, limit int, each func(topic []byte, v core.Value)) uint64 {
	count := uint64(s.machine.Len())
	for ; limit > 0 && cursor < count; limit-- {
		each(s.machine.At(uint32(cursor)))
		cursor++
	}
	if cursor >= count {
		return 0
	}
	return cursor
}

// Fits says whether ops can be a whole group: whether their changes, at their longest, fit into a
// record. It does not depend on what the topics are at.
func (s *Store) Fits(ops []core.Op) bool { return s.own.seq.Fits(ops) }

// WholeVersion is odd while the changes of whole groups come into effect, one topic after the
// other, and grows by two each time. Reads by Get, GetBytes, Live and Scan with the same even
// version before and after them saw no whole group half; a Read in a group never does.
func (s *Store) WholeVersion() uint64 { return s.machine.WholeVersion() }

// Count adds one to a topic and returns its sum. When ctx ends first the error is ErrUnknown, and
// ctx's.
func (s *Store) Count(ctx context.Context, topic string) (uint64, error) {
	op, err := s.run(ctx, core.Op{Kind: core.Count, Topic: []byte(topic)})
	return op.Sum, err
}

// Reset ends a topic's epoch: its sum is zero afterwards. Errors as Count's.
func (s *Store) Reset(ctx context.Context, topic string) error {
	_, err := s.run(ctx, core.Op{Kind: core.Reset, Topic: []byte(topic)})
	return err
}

func (s *Store) run(ctx context.Context, op core.Op) (core.Op, error) {
	if err := ctx.Err(); err != nil {
		return core.Op{}, err
	}
	done := make(chan struct{})
	g := &core.Group{Ops: []core.Op{op}, Done: func(*core.Group) { close(done) }}
	s.Submit(g)
	select {
	case <-done:
		return g.Ops[0], g.Ops[0].Err
	case <-ctx.Done():
		return core.Op{}, fmt.Errorf("%w: %w", core.ErrUnknown, ctx.Err())
	}
}

// Close answers what was submitted, makes it durable, notes in the snapshot file that the store was
// closed cleanly, and releases everything. Groups submitted later get ErrClosed.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	s.cancel() // background work stops first: it may need the owner
	s.queue.close()
	close(s.handover)
	s.wg.Wait()
	if s.wal == nil {
		return nil
	}
	err := s.Err()
	if err == nil {
		err = s.wal.Sync()
	}
	if err == nil {
		err = s.look()
	}
	if err == nil {
		s.file.Wait = lockTimeout
		err = s.markClosed()
	}
	if roomless(err) {
		s.options.Logger.Warn("no room to note that the store was closed; the next start reads it as after a kill, "+
			"and nothing is lost", "error", err)
		err = nil
	}
	if err == nil {
		s.options.closing(s)
	}
	return errors.Join(err, s.wal.Close(), s.lock.Release())
}

const memoryBatch = 1 << 20

// memoryLog is the log of a store without a directory.
type memoryLog struct {
	index uint64
	to    sink
}

func (l *memoryLog) propose(_ uint8, batch []byte) error {
	l.index++
	return l.to.apply(l.index, batch)
}

// diskLog is the order of a wal.Log: one write for a batch, and one sync unless that is done at
// intervals.
type diskLog struct {
	log  *wal.Log
	sync bool
	to   sink
}

func (l *diskLog) propose(recordType uint8, batch []byte) error {
	index, err := l.log.Append(recordType, batch)
	if errors.Is(err, wal.ErrFull) {
		return fmt.Errorf("%w: %w", core.ErrLogFull, err)
	}
	if err == nil && l.sync {
		err = l.log.Sync()
	}
	if err != nil {
		return err
	}
	return l.to.apply(index, batch)
}

// syncer makes the log durable at intervals (SyncInterval mode).
func (s *Store) syncer() {
	tick := time.NewTicker(s.options.SyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if s.do(s.syncLog) != nil || s.Err() != nil {
			return
		}
	}
}

// syncLog runs on the owner.
func (s *Store) syncLog() {
	if s.Err() != nil {
		return
	}
	if err := s.wal.Sync(); err != nil {
		s.fail(err)
	}
}
