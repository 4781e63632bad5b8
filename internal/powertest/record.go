//go:build linux && (amd64 || arm64)

package powertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcd/internal/vfs"
)

// A Point is the moment before a call.
type Point struct {
	Call string   // with its file or its names
	Disk *vfs.Mem // as it was, under the names that the files really have; a copy
	Note uint64   // what was noted then
}

// Recorder holds up the calls of its process.
type Recorder struct {
	root     string
	note     func() uint64
	listener int

	mu     sync.Mutex
	disk   *vfs.Mem
	points []Point
	naming []naming // that were let through, and perhaps are under way
	over   bool
	err    error // the first
}

// naming is a rename, or an unlink if to is empty.
type naming struct{ from, to string }

// ErrUnsupported says that the system does not let calls be held up.
var ErrUnsupported = errors.New("powertest: no seccomp listener")

// What <linux/seccomp.h> has and package unix has not.
const (
	setModeFilter = 1
	threadSync    = 1
	newListener   = 8
	threadSyncErr = 16 // the error of a thread that cannot be had is ESRCH
	userNotify    = 0x7fc00000
	allow         = 0x7fff0000
	receive       = 0xc0502100
	send          = 0xc0182101
	goOn          = 1
)

type notification struct {
	id       uint64
	pid      uint32
	flags    uint32
	call     int32
	arch     uint32
	ip       uint64
	argument [6]uint64
}

type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// held are the calls that are held up, with the places of their names among the arguments: of what
// is renamed or removed, and of what it is renamed to; -1: none, the call is about a descriptor.
var held = func() map[int32][2]int {
	calls := map[int32][2]int{
		unix.SYS_FSYNC: {-1, -1}, unix.SYS_FDATASYNC: {-1, -1},
		unix.SYS_RENAMEAT: {1, 3}, unix.SYS_RENAMEAT2: {1, 3}, unix.SYS_UNLINKAT: {1, -1},
	}
	if runtime.GOARCH == "amd64" { // rename, unlink and rmdir, which others do not have
		calls[82], calls[87], calls[84] = [2]int{0, 1}, [2]int{0, -1}, [2]int{0, -1}
	}
	return calls
}()

// Record begins. root is the directory that everything of interest is in or comes to be in; what is
// there already is durable. note is called at each call, and gives what is to be kept with it.
// ErrUnsupported if this system cannot.
func Record(root string, note func() uint64) (*Recorder, error) {
	r := &Recorder{root: root, note: note, disk: vfs.NewMem()}
	if err := r.disk.MkdirAll(root); err != nil {
		return nil, err
	}
	if err := r.follow(); err != nil {
		return nil, err
	}
	r.disk = r.disk.Crash(vfs.Crash{Keep: 1})
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	numbers := make([]int32, 0, len(held))
	for call := range held {
		numbers = append(numbers, call)
	}
	for i, call := range numbers {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt: uint8(len(numbers) - i), K: uint32(call)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allow},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: userNotify})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}

	runtime.LockOSThread() // both calls are about it first
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, threadSync|newListener|threadSyncErr,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, errno)
	}
	r.listener = int(fd)
	go r.serve()
	return r, nil
}

// serve lets the calls through, one after the other, as long as the process lives.
func (r *Recorder) serve() {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(r.listener), receive,
			uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // a signal, or the call was given up
		}
		r.mu.Lock()
		if !r.over {
			if err := r.take(&n); err != nil && r.err == nil {
				r.err = err
			}
		}
		r.mu.Unlock()
		answer := response{id: n.id, flags: goOn}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(r.listener), send, uintptr(unsafe.Pointer(&answer)))
	}
}

// take notes a call.
func (r *Recorder) take(n *notification) error {
	if err := r.follow(); err != nil {
		return err
	}
	places := held[n.call]
	if places[0] < 0 {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", n.argument[0]))
		if err != nil || !r.within(name) {
			return err
		}
		r.points = append(r.points, Point{"sync " + name, r.disk.Clone(), r.note()})
		return r.sync(name)
	}
	var names naming
	var err error
	if names.from, err = r.text(n.argument[places[0]]); err != nil {
		return err
	}
	if places[1] >= 0 {
		if names.to, err = r.text(n.argument[places[1]]); err != nil {
			return err
		}
	}
	if !r.within(names.from) {
		return nil
	}
	if _, err := os.Lstat(names.from); err != nil {
		return nil // it will fail
	}
	r.points = append(r.points, Point{fmt.Sprintf("rename or remove %s %s", names.from, names.to),
		r.disk.Clone(), r.note()})
	r.naming = append(r.naming, names)
	return nil
}

func (r *Recorder) within(name string) bool {
	return strings.HasPrefix(name, r.root+"/") || name == r.root
}

// text reads a name in the memory of the process.
func (r *Recorder) text(at uint64) (string, error) {
	b := make([]byte, unix.PathMax)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(os.Getpid(), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err != nil {
		return "", fmt.Errorf("powertest: reading a name: %w", err)
	}
	end := bytes.IndexByte(b[:max(n, 0)], 0)
	if end < 0 {
		return "", errors.New("powertest: a name has no end")
	}
	return string(b[:end]), nil
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
		if _, err := os.Lstat(n.from); err == nil {
			return false // it is under way still
		}
		if n.to == "" {
			_ = r.disk.Remove(n.from) // a directory stays
		} else {
			_ = r.disk.Remove(n.to)
			if err := r.disk.Rename(n.from, n.to); err != nil && r.err == nil {
				r.err = err
			}
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
			return r.disk.MkdirAll(name)
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
