//go:build linux && (amd64 || arm64)

package powertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

// A Point is the moment before a call.
type Point struct {
	Call string       // with its file or its names
	Disk *vfstest.Mem // as it was, under the names that the files really have; a copy
	Note uint64       // what was noted then
}

// Recorder holds up the calls of its process.
type Recorder struct {
	root string
	note func() uint64
	held map[int32][2]int // changing's

	mu     sync.Mutex
	disk   *vfstest.Mem
	points []Point
	naming []naming // that were let through, and perhaps are under way
	over   bool
	err    error // the first
}

// naming is a rename, or an unlink if to is empty.
type naming struct {
	from, to  string
	exchanges bool        // the two names
	was       fs.FileInfo // what had the name from before
}

// done says whether the call has had its effect.
func (n naming) done() bool {
	is, err := os.Lstat(n.from)
	return err != nil || !os.SameFile(is, n.was)
}

// changing returns the calls that are held up, with the places of their names among the arguments:
// of what is renamed or removed, and of what it is renamed to; -1: none, the call is about a
// descriptor.
func changing() map[int32][2]int {
	calls := map[int32][2]int{
		unix.SYS_FSYNC: {-1, -1}, unix.SYS_FDATASYNC: {-1, -1},
		unix.SYS_RENAMEAT: {1, 3}, unix.SYS_RENAMEAT2: {1, 3}, unix.SYS_UNLINKAT: {1, -1},
	}
	if runtime.GOARCH == "amd64" { // rename, unlink and rmdir, which others do not have
		calls[82], calls[87], calls[84] = [2]int{0, 1}, [2]int{0, -1}, [2]int{0, -1}
	}
	return calls
}

// Record begins. root is the directory that everything of interest is in or comes to be in; what is
// there already is durable. note is called at each call, and gives what is to be kept with it.
// ErrUnsupported if this system cannot.
func Record(root string, note func() uint64) (*Recorder, error) {
	r := &Recorder{root: root, note: note, held: changing(), disk: vfstest.NewMem()}
	if err := r.disk.MkdirAll(root); err != nil {
		return nil, err
	}
	if err := r.follow(); err != nil {
		return nil, err
	}
	r.disk = r.disk.Crash(vfstest.Crash{Keep: 1})
	l, err := listen(slices.Collect(maps.Keys(r.held)))
	if err != nil {
		return nil, err
	}
	go l.serve(r.heldUp)
	return r, nil
}

// heldUp is called at each call, and lets it through.
func (r *Recorder) heldUp(n *notification) unix.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		if err := r.take(n); err != nil && r.err == nil {
			r.err = err
		}
	}
	return 0
}

// take notes a call.
func (r *Recorder) take(n *notification) error {
	if err := r.follow(); err != nil {
		return err
	}
	places := r.held[n.call]
	if places[0] < 0 {
		name, err := opened(n.argument[0])
		if err != nil || !r.within(name) {
			return err
		}
		r.points = append(r.points, Point{"sync " + name, r.disk.Clone(), r.note()})
		return r.sync(name)
	}
	var names naming
	var err error
	if names.from, err = text(n.argument[places[0]]); err != nil {
		return err
	}
	if places[1] >= 0 {
		if names.to, err = text(n.argument[places[1]]); err != nil {
			return err
		}
	}
	if !r.within(names.from) {
		return nil
	}
	if names.was, err = os.Lstat(names.from); err != nil {
		return nil // it will fail
	}
	names.exchanges = n.call == unix.SYS_RENAMEAT2 && n.argument[4]&unix.RENAME_EXCHANGE != 0
	r.points = append(r.points, Point{fmt.Sprintf("rename or remove %s %s", names.from, names.to),
		r.disk.Clone(), r.note()})
	r.naming = append(r.naming, names)
	return nil
}

func (r *Recorder) within(name string) bool {
	return strings.HasPrefix(name, r.root+"/") || name == r.root
}

// sync makes durable on the disk what a call is about to make so.
func (r *Recorder) sync(name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) { // it has no name any more
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return r.disk.SyncDir(name)
	}
	f, err := r.disk.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// follow has the disk show what the files are now.
func (r *Recorder) follow() error {
	r.naming = slices.DeleteFunc(r.naming, func(n naming) bool {
		if !n.done() {
			return false // it is under way still
		}
		var err error
		switch {
		case n.to == "": // a directory is tried as a file first, and so may be gone already
			if err = r.disk.Remove(n.from); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		case n.exchanges:
			err = r.disk.Exchange(n.from, n.to)
		default:
			err = r.disk.Rename(n.from, n.to)
		}
		if err != nil && r.err == nil {
			r.err = err
		}
		return true
	})
	return filepath.WalkDir(r.root, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, n := range r.naming {
			if n.to == name {
				return nil
			}
		}
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if err := r.disk.Mkdir(name); !errors.Is(err, fs.ErrExist) {
				return err
			}
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		now, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return r.followFile(name, now)
	})
}

// followFile writes to the disk what is not there as it is now, by sectors.
func (r *Recorder) followFile(name string, now []byte) error {
	was, err := r.disk.ReadFile(name)
	var f vfs.File
	if errors.Is(err, fs.ErrNotExist) {
		f, err = r.disk.Create(name)
	} else if err == nil {
		f, err = r.disk.Open(name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if len(now) > len(was) {
		if _, err := f.WriteAt([]byte{0}, int64(len(now))-1); err != nil {
			return err
		}
		was = append(was, make([]byte, len(now)-len(was))...)
	}
	const sector = 512
	for off := 0; off < len(now); off += sector {
		end := min(off+sector, len(now))
		if !bytes.Equal(now[off:end], was[off:end]) {
			if _, err := f.WriteAt(now[off:end], int64(off)); err != nil {
				return err
			}
		}
	}
	return nil
}

// End ends the recording and returns all points, and as the last one the moment of the call.
func (r *Recorder) End() ([]Point, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.follow(); err != nil && r.err == nil {
		r.err = err
	}
	r.over = true
	return append(r.points, Point{"the end", r.disk.Clone(), r.note()}), r.err
}
