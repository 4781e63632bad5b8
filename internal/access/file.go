package access

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"gcd/internal/vfs"
)

// File is the rules in a file, which may be written anew at any time. Its methods may be called
// from any goroutine.
type File struct {
	path  string
	rules atomic.Pointer[Rules]

	mu  sync.Mutex
	sum [sha256.Size]byte // of what the rules were read from
}

// Open reads the rules in a file. Others than its owner and its group must not be able to read it.
func Open(path string) (*File, error) {
	f := &File{path: path}
	if _, err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Rules are those that hold now. It never waits.
func (f *File) Rules() *Rules { return f.rules.Load() }

// Reload reads the file again, if it has other bytes than before, by its name: it may have been
// replaced, or be a link that leads elsewhere by now. If there is anything wrong, the rules stay as
// they were.
func (f *File) Reload() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := read(f.path)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256(text)
	if f.Rules() != nil && sum == f.sum {
		return false, nil
	}
	rules, err := Parse(f.path, text)
	if err != nil {
		return false, err
	}
	f.sum = sum
	f.rules.Store(rules)
	return true, nil
}

// read reads a file that is regular, private, not too long, and not written meanwhile. It does not
// wait for the other end of a pipe.
func read(path string) ([]byte, error) {
	file, err := vfs.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := before.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s is open to everybody on this machine (mode %04o): chmod 640 %s", path, mode, path)
	}
	if before.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, and a file of rules has at most %d", path, before.Size(), maxFile)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	after, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if after.Size() != int64(len(text)) || !after.ModTime().Equal(before.ModTime()) {
		return nil, fmt.Errorf("%s is being written: write another file, and rename it to this name", path)
	}
	return text, nil
}
