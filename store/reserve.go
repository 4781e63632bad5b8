package store

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"gcd/internal/vfs"
	"gcd/store/core"
)

const (
	reserveName = "reserve"

	reserveBase = 512 << 10 // bytes, however small the store is
	reserveMost = 1 << 30   // bytes, however large it is
	reserveStep = 64 << 10  // bytes that a snapshot may come to need before the reserve is made larger
	entryBytes  = 40        // of an entry in the snapshot, beside its topic
)

// ReservePath is the file in a store's directory that holds the room for one snapshot. Its bytes
// mean nothing, and it may be removed where nothing runs.
func ReservePath(dir string) string { return filepath.Join(dir, reserveName) }

// snapshotRoom is how many bytes a snapshot with so many topics, whose names take so many bytes,
// may need at most: pages of which some are half empty, since names are long, or all written anew
// in one transaction before the old ones are free.
func snapshotRoom(topics, names int64) int64 { return entryBytes*topics + 2*names }

// reserveSize is how large the reserve for a snapshot is that needs so many bytes.
func reserveSize(room int64) int64 { return min(reserveBase+room, reserveMost) }

// reserveLeast is how many bytes the log leaves to a snapshot for which no reserve can be made.
func reserveLeast(room int64) int64 { return min(room+reserveStep, reserveMost) }

// reserveDue is how much room a snapshot may need before a reserve that was made for the given room
// is made larger.
func reserveDue(room int64) int64 { return room + room/8 + reserveStep }

// reserve is a file that holds the room for one snapshot, so that the log cannot take it. It is
// removed before a snapshot is written, where there is not as much room beside it, and made again
// afterwards. Meanwhile, and as long as it is too small, no spare of the log may take its room.
type reserve struct {
	fs   vfs.FS
	dir  string
	path string
	free func(dir string) (bytes int64, known bool)
	on   bool            // Options.Reserve
	sync bool            // false only in tests
	done <-chan struct{} // closed when the store closes, which does not wait for all of the file; nil: never

	wanted atomic.Int64 // bytes that it shall have; what it has where no more could be had
	held   atomic.Int64 // bytes that it has

	mu   sync.Mutex // held while the file changes
	lent bool       // under mu: a snapshot has its room
}

func newReserve(dir string, o Options) *reserve {
	return &reserve{fs: o.files, dir: dir, path: ReservePath(dir), free: o.free, on: o.Reserve, sync: !o.hooks.NoSync}
}

// find takes over the file that an earlier process left.
func (r *reserve) find() error {
	f, err := r.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		r.held.Store(size)
		r.wanted.Store(size)
	}
	return errors.Join(err, f.Close())
}

// open opens the file. It refuses a link: bytes that mean nothing would be written to somebody
// else's file.
func (r *reserve) open() (vfs.File, error) {
	if info, err := os.Lstat(r.path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, &fs.PathError{Op: "open", Path: r.path, Err: fmt.Errorf("%w: it is a link", ErrNotRegular)}
	}
	return r.fs.Open(r.path)
}

// lacking is how many bytes of the free room are the reserve's.
func (r *reserve) lacking() int64 { return max(0, r.wanted.Load()-r.held.Load()) }

// spares is an error if a spare of so many bytes would take room that is the reserve's.
func (r *reserve) spares(bytes int64) error {
	lacking := r.lacking()
	if lacking == 0 {
		return nil
	}
	if free, known := r.free(r.dir); known && free < bytes+lacking {
		return fmt.Errorf("%w: %d bytes are free, and %d of them are for the snapshot", errReserved, free, lacking)
	}
	return nil
}

// errReserved says that there is room, but that it is the snapshot's.
var errReserved = errors.New("no room that a segment may take")

// hold makes the file large enough for a snapshot of until bytes, so that nobody has to ask again
// before a snapshot needs more. Where there is no room for that, it is content with a file that is
// large enough for a snapshot of room bytes, which is what one needs now. While the room is lent it
// does nothing. After an error the file is as it was, if there is room for that.
func (r *reserve) hold(room, until int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	held, size := r.held.Load(), reserveSize(until)
	if !r.on || r.lent || held >= size {
		return nil
	}
	if free, known := r.free(r.dir); known && free < size-held {
		if held >= reserveSize(room) {
			return nil
		}
		return fmt.Errorf("%w: the reserve for a snapshot has %d bytes and should have %d, and %d are free",
			core.ErrLogFull, held, size, free)
	}
	r.wanted.Store(size)
	err := r.extend(size)
	if err == nil {
		return nil
	}
	err = errors.Join(err, r.remove(atOnce)) // what was written of it is the log's
	if held > 0 {
		err = errors.Join(err, r.extend(held))
	}
	return err
}

// covers is how large a snapshot may become before the file has to be made larger. If the file that
// was found is enough for the given room, it is what that file has room for; else it is what a new
// one will be made for.
func (r *reserve) covers(room int64) int64 {
	if held := r.held.Load(); held >= reserveSize(room) {
		return max(room, held-reserveBase)
	}
	return reserveDue(room)
}

// want keeps so many bytes from the log until hold has them.
func (r *reserve) want(bytes int64) {
	if r.on && bytes > r.held.Load() {
		r.wanted.Store(bytes)
	}
}

// makeDo leaves the file as large as it is: the log may take what becomes free. It is for a disk
// that has no room for more.
func (r *reserve) makeDo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.lent {
		r.wanted.Store(r.held.Load())
	}
}

// extend makes the file, or makes it longer, to its end or until the store closes; r.mu is held.
func (r *reserve) extend(size int64) error {
	f, err := r.open()
	if errors.Is(err, fs.ErrPermission) { // it is another user's, in our directory
		if err = r.fs.Remove(r.path); err == nil {
			f, err = r.open()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		f, err = r.fs.Create(r.path)
	}
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	const piece = 1 << 20 // bytes between two syncs: the log's own wait for no more than this
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // it never fails
	random := rand.NewChaCha8(seed)
	b := make([]byte, min(piece, size))
	off, err := f.Size() // somebody may have removed the file to have its room
	for ; err == nil && off < size && !r.closing(); off += int64(len(b)) {
		b = b[:min(int64(len(b)), size-off)]
		r.held.Store(off + int64(len(b))) // what is being written is not to be counted twice
		_, _ = random.Read(b)             // bytes that no file system can compress, nor find twice; it never fails
		if _, err = f.WriteAt(b, off); err == nil && r.sync {
			err = f.Sync()
		}
	}
	if err = errors.Join(err, f.Close()); err == nil && r.sync {
		err = r.fs.SyncDir(r.dir)
	}
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	return nil
}

func (r *reserve) closing() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// remove removes the file, between two makings of a spare: one that is under way was begun beside
// the reserve, and later ones ask for its room. r.mu is held.
func (r *reserve) remove(between func(func())) error {
	var err error
	between(func() {
		if err = r.fs.Remove(r.path); err == nil || errors.Is(err, fs.ErrNotExist) {
			r.held.Store(0)
			err = nil
		}
	})
	if err == nil {
		err = r.fs.SyncDir(r.dir)
	}
	if err != nil {
		return fmt.Errorf("give back the reserve: %w", err)
	}
	return nil
}

// atOnce is the between of a remove when no spare is made.
func atOnce(do func()) { do() }

// giveUp removes the file for a start that has no room, and says whether there was one.
func (r *reserve) giveUp() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held.Load() == 0 {
		return false, nil
	}
	return true, r.remove(atOnce)
}

// lend gives the room to a snapshot, until takeBack, unless there is as much beside it even when so
// many bytes more are written. between is as in remove.
func (r *reserve) lend(more int64, between func(func())) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := r.held.Load()
	if free, known := r.free(r.dir); held == 0 || known && free >= held+more {
		return nil
	}
	if err := r.remove(between); err != nil {
		return err
	}
	r.lent = true
	return nil
}

// takeBack ends lend: the file may be made again.
func (r *reserve) takeBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lent = false
}
