package wal

import (
	"errors"
	"fmt"
	"io"

	"gcd/internal/vfs"
)

// What happens when the disk is full. A write for which there was no room is no error of the disk:
// the system says that it did not do it. But it may have done a part of it, and what is left of a
// record that was refused must not be there when another one is written in its place, or when a new
// segment begins. So that part is put back to zeros, durably, before anything else, and until that
// has room everything is refused.

// put is one write; a short one is an error, and one for want of room is ErrFull.
func put(f vfs.File, b []byte, off int64) error {
	err := writeAt(f, b, off)
	if vfs.NoRoom(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// writeAt is one write; a short one is an error.
func writeAt(f vfs.File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// takeBack undoes what the write of a record of so many bytes may have done, as far as there is
// room for that now, and returns refusal: the record is not in the log, and no later Open finds it.
// It is final if that cannot be said.
func (l *Log) takeBack(size int64, refusal error) error {
	whole := l.whole()
	l.unclean = size
	err := l.clean()
	if err == nil || errors.Is(err, ErrFull) && whole == nil {
		return refusal
	}
	if !errors.Is(err, ErrFull) {
		return err
	}
	// It is no ErrFull any more.
	return l.fail("take back a record in "+l.current.path, fmt.Errorf("%v, but %w", refusal, whole))
}

// whole is an error if there is a record after the last one, or if that cannot be told. A part of
// a record is none, unless what is missing is nothing but zeros: after a crash it is a torn tail.
func (l *Log) whole() error {
	s := scanner{
		seg: l.current, win: newWindow(l.file, l.current.path, l.current.size), seed: l.seed,
		off: l.off, next: l.last.Load() + 1,
	}
	le.PutUint32(s.link[:], l.link)
	var none *invalid
	if _, err := s.record(); errors.As(err, &none) {
		return nil
	} else if err != nil {
		return err
	}
	return errors.New("it was written, though the system says that there was no room for it")
}

// clean puts back to zeros what a record that was refused may have left, durably. ErrFull: there is
// no room even for that.
func (l *Log) clean() error {
	b := l.buffer(l.unclean)
	clear(b)
	if err := put(l.file, b, l.off); errors.Is(err, ErrFull) {
		return fmt.Errorf("log %s: %w", l.dir, err)
	} else if err != nil {
		return l.fail("write zeros to "+l.current.path, err)
	}
	l.stats.syncs.Add(1)
	if err := l.file.Sync(); err != nil {
		return l.fail("sync "+l.current.path, err)
	}
	l.unclean = 0
	return nil
}

// Resume tries whether there is room again for the record that Append refused last: it writes zeros
// where that would go, or begins the segment that it needed. nil: call Append again. ErrFull: not
// yet. Every other error is final.
func (l *Log) Resume() error {
	err := l.usable()
	if err != nil || l.refused == 0 {
		return err
	}
	if l.off+l.refused <= l.current.size {
		l.unclean = max(l.unclean, l.refused)
	}
	if l.unclean > 0 {
		err = l.clean()
	}
	if err == nil && !l.takes(l.refusedType, l.refused) {
		err = l.rotate(l.refusedType, 0) // a scant one lets shorter records go on
	}
	if err == nil {
		l.refused = 0
	}
	return err
}
