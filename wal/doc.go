// Package wal is a durable, ordered log of opaque records, kept in one directory. docs/storage.md
// ("The log") is the contract for every byte on disk; this page is about the order in which things
// happen and who may call what.
//
// # Life of a log
//
// Create makes it, once. Open reads and checks it and writes nothing, so a refusal leaves the
// evidence as it was. Records replays it. Start makes the disk agree with what was read; from then
// on Append and Sync work. An Append whose record must be acknowledged is followed by a Sync that
// returned nil; nobody may be told before.
//
// # Order of writes, and what a crash between them leaves
//
//	Append    one write after the last record            torn or whole; either way nobody was told
//	Sync      fdatasync of the last segment              whole
//	          the current slot of the mark               whole, and the mark may say less
//	rotation  sync what is unsynced                      as above
//	          header into spare, fdatasync               a spare; Start removes it
//	          rename spare to the segment's name         no segment, or an empty one
//	          sync the directory                         an empty segment
//	          the record                                 as Append
//	Release   remove the oldest segment, sync directory  the log begins there or one segment later
//	Start     rewrite what no record claims durable      the same bytes in the same place
//	          zeros over the torn tail                   the tail is torn still, or shorter
//	          fdatasync, sync the directory              what Open read, on disk
//	          the next slot of the mark, fdatasync       the same, and the mark may say less
//
// The first error of a write, sync, rename or directory sync in Append, Sync or Start is final:
// what is on disk is not known from then on, a second fdatasync would claim success for bytes that
// the system has dropped, and only reading everything again, by another Open, tells. Making the
// spare and removing old segments may fail and be tried again.
//
// A write or a rename for which there was no room is a refusal, and not final (ErrFull): what it
// may have left is put back to zeros, durably, before anything else is written. Resume finds out
// when there is room again.
//
// # What recovery relies on
//
// Whoever changes how something is written keeps these:
//
//   - After the last record of a segment there are zeros. What a refused or a torn record left is
//     zeroed, durably, before another record is written and before a new segment begins.
//   - A segment is begun when every record before it is durable. So only the last segment can be
//     torn, and anything but a whole one before it is damage.
//   - A record says which records were known to be durable when it was written. So a later record
//     can show that a missing one is damage and no torn write.
//   - Checksums begin with the store and the segment's number, and each record's covers the
//     checksum of the record before it. So bytes of another life of the file never continue a
//     log.
//   - Segments have consecutive numbers, and the oldest is removed first, each removal durable
//     before the next. So a number that is missing between two others is damage.
//   - The mark never says more than the log has on disk.
//
// # Who may call what
//
// Start, Append, Resume, Sync, TurnMark and Close belong to one owner, one call at a time. A
// SyncMark follows a TurnMark, on any goroutine, and returns before the next one. An error of the
// mark is never the log's. PrepareSpare, Release and GiveUp may run beside them, and beside each
// other, on other goroutines. Everything else may be called from anywhere at any time. The package
// starts no goroutine.
package wal
