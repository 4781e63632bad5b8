package store

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/wal"
)

// roomRetryMin is the first pause between two looks for room while the disk is full;
// Options.roomRetry is the longest.
const roomRetryMin = 100 * time.Millisecond

// keeper is what the keeper of room knows.
type keeper struct {
	wait      time.Duration // before the next attempt
	resumed   time.Time     // when counting went on last
	failed    time.Time     // when a snapshot that it asked for was not made
	kept      bool          // that history cannot be removed was said
	noSpare   bool          // that there is no spare was said
	noReserve bool          // that the reserve is too small was said
}

// stopCounting has counts refused until keepRoom has found room. On the owner.
func (s *Store) stopCounting(err error) {
	s.full.Store(true)
	s.options.Logger.Error("counting has stopped: the disk has no room for the log; it goes on by itself when there "+
		"is room", "error", err)
	s.wakeSpareKeeper()
}

// resume has counts taken again if there is room for the one that was refused last. On the owner.
func (s *Store) resume() {
	if s.Err() != nil {
		return
	}
	err := s.wal.Resume()
	if errors.Is(err, wal.ErrFull) {
		return
	}
	if err != nil {
		s.fail(err)
		return
	}
	since := s.full.Since()
	s.full.Store(false)
	s.options.Logger.Error("counting goes on: there is room for the log again", "stopped_for_seconds",
		time.Since(since).Round(time.Millisecond).Seconds())
}

// noticeTopics wakes the keeper of room when the next snapshot needs much more than the last time.
// On the owner.
func (s *Store) noticeTopics() {
	if s.wal == nil {
		return
	}
	if room := s.snapshotRoom(); room > s.reserved.Load() {
		s.reserved.Store(reserveDue(room))
		s.wakeSpareKeeper()
	}
}

func (s *Store) snapshotRoom() int64 {
	return snapshotRoom(int64(s.machine.Len()), s.machine.NameBytes())
}

func (s *Store) wakeSpareKeeper() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// keepRoom keeps room for the log and for the next snapshot. It makes the next segment while the
// current one fills, and the reserve; where the disk is full it frees what can be freed, and lets
// the counting go on when there is room again.
func (s *Store) keepRoom() {
	most := s.options.roomRetry
	least := min(roomRetryMin, most)
	k := &keeper{wait: least}
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		again := false
		select {
		case <-s.ctx.Done():
			return
		case <-retry.C:
			again = true
		case <-s.kick:
		case <-s.wal.NeedSpare():
		}
		if s.Err() != nil {
			return
		}
		// The room that was found was soon used up: wait longer.
		if s.full.Load() && !again && time.Since(k.resumed) < most {
			retry.Reset(k.wait)
			k.wait = min(2*k.wait, most)
			continue
		}
		err := s.makeRoom(k)
		if s.full.Load() {
			if s.do(s.resume) != nil {
				return
			}
			if !s.full.Load() {
				k.resumed = time.Now()
			}
		}
		switch {
		case err != nil || s.full.Load():
			retry.Reset(k.wait)
			k.wait = min(2*k.wait, most)
		case time.Since(k.resumed) >= most:
			k.wait = least
		}
	}
}

// makeRoom makes the spare and the reserve. While there is still some room it takes a snapshot, so
// that there is history to give up. Where there is no room, history goes, oldest first.
func (s *Store) makeRoom(k *keeper) error {
	spare, reserve := s.prepare()
	if s.snapshotIsDue(roomless(spare) || roomless(reserve)) && time.Since(k.failed) >= snapshotRetry {
		if s.Snapshot(s.ctx) == nil {
			spare, reserve = s.prepare()
		} else { // the snapshotter logs why
			k.failed = time.Now()
		}
	}
	for roomless(spare) || roomless(reserve) {
		bytes, err := s.wal.GiveUp()
		if bytes == 0 {
			if err != nil && s.Err() == nil && !k.kept {
				s.options.Logger.Warn("no room, and history cannot be removed", "error", err)
			}
			k.kept = err != nil
			break
		}
		spare, reserve = s.prepare()
	}
	if s.ctx.Err() != nil {
		return nil
	}
	if reserve != nil {
		if _, uncovered := s.closed(); uncovered > 0 {
			// only a snapshot can make the log shorter: what is free is for that
			s.reserve.want(reserveLeast(s.snapshotRoom()))
		} else {
			s.reserve.makeDo() // better a log without room for a snapshot than none
			if errors.Is(spare, errReserved) {
				spare = s.wal.PrepareSpare()
			}
		}
	}
	if roomless(spare) { // nothing more can be freed
		spare = s.wal.PrepareScantSpare()
	}
	k.tell(s, spare, reserve)
	return errors.Join(spare, reserve)
}

// prepare makes the spare and the reserve if they are not there. Where room is short the reserve
// comes first: reserve.spares then refuses the spare.
func (s *Store) prepare() (spare, reserve error) {
	spare = s.wal.PrepareSpare()
	if err := s.look(); err != nil {
		return spare, err
	}
	reserve = s.reserve.hold(s.snapshotRoom(), s.reserved.Load())
	if reserve == nil && errors.Is(spare, errReserved) {
		spare = s.wal.PrepareSpare()
	}
	return spare, reserve
}

// snapshotIsDue says whether a snapshot should be taken so that segments of the log can be removed.
// That is so when there is no room and no other segment can be removed. It is so earlier, too: when
// the segments that no snapshot covers have as many bytes as can still be written. So the log has
// room while the snapshot is written, and there is not a snapshot for each segment.
func (s *Store) snapshotIsDue(full bool) bool {
	covered, uncovered := s.closed()
	if uncovered == 0 {
		return false
	}
	free, known := s.options.free(s.dir)
	if !known {
		return full
	}
	return full && covered == 0 || uncovered >= covered+max(0, free-s.reserve.lacking())
}

// closed is how many bytes the log's closed segments have: those that the snapshot covers, and the
// others.
func (s *Store) closed() (covered, uncovered int64) {
	replay := s.snapshot.replay.Load()
	segments := s.wal.Segments()
	for _, seg := range segments[:len(segments)-1] {
		if seg.Last <= replay {
			covered += seg.Size
		} else {
			uncovered += seg.Size
		}
	}
	return covered, uncovered
}

// tell says in the log what changed.
func (k *keeper) tell(s *Store, spare, reserve error) {
	log := s.options.Logger
	switch {
	case spare != nil && !k.noSpare:
		log.Warn("cannot prepare the next log segment; counting goes on until the current one is full", "error", spare)
	case spare == nil && k.noSpare:
		log.Info("the next log segment is ready")
	}
	switch {
	case reserve != nil && !k.noReserve:
		log.Warn("cannot hold room for the next snapshot; counting goes on as long as snapshots find room in what "+
			"is free", "error", reserve)
	case reserve == nil && k.noReserve:
		log.Info("room for the next snapshot is held again")
	}
	k.noSpare, k.noReserve = spare != nil, reserve != nil
}

// roomless says whether an error is a refusal for want of room. A failed sync is none, whatever it
// says.
func roomless(err error) bool {
	if errors.Is(err, wal.ErrFull) || errors.Is(err, core.ErrLogFull) || errors.Is(err, errReserved) {
		return true
	}
	var at *fs.PathError
	var link *os.LinkError
	switch {
	case !vfs.NoRoom(err):
		return false
	case errors.As(err, &at):
		return at.Op != "sync" && at.Op != "fdatasync" && at.Op != "syncdir"
	}
	return errors.As(err, &link)
}

// withRoom does what a start has to write, and if there is no room for it gives back the reserve,
// and then asks Options.NoRoom what to do.
func (s *Store) withRoom(do func() error) error {
	for {
		err := do()
		if !roomless(err) {
			return err
		}
		if gave, giving := s.reserve.giveUp(); giving != nil {
			return errors.Join(err, giving)
		} else if gave {
			continue
		}
		if s.options.NoRoom == nil {
			return err
		}
		if end := s.options.NoRoom(err); end != nil {
			return errors.Join(err, end)
		}
	}
}
