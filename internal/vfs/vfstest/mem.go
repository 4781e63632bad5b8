package vfstest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"gcd/internal/vfs"
)

// Mem is a disk in memory that can lose power: it keeps apart what is visible and what would
// survive (Crash). Absolute and relative names start at the same root, which is there from the
// beginning. A file is at most 1 GiB long. Safe for concurrent use.
type Mem struct {
	mu   sync.RWMutex // guards everything reachable from root
	root *node
}

// node is a directory or a file; exactly one of the two is set. It belongs to one Mem and may have
// several names.
type node struct {
	dir  *memDir
	data *memData
}

// memDir is a directory: what is seen, what is durable, and the way from the one to the other.
type memDir struct {
	visible map[string]*node
	durable map[string]*node
	pending []nameChange // since the last SyncDir, in order
}

// nameChange is one change of a directory: a creation (from is empty), a removal (to is empty), a
// rename or an exchange.
type nameChange struct {
	node      *node
	from, to  string
	over      *node // had the name to before and loses it; nil: nothing had
	exchanges bool  // over gets the name from
}

// NewMem returns an empty disk.
func NewMem() *Mem {
	return &Mem{root: &node{dir: newMemDir()}}
}

func newMemDir() *memDir {
	return &memDir{visible: map[string]*node{}, durable: map[string]*node{}}
}

// change does c at once to what is seen.
func (d *memDir) change(c nameChange) {
	c.apply(d.visible)
	d.pending = append(d.pending, c)
}

func (c nameChange) apply(names map[string]*node) {
	switch {
	case c.exchanges:
		names[c.from] = c.over
	case c.from != "":
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// sync makes what is seen durable.
func (d *memDir) sync() {
	d.durable = maps.Clone(d.visible)
	d.pending = nil
}

// split returns the elements of name below the root; none for the root itself.
func split(name string) []string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// find returns the node that name leads to. The caller holds mu.
func (m *Mem) find(name string) (*node, error) {
	if name == "" {
		return nil, syscall.ENOENT
	}
	n := m.root
	for _, elem := range split(name) {
		if n.dir == nil {
			return nil, syscall.ENOTDIR
		}
		if n = n.dir.visible[elem]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

func (m *Mem) findDir(name string) (*memDir, error) {
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if n.dir == nil {
		return nil, syscall.ENOTDIR
	}
	return n.dir, nil
}

func (m *Mem) findFile(name string) (*memData, error) {
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if n.data == nil {
		return nil, syscall.EISDIR
	}
	return n.data, nil
}

// place returns the directory that name is in, or would be, and the last element of name.
func (m *Mem) place(name string) (*memDir, string, error) {
	elems := split(name)
	if name == "" {
		return nil, "", syscall.ENOENT
	}
	if len(elems) == 0 {
		return nil, "", syscall.EISDIR
	}
	last := len(elems) - 1
	d, err := m.findDir("/" + strings.Join(elems[:last], "/"))
	return d, elems[last], err
}

// Create implements vfs.FS.
func (m *Mem) Create(name string) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, last, err := m.place(name)
	if err == nil && d.visible[last] != nil {
		err = syscall.EEXIST
	}
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	n := &node{data: &memData{}}
	d.change(nameChange{node: n, to: last})
	return &memFile{mem: m, data: n.data, name: name, writable: true}, nil
}

// Open implements vfs.FS.
func (m *Mem) Open(name string) (vfs.File, error) {
	return m.open(name, true)
}

// OpenRead implements vfs.FS.
func (m *Mem) OpenRead(name string) (vfs.File, error) {
	return m.open(name, false)
}

func (m *Mem) open(name string, writable bool) (vfs.File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, err := m.findFile(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memFile{mem: m, data: data, name: name, writable: writable}, nil
}

// Rename implements vfs.FS. It fails with errors.ErrUnsupported if the names are not in one
// directory.
func (m *Mem) Rename(oldname, newname string) error {
	return m.rename("rename", oldname, newname, func(c *nameChange) error {
		switch {
		case c.over == nil:
			return nil
		case c.over.dir != nil:
			return syscall.EEXIST
		case c.node.dir != nil:
			return syscall.ENOTDIR
		}
		return nil
	})
}

// Exchange implements vfs.FS. It fails with errors.ErrUnsupported if the names are not in one
// directory.
func (m *Mem) Exchange(a, b string) error {
	return m.rename("exchange", a, b, func(c *nameChange) error {
		if c.over == nil {
			return syscall.ENOENT
		}
		c.exchanges = true
		return nil
	})
}

// rename is for Rename and Exchange: admit makes the change what op means, or refuses it.
func (m *Mem) rename(op, oldname, newname string, admit func(*nameChange) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, c, err := m.renaming(oldname, newname)
	if err == nil {
		err = admit(&c)
	}
	if err != nil {
		return &os.LinkError{Op: op, Old: oldname, New: newname, Err: err}
	}
	d.change(c)
	return nil
}

// renaming is the change that a rename makes, and the directory that it changes.
func (m *Mem) renaming(oldname, newname string) (*memDir, nameChange, error) {
	d, from, err := m.place(oldname)
	if err != nil {
		return nil, nameChange{}, err
	}
	n := d.visible[from]
	if n == nil {
		return nil, nameChange{}, syscall.ENOENT
	}
	toDir, to, err := m.place(newname)
	if err != nil {
		return nil, nameChange{}, err
	}
	if toDir != d {
		return nil, nameChange{}, errors.ErrUnsupported
	}
	return d, nameChange{node: n, from: from, to: to, over: d.visible[to]}, nil
}

// Remove implements vfs.FS. Files that are open stay readable and writable.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, last, err := m.place(name)
	if err == nil {
		switch n := d.visible[last]; {
		case n == nil:
			err = syscall.ENOENT
		case n.dir != nil && len(n.dir.visible) > 0:
			err = syscall.ENOTEMPTY
		}
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	d.change(nameChange{node: d.visible[last], from: last})
	return nil
}

// ReadDir implements vfs.FS.
func (m *Mem) ReadDir(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, err := m.findDir(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: err}
	}
	return slices.Sorted(maps.Keys(d.visible)), nil
}

// Mkdir makes one directory, whose name is durable when that of a file would be.
func (m *Mem) Mkdir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, last, err := m.place(dir)
	if err == nil && d.visible[last] != nil {
		err = syscall.EEXIST
	}
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	d.change(nameChange{node: &node{dir: newMemDir()}, to: last})
	return nil
}

// MkdirAll implements vfs.FS. It is one step: no crash finds only some of the directories.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.makeDirs(dir); err != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}

func (m *Mem) makeDirs(dir string) (*memDir, error) {
	if dir == "" {
		return nil, syscall.ENOENT
	}
	d := m.root.dir
	for _, elem := range split(dir) {
		n := d.visible[elem]
		if n == nil {
			n = &node{dir: newMemDir()}
			d.change(nameChange{node: n, to: elem})
			d.sync()
		}
		if n.dir == nil {
			return nil, syscall.ENOTDIR
		}
		d = n.dir
	}
	return d, nil
}

// SyncDir implements vfs.FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDir(dir)
	if err != nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: err}
	}
	d.sync()
	return nil
}

// Files lists the paths of all files, sorted, without a leading slash.
func (m *Mem) Files() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	files := m.root.dir.files("", nil)
	slices.Sort(files)
	return files
}

func (d *memDir) files(prefix string, files []string) []string {
	for name, n := range d.visible {
		if n.dir != nil {
			files = n.dir.files(prefix+name+"/", files)
		} else {
			files = append(files, prefix+name)
		}
	}
	return files
}

// ReadFile returns a copy of a file's bytes.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, err := m.findFile(name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	p := make([]byte, data.size)
	data.readAt(p, 0)
	return p, nil
}

// WriteFile replaces a file's bytes, or makes the file and the directories above it. It is for
// damaging a disk on which nothing runs: the bytes and the name are durable at once (for a name
// that was not durable yet its directory is synced).
func (m *Mem) WriteFile(name string, p []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writeFile(name, p); err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}

func (m *Mem) writeFile(name string, p []byte) error {
	if len(p) > maxMemFile {
		return syscall.EFBIG
	}
	elems := split(name)
	if len(elems) == 0 {
		return syscall.EISDIR
	}
	last := len(elems) - 1
	d, err := m.makeDirs("/" + strings.Join(elems[:last], "/"))
	if err != nil {
		return err
	}
	n := d.visible[elems[last]]
	if n == nil {
		n = &node{data: &memData{}}
		d.change(nameChange{node: n, to: elems[last]})
	}
	if n.data == nil {
		return syscall.EISDIR
	}
	*n.data = memData{}
	n.data.writeAt(p, 0)
	n.data.sync()
	if d.durable[elems[last]] != n {
		d.sync()
	}
	return nil
}
