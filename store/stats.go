package store

import (
	"errors"
	"sync/atomic"
	"time"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/wal"
)

// Stats is what the store did since it was opened. A Count of N values is one. A Delete is a Reset
// or, if it found no sum, a Read, and so is a Size.
type Stats struct {
	Counts, Resets, Reads uint64    // ops that took effect, by kind
	Refused               uint64    // ops that surely did not
	Unknown               uint64    // ops whose outcome is not known
	Batches               uint64    // committed; each is one record of the log
	Changes               uint64    // in the batches: runs of counts, and resets
	Syncs                 uint64    // of the log
	LogBytes              uint64    // appended to the log, headers and padding included
	Segments              int       // of the log, now; 0 in memory
	Full                  bool      // the log has no room, now: ops that change something are refused
	RefusingSince         time.Time // since when nothing can be counted (Refusing); the zero time while it can
	SnapshotFailed        bool      // the last snapshot that was tried was not completed
	LogUnshortened        bool      // old segments of the log could not be removed, the last time it was tried
	Topics                int       // now
	Live                  int       // those of them whose sum is not 0
	Index                 uint64    // of the newest durable record
	Store                 wal.ID    // which store it is; the zero ID in memory
	DiskFree              int64     // bytes that may still be written, a second ago at most; less than 0: not known
	Snapshotting          bool      // a snapshot is under way
	Snapshots             uint64    // completed
	SnapshotEntries       uint64    // written by them
	SnapshotIndex         uint64    // where recovery would start to replay, minus one
	SnapshotAt            time.Time // when the last of them was completed; the zero time before the first
	SnapshotTook          time.Duration
}

// Ops is the number of ops that took effect.
func (s Stats) Ops() uint64 { return s.Counts + s.Resets + s.Reads }

type counters struct {
	byKind           [core.Read + 1]atomic.Uint64
	refused, unknown atomic.Uint64
	batches, changes atomic.Uint64
}

// note counts the outcomes of a group.
func (c *counters) note(g *core.Group) {
	var byKind [core.Read + 1]uint64
	var refused, unknown uint64
	for i := range g.Ops {
		switch op := &g.Ops[i]; {
		case op.Err == nil && op.Kind == core.Delete && op.Sum > 0:
			byKind[core.Reset]++
		case op.Err == nil:
			byKind[min(op.Kind, core.Read)]++ // a Delete that found no sum has told that, and a Size reads, too
		case errors.Is(op.Err, core.ErrUnknown):
			unknown++
		default:
			refused++
		}
	}
	for kind, n := range byKind {
		if n > 0 {
			c.byKind[kind].Add(n)
		}
	}
	if refused > 0 {
		c.refused.Add(refused)
	}
	if unknown > 0 {
		c.unknown.Add(unknown)
	}
}

// Stats returns the store's figures. Each is exact; together they may be a batch apart.
func (s *Store) Stats() Stats {
	st := Stats{
		Counts: s.stats.byKind[core.Count].Load(), Resets: s.stats.byKind[core.Reset].Load(),
		Reads:   s.stats.byKind[core.Read].Load(),
		Refused: s.stats.refused.Load(), Unknown: s.stats.unknown.Load(),
		Batches: s.stats.batches.Load(), Changes: s.stats.changes.Load(),
		Topics: s.machine.Len(), Live: s.Live(), Full: s.full.Load(), RefusingSince: s.refusingSince(),
		SnapshotFailed: s.snapshot.failed.Load(), LogUnshortened: s.snapshot.unshortened.Load(),
		Snapshots: s.snapshot.done.Load(), SnapshotEntries: s.snapshot.entries.Load(),
		SnapshotIndex: s.snapshot.replay.Load(),
	}
	if s.wal != nil {
		l := s.wal.Stats()
		st.Store, st.DiskFree = s.recover.Store, s.diskFree.Load()
		st.Snapshotting = s.snapshot.underWay.Load()
		if at := s.snapshot.at.Load(); at != 0 {
			st.SnapshotAt, st.SnapshotTook = time.Unix(0, at), time.Duration(s.snapshot.took.Load())
		}
		st.Syncs, st.LogBytes = uint64(l.Syncs), uint64(l.Bytes)
		st.Segments, st.Index = int(l.Segments), s.wal.Durable()
	}
	return st
}

// noteDisk looks how much may still be written. That may wait for the disk, so nobody who serves
// does it.
func (s *Store) noteDisk() {
	free, known := vfs.Free(s.dir)
	if !known {
		free = -1
	}
	s.diskFree.Store(free)
}
