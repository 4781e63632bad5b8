package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"gcd/internal/vfs"
)

// zeroPiece is how much of a spare is written between two syncs: a sync of the log's records waits
// for no more than this.
const zeroPiece = 1 << 20

// A new log begins small, so that its first start need not wait for the zeros of a whole segment.
// The segments after the first grow so slowly that each takes longer to fill than the next takes to
// be zeroed.
const (
	firstSize  = 16 << 10 // of the first segment, in bytes
	secondSize = 4 << 20  // at least; the longest record fits into it twice
	growth     = 4        // a later one has at most so many times the bytes of the one before

	scantSize = 64 << 10 // the least of a segment for which nothing more can be freed
)

// sizeAfter is the size of the segment after one of the given size, in bytes.
func (o Options) sizeAfter(size int64) int64 {
	return min(o.SegmentSize, max(secondSize, growth*size))
}

// Create makes a new, empty log in dir whose first record will have index first (1 for a new
// store). dir is made if it is missing. After nil the log is there whatever happens. Interrupted,
// it leaves no log or an empty one, and calling it again with the same id and first completes it.
// ErrExists if there is any other segment.
func Create(dir string, id ID, first uint64, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	if first == 0 {
		return errors.New("create log: indices begin at 1")
	}
	if err := o.FS.MkdirAll(dir); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	there, err := completed(dir, id, first, o)
	if err != nil {
		return err
	}
	if !there {
		if o.Mark.Keep { // before there is a segment, so that one which has a name has a mark
			createMark(dir, id, first, o)
		}
		h := segmentHeader{format: o.formats.first(), store: id, number: 1, first: first,
			size: min(o.SegmentSize, firstSize)}
		err := begin(o.FS, dir, h)
		if vfs.NoRoom(err) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		if err != nil {
			return fmt.Errorf("create log: %w", err)
		}
	}
	// A Create before this one may have made dir, or the segment, and not come to the sync.
	for _, d := range []string{dir, path.Dir(dir)} {
		if err := o.FS.SyncDir(d); err != nil {
			return fmt.Errorf("create log: %w", err)
		}
	}
	return nil
}

// begin makes the first segment: header and zeros at once, on disk before the name is. The
// directory is not synced.
func begin(fsys vfs.FS, dir string, h segmentHeader) error {
	if err := removeSpare(fsys, dir); err != nil {
		return err
	}
	name := path.Join(dir, spareName)
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	b := make([]byte, h.size)
	copy(b, h.encode())
	if err = writeAt(f, b, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = fsys.Remove(name) // what is left of it if this fails too is removed before the next is made
		return err
	}
	return rename(fsys, dir, spareName, segmentName(h.number))
}

// completed says whether dir holds just the log that Create is asked for.
func completed(dir string, id ID, first uint64, o Options) (bool, error) {
	l, err := open(dir, o, readMark(o.FS, dir))
	if errors.Is(err, ErrNoLog) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create log: %w", err)
	}
	if h := l.current; h.number != 1 || h.store != id || h.first != first || l.Last() >= first {
		return false, fmt.Errorf("create log in %s: %w", dir, ErrExists)
	}
	return true, nil
}

// makeSpare makes the file of the next segment: zeros, on disk. On an error the half-made file is
// removed.
func makeSpare(fsys vfs.FS, dir string, size int64, stop func() error) (vfs.File, error) {
	if err := removeSpare(fsys, dir); err != nil {
		return nil, err
	}
	name := path.Join(dir, spareName)
	f, err := fsys.Create(name)
	if err != nil {
		return nil, fmt.Errorf("make spare segment: %w", err)
	}
	zeros := make([]byte, min(size, zeroPiece))
	for off := int64(0); off < size; {
		b := zeros[:min(size-off, zeroPiece)]
		err := stop()
		if err == nil {
			err = writeAt(f, b, off)
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			// What is left of it if this fails too is removed before the next is made.
			_ = f.Close()
			_ = fsys.Remove(name)
			return nil, fmt.Errorf("make spare segment: %w", err)
		}
		off += int64(len(b))
	}
	return f, nil
}

func removeSpare(fsys vfs.FS, dir string) error {
	err := fsys.Remove(path.Join(dir, spareName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old spare segment: %w", err)
	}
	return nil
}

// install turns the spare into the segment that h describes. The order is the contract: the header
// is on disk before the name is, the name is before any record. ErrFull leaves the spare what it
// was: a file under that name, whose header the next install writes anew.
func install(fsys vfs.FS, dir string, spare vfs.File, h segmentHeader) error {
	if err := put(spare, h.encode(), 0); err != nil {
		return err
	}
	if err := spare.Sync(); err != nil {
		return err
	}
	if err := rename(fsys, dir, spareName, segmentName(h.number)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// rename gives a file in dir a new name. One that failed for want of room is ErrFull only if the
// directory says that nothing happened.
func rename(fsys vfs.FS, dir, from, to string) error {
	err := fsys.Rename(path.Join(dir, from), path.Join(dir, to))
	if !vfs.NoRoom(err) {
		return err
	}
	names, listing := fsys.ReadDir(dir)
	switch {
	case listing != nil:
		return errors.Join(err, listing)
	case !slices.Contains(names, to) && slices.Contains(names, from):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case slices.Contains(names, to) && !slices.Contains(names, from):
		return nil
	}
	return err
}

// rotate makes everything durable and goes on in a new segment, which has room for a record of so
// many bytes. It has the version of the segment before it, or the first later one that has records
// of the type. ErrFull and ErrVersion leave the log as it was; other errors are final.
func (l *Log) rotate(recordType uint8, size int64) error {
	format, err := l.o.formats.holding(recordType, l.current.format)
	if err != nil {
		return err
	}
	if err := l.Sync(); err != nil {
		return err
	}
	if err := l.o.Check(); err != nil {
		return l.fail("begin a segment", err)
	}
	// Until the spare has its new name no other may be made: that would begin with removing what
	// has the old one.
	l.making.Lock()
	defer l.making.Unlock()
	spare, err := l.ownSpare(size)
	if err != nil {
		return err
	}
	h := segmentHeader{
		format:   format,
		store:    l.id,
		number:   l.current.number + 1,
		first:    l.last.Load() + 1,
		size:     l.spareSize,
		previous: l.link,
	}
	l.stats.syncs.Add(1)
	if err := install(l.o.FS, l.dir, spare, h); errors.Is(err, ErrFull) {
		l.spare = spare
		return fmt.Errorf("log %s: begin segment %s: %w", l.dir, segmentName(h.number), err)
	} else if err != nil {
		_ = spare.Close()
		return l.fail("begin segment "+segmentName(h.number), err)
	}
	if err := l.file.Close(); err != nil { // all of it is durable
		l.o.Logger.Warn("closing a full segment", "file", l.current.path, "error", err)
	}
	l.file, l.current = spare, segment{segmentHeader: h, path: l.path(segmentName(h.number))}
	l.place.Store(&place{l.file, l.current.path, l.current.size})
	l.seed, l.off = h.seedSum(), segmentHeaderSize
	l.mu.Lock()
	l.segs = append(l.segs, l.current)
	l.mu.Unlock()
	l.stats.rotations.Add(1)
	l.stats.segments.Add(1)
	l.o.Logger.Debug("new segment", "file", l.current.path, "first", h.first)
	l.signalSpare()
	return nil
}

// ownSpare returns the spare, made here if none is ready; l.making is held. Once that failed it
// answers ErrFull at once, without another try, until a PrepareSpare has succeeded: filling a full
// disk again for each refused record would take seconds each time. A spare that a record of so many
// bytes does not fit into is replaced.
func (l *Log) ownSpare(size int64) (vfs.File, error) {
	if spare := l.spare; spare != nil {
		l.spare = nil
		if segmentHeaderSize+size <= l.spareSize {
			return spare, nil
		}
		_ = spare.Close() // nothing is in it, and the next one is made in its place
	}
	if l.hopeless != nil {
		return nil, fmt.Errorf("log %s: %w: %w", l.dir, ErrFull, l.hopeless)
	}
	spare, err := l.newSpare(secondSize)
	if err != nil {
		l.hopeless = err
		l.signalSpare()
		return nil, fmt.Errorf("log %s: %w: %w", l.dir, ErrFull, err)
	}
	return spare, nil
}

// PrepareSpare makes the file of the next segment if there is none, so that a rotation finds it
// ready. It takes as long as writing a segment and may run beside Append. An error (the disk is
// full) is not final and leaves no file: call it again later.
func (l *Log) PrepareSpare() error { return l.prepareSpare(secondSize) }

// PrepareScantSpare is PrepareSpare for when nothing more can be freed: it makes a smaller one, of
// whatever size there is room for. Records that are too long for that are refused. Once it is
// begun, the segment before is not the last one any more, so a snapshot can let go of it.
func (l *Log) PrepareScantSpare() error { return l.prepareSpare(scantSize) }

func (l *Log) prepareSpare(least int64) error {
	l.making.Lock()
	defer l.making.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if l.spare != nil {
		return nil
	}
	if err := l.o.Check(); err != nil {
		return fmt.Errorf("make spare segment: %w", err)
	}
	spare, err := l.newSpare(least)
	if err != nil {
		return err
	}
	l.spare, l.hopeless = spare, nil
	return nil
}

// newSpare makes a spare if it may: where there is no room for one of the usual size, a smaller
// one, but none smaller than least. l.making is held.
func (l *Log) newSpare(least int64) (vfs.File, error) {
	size := l.o.sizeAfter(l.current.size)
	spare, full, err := l.spareOf(size)
	for full && size > least {
		if size > secondSize {
			size = secondSize
		} else {
			size = max(least, size/growth/sizeUnit*sizeUnit)
		}
		spare, full, err = l.spareOf(size)
	}
	l.spareSize = size
	return spare, err
}

// spareOf makes a spare of a size if it may. full says that an error is for want of room.
func (l *Log) spareOf(size int64) (spare vfs.File, full bool, err error) {
	if err := l.o.MakeSpare(size); err != nil {
		return nil, true, err
	}
	spare, err = makeSpare(l.o.FS, l.dir, size, l.usable)
	return spare, vfs.NoRoom(err), err
}

// BetweenSpares does something while no spare is being made: it waits for one that is. Those that
// are made later have asked Options.MakeSpare later. What is done must not take long, since a
// rotation waits for it.
func (l *Log) BetweenSpares(do func()) {
	l.making.Lock()
	defer l.making.Unlock()
	do()
}

// NeedSpare receives a value when there is no spare: after Start, after a rotation, after a
// rotation that failed for want of one.
func (l *Log) NeedSpare() <-chan struct{} { return l.needSpare }

func (l *Log) signalSpare() {
	select {
	case l.needSpare <- struct{}{}:
	default:
	}
}
