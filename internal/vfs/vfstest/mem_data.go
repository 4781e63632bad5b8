package vfstest

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync/atomic"
	"syscall"
)

const (
	// sectorSize is what a disk writes whole or not at all, in bytes.
	sectorSize = 512
	// maxMemFile bounds a file of Mem, in bytes: a sparse write far out must not take the test's
	// memory with it.
	maxMemFile = 1 << 30
)

// sector is never changed once it is stored, so disks share it. nil stands for zeros. Bytes beyond
// the file's end are 0.
type sector [sectorSize]byte

var zeroSector sector // never written

// memData is the bytes of a file: as they are seen, and what of them a power loss may take back.
type memData struct {
	size    int64
	sectors []*sector // as seen; as many as size needs

	durableSize int64
	sizes       []int64                  // that the file grew to since the last sync, in order
	dirty       map[int64]unsyncedSector // by sector number; sectors that are not here are durable as seen
}

// unsyncedSector is a sector that was written since it was last made durable.
type unsyncedSector struct {
	versions []*sector // the durable one, then each that was written, in order; at least two
	dropped  bool      // a sync failed and the system takes the sector for clean: only writing it again gets it synced
}

func sectorsFor(size int64) int64 {
	return (size + sectorSize - 1) / sectorSize
}

// readAt fills p from off and returns how many bytes there were.
func (d *memData) readAt(p []byte, off int64) int {
	if off >= d.size {
		return 0
	}
	p = p[:min(int64(len(p)), d.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		s := d.sectors[at/sectorSize]
		if s == nil {
			s = &zeroSector
		}
		done += copy(p[done:], s[at%sectorSize:])
	}
	return len(p)
}

// writeAt stores p at off; every sector that it touches gets a new version.
func (d *memData) writeAt(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	if end := off + int64(len(p)); end > d.size {
		d.size = end
		d.sizes = append(d.sizes, end)
		if more := sectorsFor(end) - int64(len(d.sectors)); more > 0 {
			d.sectors = append(d.sectors, make([]*sector, more)...)
		}
	}
	if d.dirty == nil {
		d.dirty = map[int64]unsyncedSector{}
	}
	for len(p) > 0 {
		i := off / sectorSize
		old := d.sectors[i]
		next := zeroSector
		if old != nil {
			next = *old
		}
		n := copy(next[off%sectorSize:], p)
		d.sectors[i] = nil
		if next != zeroSector {
			kept := next
			d.sectors[i] = &kept
		}
		u := d.dirty[i]
		if u.versions == nil {
			u.versions = []*sector{old}
		}
		d.dirty[i] = unsyncedSector{versions: append(u.versions, d.sectors[i])}
		p, off = p[n:], off+int64(n)
	}
}

// sync makes bytes and size durable, except for the sectors that an earlier sync dropped.
func (d *memData) sync() {
	maps.DeleteFunc(d.dirty, func(_ int64, u unsyncedSector) bool { return !u.dropped })
	d.durableSize = d.size
	d.sizes = nil
}

// failSync drops every unsynced sector.
func (d *memData) failSync() {
	for i, u := range d.dirty {
		u.dropped = true
		d.dirty[i] = u
	}
}

// clone copies the tables and shares the sectors. The lists that may grow are clipped, so that an
// append to one of the copies is not seen by the other.
func (d *memData) clone() *memData {
	c := *d
	c.sectors = slices.Clone(d.sectors)
	c.sizes = slices.Clip(d.sizes)
	c.dirty = maps.Clone(d.dirty)
	for i, u := range c.dirty {
		u.versions = slices.Clip(u.versions)
		c.dirty[i] = u
	}
	return &c
}

// memFile is an open file of a Mem.
type memFile struct {
	mem      *Mem
	data     *memData
	name     string
	writable bool
	closed   atomic.Bool
}

func (f *memFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if f.closed.Load() {
		return 0, f.fail("read", fs.ErrClosed)
	}
	if off < 0 {
		return 0, f.fail("read", errors.New("negative offset"))
	}
	n := f.data.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if f.closed.Load() {
		return 0, f.fail("write", fs.ErrClosed)
	}
	if !f.writable {
		return 0, f.fail("write", syscall.EBADF)
	}
	if off < 0 {
		return 0, f.fail("write", errors.New("negative offset"))
	}
	if off > maxMemFile-int64(len(p)) {
		return 0, f.fail("write", syscall.EFBIG)
	}
	f.data.writeAt(p, off)
	return len(p), nil
}

func (f *memFile) Sync() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if f.closed.Load() {
		return f.fail("sync", fs.ErrClosed)
	}
	f.data.sync()
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	if f.closed.Load() {
		return 0, f.fail("size", fs.ErrClosed)
	}
	return f.data.size, nil
}

func (f *memFile) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	return nil
}
