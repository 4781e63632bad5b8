package wal

import (
	"errors"
	"io/fs"
	"sync/atomic"

	"gcd/internal/vfs"
)

// markWriter writes the mark. What is not atomic belongs to the log's owner, except that SyncMark
// has pending and safe between two TurnMarks.
//
// There are three slots so that one of them is durable at any time: current is written with each
// Sync of the log, without a sync of its own; pending is being synced; safe is on the disk. They
// are never the same slot while a SyncMark is under way. The numbers of writings only grow, so of
// two valid slots the one with the higher number is newer. An index goes into a slot only when the
// log is durable up to it: the mark may say less than the log has, never more.
type markWriter struct {
	file    vfs.File // nil: it could not be opened
	slot    markSlot // as it was written last
	current int      // where the next writing goes
	pending int      // was written, and is being synced
	safe    int      // is durable
	buf     [markSlotSize]byte

	off      bool          // a writing failed: none until the next turn
	turned   atomic.Uint64 // index in the slot that was left at the last turn
	again    atomic.Bool   // a writing or a sync failed, which the next turn makes up for
	warned   atomic.Bool   // it was said that the mark cannot be written
	durable  atomic.Bool   // a slot of this run is
	syncEach bool          // this run's flag
}

// newMark makes the file of a mark, in the place of one that is there: what is in it then is one
// slot. It is durable but for its name. The old file is not written, since another name may lead to
// it.
func newMark(fsys vfs.FS, dir string, slot markSlot) (vfs.File, error) {
	old, err := fsys.Open(MarkPath(dir)) // what is no file stays
	if err == nil {
		err = old.Close()
	}
	// Not there is also what a link that leads nowhere has the name of; a file of another user's in
	// our directory may be replaced, though it may not be opened.
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = fsys.Remove(MarkPath(dir))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := fsys.Create(MarkPath(dir))
	if err != nil {
		return nil, err
	}
	b := make([]byte, markFileSize) // with its blocks: a later writing needs no room
	slot.encode(b[:markSlotSize])
	if err = writeAt(f, b, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// createMark makes the mark of a new log, whose first record will have index first.
func createMark(dir string, id ID, first uint64, o Options) {
	f, err := newMark(o.FS, dir, markSlot{flags: markSyncEach, store: id, number: 1, index: first - 1})
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		o.Logger.Warn("cannot make the mark of how far the log is durable; it goes on without",
			"file", MarkPath(dir), "error", err)
	}
}

// unused says that nothing was ever appended to the log: the mark is still that of Create.
func (l *Log) unused() bool {
	return l.mark.State == MarkSound && l.found.number == 1 && l.found.index == l.last.Load() &&
		l.current.number == 1 && l.off == segmentHeaderSize && l.tail.Length == 0
}

// startMark begins this run's mark: the next slot is on the disk when it returns. The log is.
func (l *Log) startMark() {
	l.tellMark()
	m := &l.writer
	m.slot = markSlot{store: l.id, number: l.found.number + 1, index: l.last.Load()}
	if m.syncEach {
		m.slot.flags = markSyncEach
	}
	err := errMarkAnew
	if l.mark.State == MarkSound || l.mark.State == MarkStale {
		err = l.nextMark()
	}
	if errors.Is(err, errMarkAnew) {
		err = l.anewMark()
	}
	if err != nil {
		m.off = true
		l.markFailed(err)
		return
	}
	m.durable.Store(true)
	m.turned.Store(m.slot.index)
}

// tellMark says what is out of the ordinary with the mark that was found.
func (l *Log) tellMark() {
	log := l.o.Logger.With("file", MarkPath(l.dir))
	const anew = ", so nothing tells whether the log lost its end; it is made anew"
	switch l.mark.State {
	case MarkMissing:
		if l.o.Mark.Note == MarkUnknown {
			log.Info("made the mark of how far the log is durable")
		} else {
			log.Warn("the mark is missing" + anew)
		}
	case MarkDamaged:
		log.Warn("the mark is damaged" + anew)
	case MarkForeign:
		log.Warn("the mark is of another store"+anew, "store", l.mark.Store)
	case MarkUnreadable:
		log.Warn("the mark cannot be read"+anew, "error", l.mark.Err)
	case MarkStale:
		if l.o.Mark.Note == MarkOld {
			log.Info("the mark is older than the last run: how far the log was durable holds, the flags do not")
		}
	}
	if l.mark.Partial {
		log.Warn("a part of the mark is damaged, as a power loss may leave it: "+
			"it says nothing of records after the one that it has", "record", l.mark.Index)
	}
}

// errMarkAnew says that there is no mark which could be gone on with.
var errMarkAnew = errors.New("the mark is to be made anew")

// nextMark writes the slot after the one that was found. It makes first that one durable and then
// its own, so that a power loss between finds one of them.
func (l *Log) nextMark() error {
	m := &l.writer
	f, err := l.o.FS.Open(MarkPath(l.dir))
	if errors.Is(err, fs.ErrPermission) {
		return errMarkAnew
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil && size < markFileSize {
		return errors.Join(errMarkAnew, f.Close())
	}
	m.current = (l.found.at + 1) % markSlots
	if err == nil && l.found.number > 1 { // Create has synced its own
		err = f.Sync()
	}
	if err == nil {
		err = m.write(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	m.file, m.safe = f, m.current
	m.current = (m.safe + 1) % markSlots
	return nil
}

// anewMark makes the file anew.
func (l *Log) anewMark() error {
	m := &l.writer
	if err := l.o.Check(); err != nil { // another store's directory may have the name by now
		return err
	}
	f, err := newMark(l.o.FS, l.dir, m.slot)
	if err != nil {
		return err
	}
	if err := l.o.FS.SyncDir(l.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	m.file, m.safe, m.current = f, 0, 1
	return nil
}

// write writes the slot into its place, in one call.
func (m *markWriter) write(f vfs.File) error {
	m.slot.encode(m.buf[:])
	return writeAt(f, m.buf[:], int64(m.current)*markSpan)
}

// moveMark says in the mark that the log is durable up to an index, which it is.
func (l *Log) moveMark(index uint64) {
	m := &l.writer
	m.slot.index = index
	if m.off || !l.o.Mark.Keep {
		return
	}
	m.slot.number++
	if err := m.write(m.file); err != nil {
		m.off = true
		l.markFailed(err)
	}
}

// markFailed warns of the mark's first error. The log needs no mark.
func (l *Log) markFailed(err error) {
	l.writer.again.Store(true)
	if !l.writer.warned.Swap(true) {
		l.o.Logger.Warn("cannot write the mark of how far the log is durable; it is tried again each second",
			"file", MarkPath(l.dir), "error", err)
	}
}

// MarkMoved says whether there is something to do for TurnMark. It may be called from anywhere, at
// any time.
func (l *Log) MarkMoved() bool {
	return l.o.Mark.Keep && (l.writer.again.Load() || l.writer.turned.Load() != l.durable.Load())
}

// TurnMark goes on to another slot of the mark, so that the one before can be made durable: if it
// returns true a SyncMark is to follow. It belongs to the owner. The SyncMark before it must have
// returned.
func (l *Log) TurnMark() bool {
	m := &l.writer
	if !l.MarkMoved() || l.usable() != nil {
		return false
	}
	if m.again.Load() && !l.mendMark() {
		return false
	}
	m.again.Store(false)
	m.turned.Store(m.slot.index)
	m.pending = m.current
	m.current = markSlots - m.pending - m.safe // the third: 0 + 1 + 2 is 3
	return true
}

// mendMark writes the current slot after a writing or a sync that failed, or makes the file that
// could not be opened.
func (l *Log) mendMark() bool {
	m := &l.writer
	m.slot.index = l.durable.Load()
	m.slot.number++
	if m.file != nil {
		err := m.write(m.file)
		if err != nil {
			l.markFailed(err)
		}
		m.off = err != nil
		return err == nil
	}
	if err := l.anewMark(); err != nil {
		l.markFailed(err)
		return false
	}
	m.off, m.current, m.safe = false, m.safe, 1 // nothing is in the other slots
	return true
}

// SyncMark makes the slot durable that the last TurnMark left. It may run beside everything but
// TurnMark and Close.
func (l *Log) SyncMark() {
	m := &l.writer
	if err := m.file.Sync(); err != nil {
		l.markFailed(err)
		return
	}
	m.safe = m.pending
	m.durable.Store(true)
	if m.warned.Swap(false) {
		l.o.Logger.Info("the mark of how far the log is durable is written again", "file", MarkPath(l.dir))
	}
}

// Marked says whether the mark on the disk is one of this run.
func (l *Log) Marked() bool { return l.writer.durable.Load() }

// Mark is what Open found of the mark.
func (l *Log) Mark() Mark { return l.mark }
