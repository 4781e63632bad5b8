package wal

import (
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"gcd/internal/vfs"
)

// DefaultSegmentSize is the size of a segment when Options name none: 64 MiB.
const DefaultSegmentSize = 64 << 20

// Options say where and how a log is kept. The zero value works.
type Options struct {
	FS vfs.FS // the disk; nil: vfs.OS{}
	// SegmentSize is the bytes of a segment: a multiple of 4096, at least 8192. 0 means
	// DefaultSegmentSize. The first segments of a log are smaller.
	SegmentSize int64
	Now         func() time.Time // wall clock for the time of a record, which no recovery depends on; nil: time.Now
	Logger      hclog.Logger     // nil: no logging

	// Covered is the index up to which the caller needs no records, because it has a checked
	// snapshot of them. Of segments wholly at or below it Open checks only the headers and that no
	// number is missing; whoever reads their records checks those. With 0 everything is checked.
	// The last segment always is.
	Covered uint64

	// Ours says that this is known to be our log, for example because a snapshot of its store is
	// there. Then a segment that does not begin as one is damaged, and not a file of another
	// program. The same holds beside a segment that does begin as one.
	Ours bool

	// Check says whether the directory is still the one that was opened: nil if it is. It is asked
	// before a segment is begun, made or removed by its name, which could be a name in another log
	// by now. Its error is final for Append; PrepareSpare and Release return it. It may be called
	// on several goroutines at once.
	Check func() error

	// Live says that another process may be appending at the same time. A later record of the last
	// segment may then say that one is durable which was not there a moment ago: it is read again
	// before that is called damage. Such a log can only be read.
	Live bool

	// MakeSpare is asked before a spare of so many bytes is begun. An error has the same effect as
	// a full disk. It may be called on the goroutine of Append, and must not wait. nil always
	// allows it.
	MakeSpare func(bytes int64) error

	// Mark says whether this Log keeps a mark of how far it is durable, and what the store knows of
	// the one that is there.
	Mark MarkOptions

	formats formats // nil: knownFormats; a test has a later one
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.MakeSpare == nil {
		o.MakeSpare = func(int64) error { return nil }
	}
	if o.formats == nil {
		o.formats = knownFormats()
	}
	if o.Check == nil {
		o.Check = func() error { return nil }
	}
	if o.SegmentSize < minSegmentSize || o.SegmentSize%sizeUnit != 0 {
		return o, fmt.Errorf("segment size %d: want a multiple of %d bytes, at least %d",
			o.SegmentSize, sizeUnit, minSegmentSize)
	}
	return o, nil
}

// A Log is an open log. Package documentation says which methods may run beside which.
type Log struct {
	dir  string
	o    Options
	id   ID
	tail Tail

	found foundMark // in the file of the mark, when the log was opened
	mark  Mark      // what that is good for

	// Of the owner, who calls Start, Append, Sync and Close. Between two of its calls these hold:
	//
	//   - The record last ends at off, a multiple of 8, and link is its header sum (in an empty
	//     segment off is the end of the header, and link its previous). The next record goes there
	//     and nowhere else.
	//   - From off on the segment has zeros, except for the first unclean bytes.
	//   - durable <= last, and every record of an earlier segment is durable.
	file    vfs.File // the last segment, open for writing from Start on
	current segment
	seed    uint32 // seed sum of the current segment
	link    uint32 // header sum of the last record
	off     int64  // where the next record goes
	buf     []byte // a record is put together here
	// unclean is how many bytes from off on a refused record may have left. They are zeroed before
	// anything else is written: the next record has the same index.
	unclean     int64
	refused     int64 // size of the record that was refused last, in bytes; 0 if the last one was taken
	refusedType uint8 // its type
	writer      markWriter

	place atomic.Pointer[place] // of the last segment, from Start on; for InPlace

	last    atomic.Uint64 // index of the last record
	durable atomic.Uint64 // every record up to this index is on disk
	failure atomic.Pointer[error]
	started atomic.Bool
	closed  atomic.Bool
	stats   counters

	making    sync.Mutex // held while a spare is made or becomes a segment: there is one file of that name
	spare     vfs.File   // under making: zeroed and synced, named spareName; nil if there is none
	spareSize int64      // under making: bytes of the spare that was made last
	hopeless  error      // under making: why a rotation got no spare; nil again when a PrepareSpare succeeds
	needSpare chan struct{}

	releasing sync.Mutex // held while a segment is removed
	unsynced  bool       // under releasing: a segment was removed and the directory not synced since
	covered   atomic.Uint64

	mu   sync.Mutex // held for moments, never over disk work
	segs []segment  // under mu
}

// Tail is what a crash left after the last valid record. Start overwrites it with zeros. Length 0
// means that there is nothing.
type Tail struct {
	File   string // path of the last segment
	Offset int64  // of the end of the last valid record
	Length int64  // bytes up to the last one that is not zero
}

// Open reads and checks the log in dir, except for what is covered, and writes nothing: whatever it
// returns, every byte is as it was. ErrNoLog if dir is missing or has no segment. ErrNotOurs,
// ErrVersion or *CorruptionError if the log must not be used; a mark that says that the log was
// longer is such a reason. Start makes the log ready for Append.
func Open(dir string, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	found := readMark(o.FS, dir) // before the log, which a process beside this one may be writing
	l, err := open(dir, o, found)
	if errors.Is(err, ErrNoLog) {
		if gone := found.gone(dir); gone != nil {
			return nil, gone
		}
	}
	return l, err
}

func open(dir string, o Options, found foundMark) (*Log, error) {
	segs, err := readSegments(dir, o)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, o: o, id: segs[0].store, segs: segs, current: segs[len(segs)-1],
		needSpare: make(chan struct{}, 1), found: found, mark: found.judge(segs[0].store, o.Mark.Note)}
	for i := range segs {
		if i < len(segs)-1 && segs[i+1].first-1 <= o.Covered {
			continue
		}
		if err := l.check(i); err != nil {
			return nil, err
		}
	}
	if err := l.mark.cutOff(dir, l.tail.File, l.tail.Offset, l.last.Load()); err != nil {
		return nil, err
	}
	l.stats.segments.Store(int64(len(segs)))
	return l, nil
}

// check reads segment i. In the last one it also finds where the log ends, and which of its records
// are surely on the disk: those that a later record calls durable. The rest may be in a page cache
// alone, so Start writes them again.
func (l *Log) check(i int) error {
	f, err := l.o.FS.OpenRead(l.segs[i].path)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	s := newScanner(l.segs[i], f)
	known := s.next - 1 // a segment is begun when all before it is durable
	for {
		rec, err := s.record()
		for ; err == nil; rec, err = s.record() {
			known = max(known, rec.Durable)
		}
		var end *invalid
		if !errors.As(err, &end) {
			return err
		}
		if i < len(l.segs)-1 {
			return s.sealed(end.reason, l.segs[i+1])
		}
		torn, err := s.torn(end.reason, l.mark.SyncEach)
		if err != nil && l.o.Live && s.appeared() {
			continue
		}
		if err != nil {
			return err
		}
		l.tail = Tail{File: s.seg.path, Offset: s.off, Length: torn}
		break
	}
	l.off, l.link, l.seed = s.off, le.Uint32(s.link[:]), s.seed
	l.last.Store(s.next - 1)
	l.durable.Store(known)
	return nil
}

// Start makes the disk agree with what Open read. That may have come from a page cache whose bytes
// never reached the disk, for example when a sync failed and the process ended. So the records that
// no later one calls durable are written again, in their place; what was torn is zeroed; file and
// directory are synced. Then Append works. ErrFull if there was no room for that: call Start again
// when there is. Every other error is final for this Log. Whatever the error, a later Open finds
// the same records.
func (l *Log) Start() error {
	if err := l.usable(); !errors.Is(err, ErrNotStarted) {
		return err
	}
	if l.o.Live {
		return errors.New("start log: it was opened for reading beside the process that writes it")
	}
	if l.file == nil {
		f, err := l.o.FS.Open(l.current.path)
		if err != nil {
			return l.fail("open the last segment", err)
		}
		l.file = f
		l.place.Store(&place{f, l.current.path, l.current.size})
	}
	err := l.rewriteTail()
	if errors.Is(err, ErrFull) { // the old spare's room may do
		if err := l.dropSpare(); err != nil {
			return err
		}
		err = l.rewriteTail()
	}
	if errors.Is(err, ErrFull) {
		return fmt.Errorf("settle the tail of %s: %w", l.current.path, err)
	}
	if err != nil {
		return l.fail("settle the tail of "+l.current.path, err)
	}
	if err := l.o.FS.SyncDir(l.dir); err != nil {
		return l.fail("sync the directory", err)
	}
	if err := l.dropSpare(); err != nil {
		return err
	}
	if l.tail.Length > 0 {
		l.o.Logger.Info(l.tornText(), "file", l.tail.File, "offset", l.tail.Offset, "bytes", l.tail.Length)
	}
	l.durable.Store(l.last.Load())
	if l.o.Mark.Keep {
		l.startMark()
	}
	l.started.Store(true)
	l.signalSpare()
	return nil
}

// dropSpare removes the spare of an earlier run. ErrFull is possible: a file system that copies on
// write may need room even to remove a file.
func (l *Log) dropSpare() error {
	err := removeSpare(l.o.FS, l.dir)
	if vfs.NoRoom(err) {
		return fmt.Errorf("log %s: %w: %w", l.dir, ErrFull, err)
	}
	if err != nil {
		return l.fail("remove the old spare", err)
	}
	return nil
}

// tornText is what is said of a torn tail. After kill -9 the mark is exact: a record that it does
// not have was not synced, so nobody was told of it. After a power loss the mark may be a second
// old.
func (l *Log) tornText() string {
	if l.mark.SyncEach && !l.mark.Partial && l.mark.Index == l.last.Load() {
		return "cut a torn tail off the log: nobody was told of it, " +
			"unless the power was lost within a second of its writing"
	}
	return "cut a torn tail off the log: most likely a write that was under way, but no mark proves it"
}

// rewriteTail rewrites the records at the end of the last segment that may not be on the disk,
// zeroes what is torn after them, and syncs the file. It changes no byte that can be read, except
// in the torn part: a crash in the midst of it leaves what Open read, or less of the torn part.
func (l *Log) rewriteTail() error {
	s := newScanner(l.current, l.file)
	for s.next <= l.durable.Load() {
		if _, err := s.record(); err != nil {
			return fmt.Errorf("record %d changed since the log was opened: %w", s.next, err)
		}
	}
	buf := make([]byte, min(l.current.size, 1<<20))
	for off := s.off; off < l.off; {
		b := buf[:min(int64(len(buf)), l.off-off)]
		if n, err := l.file.ReadAt(b, off); n < len(b) {
			return err
		}
		if err := put(l.file, b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	clear(buf)
	for off, end := l.off, l.off+l.tail.Length; off < end; {
		b := buf[:min(int64(len(buf)), end-off)]
		if err := put(l.file, b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	l.writer.syncEach = l.o.Mark.Keep && l.o.Mark.SyncEach && l.clearRoom(buf)
	l.stats.syncs.Add(1)
	return l.file.Sync()
}

// clearRoom writes zeros over the bytes after the tail that may not be zeros on the disk, even if
// they read as zeros. After a run with SyncEach these are the bytes that one record may have taken;
// after any other run they are all. Otherwise a leftover could later look like a second record
// after a torn one, which is damage in a log whose records are synced one by one. It says whether
// that was done.
func (l *Log) clearRoom(zeros []byte) bool {
	if l.unused() {
		return true
	}
	end := l.current.size
	if l.mark.SyncEach {
		end = min(end, l.off+recordSize(maxPayload))
	}
	for off := l.off + l.tail.Length; off < end; {
		b := zeros[:min(int64(len(zeros)), end-off)]
		if err := writeAt(l.file, b, off); err != nil {
			l.o.Logger.Warn("cannot write zeros after the log; the mark will say less of its end",
				"file", l.current.path, "error", err)
			return false
		}
		off += int64(len(b))
	}
	return true
}

// Append writes one record of a type after the last one and returns its index. The record is
// durable only after a Sync that returned nil. ErrTooLarge if payload is empty or longer than
// MaxRecord. ErrVersion if no version that this program knows has the type. ErrFull if there was no
// room for the record, or for a new segment that it needed. After each of these the record is not
// in the log, and no later Open finds it. Every other error is final: nothing is written any more.
//
// Before it returns ErrFull it gives up what is kept for history only (GiveUp).
func (l *Log) Append(recordType uint8, payload []byte) (uint64, error) {
	index, err := l.append(recordType, payload)
	for err != nil && errors.Is(err, ErrFull) {
		bytes, kept := l.GiveUp()
		if bytes == 0 {
			l.refused, l.refusedType = recordSize(len(payload)), recordType
			return 0, errors.Join(err, kept)
		}
		index, err = l.append(recordType, payload)
	}
	return index, err
}

func (l *Log) append(recordType uint8, payload []byte) (uint64, error) {
	if err := l.usable(); err != nil {
		return 0, err
	}
	if len(payload) == 0 || len(payload) > l.MaxRecord() {
		return 0, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrTooLarge, len(payload), l.MaxRecord())
	}
	if l.unclean > 0 {
		if err := l.clean(); err != nil {
			return 0, err
		}
	}
	size := recordSize(len(payload))
	if !l.takes(recordType, size) {
		if err := l.rotate(recordType, size); err != nil {
			return 0, err
		}
	}
	b := l.buffer(size)
	index := l.last.Load() + 1
	link := encodeRecord(b, recordType, l.seed, l.link, index, l.durable.Load(), l.o.Now().UnixNano(), payload)
	if err := put(l.file, b, l.off); errors.Is(err, ErrFull) {
		return 0, l.takeBack(size, err)
	} else if err != nil {
		return 0, l.fail("write to "+l.current.path, err)
	}
	l.off += size
	l.link = link
	l.last.Store(index)
	l.refused = 0
	l.stats.records.Add(1)
	l.stats.bytes.Add(size)
	return index, nil
}

// takes says whether the last segment has room for a record of so many bytes, and may have records
// of its type.
func (l *Log) takes(recordType uint8, size int64) bool {
	return l.off+size <= l.current.size && l.current.format.has(recordType)
}

// buffer returns size bytes in which to put together what is written. They are reused: Append
// allocates only for records that are longer than all before.
func (l *Log) buffer(size int64) []byte {
	if int64(cap(l.buf)) < size {
		l.buf = make([]byte, size, max(2*size, sizeUnit))
	}
	return l.buf[:size]
}

// Sync makes every appended record durable. Where there is nothing to do it makes no system call.
// An error is final: whether the records are on the disk is not known, and another sync would not
// tell, since the system may have dropped the bytes and call them clean.
func (l *Log) Sync() error {
	if err := l.usable(); err != nil {
		return err
	}
	last := l.last.Load()
	if l.durable.Load() == last {
		return nil
	}
	l.stats.syncs.Add(1)
	if err := l.file.Sync(); err != nil {
		return l.fail("sync "+l.current.path, err)
	}
	l.durable.Store(last)
	l.moveMark(last)
	return nil
}

// usable is nil while the log may be written.
func (l *Log) usable() error {
	if failure := l.failure.Load(); failure != nil {
		return *failure
	}
	if l.closed.Load() {
		return ErrClosed
	}
	if !l.started.Load() {
		return ErrNotStarted
	}
	return nil
}

// fail makes err final and returns it as every later call will.
func (l *Log) fail(what string, err error) error {
	err = fmt.Errorf("log %s takes nothing more: %s: %w", l.dir, what, err)
	l.failure.CompareAndSwap(nil, &err)
	return *l.failure.Load()
}

// Close closes the files. It does not sync: for durable records call Sync first. It waits for a
// PrepareSpare or Release that is under way. To call it again does nothing.
func (l *Log) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	l.making.Lock() // PrepareSpare sees closed and gives up
	defer l.making.Unlock()
	l.releasing.Lock()
	defer l.releasing.Unlock()
	var errs []error
	if l.spare != nil {
		errs = append(errs, l.spare.Close())
	}
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.writer.file != nil {
		errs = append(errs, l.writer.file.Close())
	}
	return errors.Join(errs...)
}

// ID is the UUID of the store that the log belongs to.
func (l *Log) ID() ID { return l.id }

// Tail is what Open found after the last valid record.
func (l *Log) Tail() Tail { return l.tail }

// Last is the index of the last record, durable or not; First()-1 when there is none.
func (l *Log) Last() uint64 { return l.last.Load() }

// Durable is the highest index that is surely on disk, with all below it.
func (l *Log) Durable() uint64 { return l.durable.Load() }

// MaxRecord is the longest payload that Append takes, in bytes: 1 MiB, or less if two such records
// would not fit into a segment.
func (l *Log) MaxRecord() int {
	half := (l.o.SegmentSize - segmentHeaderSize) / 2 &^ (alignment - 1)
	return int(min(maxPayload, half-recordHeaderSize))
}

func (l *Log) path(name string) string { return path.Join(l.dir, name) }
