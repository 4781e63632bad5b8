package vfstest

import (
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"gcd/internal/vfs"
)

// Kind names an operation of vfs.FS or vfs.File.
type Kind string

// The kinds of operations.
const (
	KindCreate   Kind = "create"
	KindOpen     Kind = "open"
	KindOpenRead Kind = "openread"
	KindWrite    Kind = "write"
	KindRead     Kind = "read"
	KindSync     Kind = "sync"
	KindSize     Kind = "size"
	KindClose    Kind = "close"
	KindRename   Kind = "rename"
	KindExchange Kind = "exchange"
	KindRemove   Kind = "remove"
	KindReadDir  Kind = "readdir"
	KindMkdirAll Kind = "mkdirall"
	KindSyncDir  Kind = "syncdir"
)

// Op is one operation that is about to be done.
type Op struct {
	N    int // 1 for the first operation, in the order in which they began
	Kind Kind
	// Name is the file or directory; of an open file the name that it was opened by, or was given
	// by Rename or Exchange since.
	Name string
	To   string // of a rename: the new name; of an exchange: the other one
	Off  int64  // of a write or read: where, in bytes
	Len  int    // of a write or read: how many bytes
}

// Outcome is what a hook decides for an operation. The zero value lets it be done.
type Outcome struct {
	err   error
	act   bool // do the work although err is set
	short bool
	n     int // with short: the bytes to transfer
	then  func(error)
}

// Fail makes the operation return err and do nothing. A Close closes the file nonetheless, as the
// system does. The error comes as an *fs.PathError or *os.LinkError around err; nil stands for EIO.
func Fail(err error) Outcome {
	if err == nil {
		err = syscall.EIO
	}
	return Outcome{err: err}
}

// FailAfter makes the operation do its work and then return err all the same, as Fail does. What it
// would have returned is lost: the count of a write or read is 0, a file that was opened is closed
// again.
func FailAfter(err error) Outcome {
	o := Fail(err)
	o.act = true
	return o
}

// Short makes a write or read transfer only the first n bytes and return n and err, wrapped as Fail
// does. With a nil err it breaks the contract of io.WriterAt, as a broken disk would. For other
// kinds a Short is a Fail, or nothing if err is nil.
func Short(n int, err error) Outcome {
	return Outcome{err: err, short: true, n: n}
}

// Then returns o with a function that is called when the operation was done, or was not, with the
// error that it is about to return. Like the hook it may take its time: the operation returns when
// it does.
func (o Outcome) Then(f func(err error)) Outcome {
	o.then = f
	return o
}

// Fault is a file system that lets a test see every operation of another one, and delay, fail or
// shorten it. Safe for concurrent use.
type Fault struct {
	fs   vfs.FS
	hook func(Op) Outcome

	mu     sync.Mutex // guards what follows; never held while the hook or fs is called
	total  int
	counts map[Kind]int
	opened map[*faultFile]struct{} // files whose names are followed
}

// NewFault wraps fs. The hook is called before each operation, on the goroutine that does it and
// without any lock held: it may use fs, take a Crash or Clone of it, and wait as long as it likes,
// which holds up this operation alone. Hooks of concurrent operations run concurrently and not
// always in the order of their numbers, unless the hook itself takes a lock. A nil hook only
// counts.
func NewFault(fs vfs.FS, hook func(Op) Outcome) *Fault {
	if hook == nil {
		hook = func(Op) Outcome { return Outcome{} }
	}
	return &Fault{fs: fs, hook: hook, counts: map[Kind]int{}, opened: map[*faultFile]struct{}{}}
}

// Count is how many operations of a kind have begun, the failed ones included.
func (f *Fault) Count(kind Kind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[kind]
}

// Total is how many operations have begun: the number of the last one.
func (f *Fault) Total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// begin numbers and counts op and asks the hook.
func (f *Fault) begin(op *Op) Outcome {
	f.mu.Lock()
	f.total++
	op.N = f.total
	f.counts[op.Kind]++
	f.mu.Unlock()
	return f.hook(*op)
}

// finish does op, if it is to be done, and returns what it is to return.
func (o Outcome) finish(op Op, act func() error) error {
	var err error
	if o.err == nil || o.act || op.Kind == KindClose {
		err = act()
	}
	if o.err != nil {
		err = op.wrap(o.err)
	}
	if o.then != nil {
		o.then(err)
	}
	return err
}

func (op Op) wrap(err error) error {
	if op.Kind == KindRename || op.Kind == KindExchange {
		return &os.LinkError{Op: string(op.Kind), Old: op.Name, New: op.To, Err: err}
	}
	return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: err}
}

func (f *Fault) do(op Op, act func() error) error {
	return f.begin(&op).finish(op, act)
}

// open does an operation that yields a file.
func (f *Fault) open(kind Kind, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	err := f.do(Op{Kind: kind, Name: name}, func() (err error) {
		file, err = open(name)
		return err
	})
	if err != nil {
		if file != nil {
			_ = file.Close() // opened, and the hook wants it to look as if it was not
		}
		return nil, err
	}
	opened := &faultFile{fault: f, file: file, name: name}
	f.mu.Lock()
	f.opened[opened] = struct{}{}
	f.mu.Unlock()
	return opened, nil
}

// Create implements vfs.FS.
func (f *Fault) Create(name string) (vfs.File, error) {
	return f.open(KindCreate, name, f.fs.Create)
}

// Open implements vfs.FS.
func (f *Fault) Open(name string) (vfs.File, error) {
	return f.open(KindOpen, name, f.fs.Open)
}

// OpenRead implements vfs.FS.
func (f *Fault) OpenRead(name string) (vfs.File, error) {
	return f.open(KindOpenRead, name, f.fs.OpenRead)
}

// Rename implements vfs.FS.
func (f *Fault) Rename(oldname, newname string) error {
	return f.do(Op{Kind: KindRename, Name: oldname, To: newname}, func() error {
		err := f.fs.Rename(oldname, newname)
		if err == nil {
			f.follow(map[string]string{path.Clean(newname): "", path.Clean(oldname): newname})
		}
		return err
	})
}

// Exchange implements vfs.FS.
func (f *Fault) Exchange(a, b string) error {
	return f.do(Op{Kind: KindExchange, Name: a, To: b}, func() error {
		err := f.fs.Exchange(a, b)
		if err == nil {
			f.follow(map[string]string{path.Clean(a): b, path.Clean(b): a})
		}
		return err
	})
}

// Remove implements vfs.FS.
func (f *Fault) Remove(name string) error {
	return f.do(Op{Kind: KindRemove, Name: name}, func() error {
		err := f.fs.Remove(name)
		if err == nil {
			f.follow(map[string]string{path.Clean(name): ""})
		}
		return err
	})
}

// follow gives the open files their new names. A file whose name is gone ("") keeps it: another
// file may get that name, and what happens to it then does not concern this one.
func (f *Fault) follow(names map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file := range f.opened {
		switch to, ok := names[path.Clean(file.name)]; {
		case ok && to == "":
			delete(f.opened, file)
		case ok:
			file.name = to
		}
	}
}

// ReadDir implements vfs.FS.
func (f *Fault) ReadDir(dir string) ([]string, error) {
	var names []string
	err := f.do(Op{Kind: KindReadDir, Name: dir}, func() (err error) {
		names, err = f.fs.ReadDir(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// MkdirAll implements vfs.FS.
func (f *Fault) MkdirAll(dir string) error {
	return f.do(Op{Kind: KindMkdirAll, Name: dir}, func() error { return f.fs.MkdirAll(dir) })
}

// SyncDir implements vfs.FS.
func (f *Fault) SyncDir(dir string) error {
	return f.do(Op{Kind: KindSyncDir, Name: dir}, func() error { return f.fs.SyncDir(dir) })
}

// faultFile is an open file of a Fault.
type faultFile struct {
	fault *Fault
	file  vfs.File
	name  string // guarded by fault.mu
}

func (f *faultFile) op(kind Kind) Op {
	f.fault.mu.Lock()
	defer f.fault.mu.Unlock()
	return Op{Kind: kind, Name: f.name}
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	return f.transfer(KindRead, f.file.ReadAt, p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	return f.transfer(KindWrite, f.file.WriteAt, p, off)
}

func (f *faultFile) transfer(kind Kind, at func([]byte, int64) (int, error), p []byte, off int64) (int, error) {
	op := f.op(kind)
	op.Off, op.Len = off, len(p)
	o := f.fault.begin(&op)
	if o.short {
		o.act = true
		p = p[:max(0, min(o.n, len(p)))]
	}
	done := 0
	err := o.finish(op, func() (err error) {
		done, err = at(p, off)
		return err
	})
	if o.err != nil && !o.short {
		done = 0
	}
	return done, err
}

func (f *faultFile) Sync() error {
	return f.fault.do(f.op(KindSync), f.file.Sync)
}

func (f *faultFile) Size() (int64, error) {
	var size int64
	err := f.fault.do(f.op(KindSize), func() (err error) {
		size, err = f.file.Size()
		return err
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}

func (f *faultFile) Close() error {
	return f.fault.do(f.op(KindClose), func() error {
		f.fault.mu.Lock()
		delete(f.fault.opened, f)
		f.fault.mu.Unlock()
		return f.file.Close()
	})
}
