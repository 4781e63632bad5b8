package wal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"

	"gcd/internal/vfs"
)

// Sizes and numbers of the mark; docs/storage.md, "The mark", has the box.
const (
	markName     = "mark"
	markVersion  = 1
	markSlots    = 3
	markSlotSize = 64
	markSpan     = 4096 // from one slot to the next, bytes
	markFileSize = markSlots * markSpan

	markSyncEach = 1 // flag: each record is synced before the next is appended
)

var markMagic = []byte("gcdmark\n")

// MarkPath is the mark's file in a log's directory.
func MarkPath(dir string) string { return path.Join(dir, markName) }

// MarkState says what a mark is good for.
type MarkState uint8

// The states of a mark. In the first two its index holds.
const (
	MarkSound      MarkState = 1 // its flags count, too
	MarkStale      MarkState = 2 // its flags may not be those of the last run
	MarkMissing    MarkState = 3 // there is no file, or nothing was ever written to it
	MarkDamaged    MarkState = 4 // there is a file, and no slot of it is valid
	MarkForeign    MarkState = 5 // it is another store's
	MarkUnreadable MarkState = 6 // the system does not let it be read
)

// String is the state in a word or two.
func (s MarkState) String() string {
	switch s {
	case MarkSound:
		return "sound"
	case MarkStale:
		return "older than the last run"
	case MarkMissing:
		return "missing"
	case MarkDamaged:
		return "damaged"
	case MarkForeign:
		return "of another store"
	case MarkUnreadable:
		return "unreadable"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Mark is evidence of how far a log was durable.
type Mark struct {
	State    MarkState
	Index    uint64 // every record up to it was on the disk; 0 if the mark does not say
	SyncEach bool   // in the last run each record was synced before the next was appended
	Partial  bool   // a slot is not valid or cut off, perhaps the newest one: the log may have been longer
	Store    ID     // whose it is
	Err      error  // of MarkUnreadable
}

// MarkNote is what a store's snapshot says of the mark.
type MarkNote uint8

// The notes. They are not on the disk; docs/storage.md says what is.
const (
	MarkUnknown MarkNote = 0 // nothing: there was never a mark, or there is no snapshot
	MarkOld     MarkNote = 1 // there was one, but its flags may not be those of the last run
	MarkCurrent MarkNote = 2 // its flags are those of the last run
)

// MarkOptions say whether a Log keeps a mark, and what is known of the one that is there. The zero
// value keeps none.
type MarkOptions struct {
	Keep     bool // Create, Start and Sync write the mark; otherwise it is only read
	SyncEach bool // with Keep: the owner syncs each record before it appends the next
	Note     MarkNote
}

// markSlot is one of the places that the mark is written to in turn.
type markSlot struct {
	flags  uint32
	store  ID
	number uint64 // of the writing; 0: none
	index  uint64 // every record up to it is on the disk
}

// encode writes the slot into b, which is markSlotSize long and zero where no slot has anything.
func (s *markSlot) encode(b []byte) {
	copy(b, markMagic)
	le.PutUint32(b[8:], markVersion)
	le.PutUint32(b[12:], s.flags)
	copy(b[16:], s.store[:])
	le.PutUint64(b[32:], s.number)
	le.PutUint64(b[40:], s.index)
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

// decodeMarkSlot returns the slot in b; its number is 0 if b is none that this program knows.
func decodeMarkSlot(b []byte) markSlot {
	if len(b) < markSlotSize || !bytes.Equal(b[:8], markMagic) || le.Uint32(b[8:]) != markVersion ||
		crc32.Checksum(b[:60], castagnoli) != le.Uint32(b[60:]) {
		return markSlot{}
	}
	s := markSlot{flags: le.Uint32(b[12:]), store: ID(b[16:32]), number: le.Uint64(b[32:]), index: le.Uint64(b[40:])}
	if s.flags&^markSyncEach != 0 || s.number >= 1<<63 || s.index >= 1<<63 {
		return markSlot{}
	}
	return s
}

// foundMark is what is in the file of a mark.
type foundMark struct {
	markSlot       // the valid one with the highest number; number 0: there is none
	at       int   // which slot that is
	there    bool  // the file is, and something was written to it
	harmed   bool  // a slot has something else than was ever written to it, or is not there
	err      error // of reading it
}

// readMark reads the mark of the log in dir. Whatever it finds is no error: a log goes on without
// it.
func readMark(fsys vfs.FS, dir string) foundMark {
	f, err := fsys.OpenRead(MarkPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return foundMark{}
	}
	if err != nil {
		return foundMark{there: true, err: err}
	}
	defer f.Close()
	var found foundMark
	b := make([]byte, markSlotSize)
	for i := range markSlots {
		clear(b)
		if _, err := f.ReadAt(b, int64(i)*markSpan); err != nil && err != io.EOF {
			found.there, found.err = true, fmt.Errorf("read %s at offset %d: %w", MarkPath(dir), i*markSpan, err)
			continue
		}
		zeros := leadingZeros(b) == len(b)
		found.there = found.there || !zeros
		s := decodeMarkSlot(b)
		found.harmed = found.harmed || !zeros && s.number == 0
		if s.number > found.number {
			found.markSlot, found.at = s, i
		}
	}
	if size, err := f.Size(); err == nil && size < markFileSize {
		found.harmed = true
	}
	return found
}

// FindMark says what the mark in dir is good for in a log of the store, also where that log cannot
// be opened.
func FindMark(dir string, store ID, o Options) (Mark, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Mark{}, err
	}
	found := readMark(o.FS, dir)
	return found.judge(store, o.Mark.Note), nil
}

// judge says what the mark is good for in a log of the store.
func (m *foundMark) judge(store ID, note MarkNote) Mark {
	found := Mark{Index: m.index, Store: m.store, Err: m.err, Partial: m.harmed && m.number > 0}
	switch {
	case m.number > 0 && m.store != store:
		return Mark{State: MarkForeign, Store: m.store}
	case m.err != nil: // a slot that was read holds, but it may not be the newest
		found.State = MarkUnreadable
	case !m.there:
		found.State = MarkMissing
	case m.number == 0:
		found.State = MarkDamaged
	case note != MarkCurrent:
		found.State = MarkStale
	default:
		found.State, found.SyncEach = MarkSound, m.flags&markSyncEach != 0
	}
	return found
}

// cutOff is the damage of a log that was cut off: it ends with record last, at an offset of its
// last segment, and the mark says that it was longer.
func (m Mark) cutOff(dir, file string, offset int64, last uint64) error {
	if last >= m.Index {
		return nil
	}
	err := fmt.Errorf("the log ends at record %d, but %s is witness that it reached %d", last, MarkPath(dir), m.Index)
	return &CorruptionError{File: file, Offset: offset, Index: last + 1, Err: err}
}

// gone is the damage of a log without any segment, if the mark says that there was something in it.
func (m *foundMark) gone(dir string) error {
	if m.index == 0 {
		return nil
	}
	err := fmt.Errorf("no segment of the log is there, but %s is witness that it reached record %d",
		MarkPath(dir), m.index)
	return &CorruptionError{File: dir, Index: m.index, Err: err}
}
