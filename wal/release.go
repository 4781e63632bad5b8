package wal

import (
	"errors"
	"fmt"
	"io/fs"
)

// Release removes the segments whose records are all at or below upTo, oldest first, never the last
// one. It may run beside Append. An error is not final: the next call goes on where this one
// stopped.
func (l *Log) Release(upTo uint64) error {
	for {
		if _, ok, err := l.releaseOldest(upTo); err != nil || !ok {
			return err
		}
	}
}

// Cover says that every record up to an index is in a snapshot, durably: segments wholly at or
// below it are kept for history only.
func (l *Log) Cover(upTo uint64) { l.covered.Store(upTo) }

// GiveUp makes room: it removes segments that are kept for history only, as Cover says, oldest
// first, until they were as large as a new one, and says so in the log. It returns their bytes; 0
// if there is nothing to give up. It may run beside Append.
func (l *Log) GiveUp() (bytes int64, err error) {
	for bytes < l.o.SegmentSize {
		seg, ok, err := l.releaseOldest(l.covered.Load())
		if ok {
			bytes += seg.size
			l.o.Logger.Warn("no room: removed a segment of the log that was kept for history only", "file", seg.path,
				"first", seg.first, "bytes", seg.size)
		}
		if err != nil || !ok {
			l.forgetHopeless(bytes)
			return bytes, err
		}
	}
	l.forgetHopeless(bytes)
	return bytes, nil
}

// forgetHopeless lets a rotation try again to make a spare when bytes were freed.
func (l *Log) forgetHopeless(bytes int64) {
	if bytes > 0 {
		l.making.Lock()
		defer l.making.Unlock()
		l.hopeless = nil
	}
}

// releaseOldest removes the oldest segment, durably, if all of its records are at or below upTo and
// it is not the last. ok says that it is gone, whatever the error is.
func (l *Log) releaseOldest(upTo uint64) (seg segment, ok bool, err error) {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	if err := l.usable(); err != nil {
		return segment{}, false, err
	}
	// Each removal is made durable before the next, or a power loss could undo the first of two and
	// leave a gap.
	if err := l.syncRemovals(); err != nil {
		return segment{}, false, err
	}
	if seg, ok = l.releasable(upTo); !ok {
		return segment{}, false, nil
	}
	if err := l.o.Check(); err != nil {
		return segment{}, false, fmt.Errorf("release segments: %w", err)
	}
	if err := l.o.FS.Remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return segment{}, false, fmt.Errorf("release segments: %w", err)
	}
	l.unsynced = true
	l.mu.Lock()
	l.segs = l.segs[1:]
	l.mu.Unlock()
	l.stats.segments.Add(-1)
	l.o.Logger.Debug("released segment", "file", seg.path)
	return seg, true, l.syncRemovals()
}

// syncRemovals makes a removal durable that is not yet; l.releasing is held.
func (l *Log) syncRemovals() error {
	if !l.unsynced {
		return nil
	}
	if err := l.o.FS.SyncDir(l.dir); err != nil {
		return fmt.Errorf("release segments: %w", err)
	}
	l.unsynced = false
	return nil
}

// releasable returns the oldest segment if a snapshot up to upTo covers it.
func (l *Log) releasable(upTo uint64) (segment, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs) < 2 || l.segs[1].first-1 > upTo {
		return segment{}, false
	}
	return l.segs[0], true
}
