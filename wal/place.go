package wal

import "gcd/internal/vfs"

// place is where the last segment is.
type place struct {
	file vfs.File
	path string
	size int64 // as its header says, in bytes
}

// InPlace says whether the last segment is still what its name leads to: what is appended to a file
// that was removed or replaced no later Open finds. It says so too where that cannot be found out.
func (l *Log) InPlace() (path string, ok bool) {
	for {
		p := l.place.Load()
		if p == nil {
			return "", true
		}
		f, can := p.file.(interface {
			Named(path string) (bool, error)
		})
		if !can { // a disk that nobody else has
			return p.path, true
		}
		ok, err := f.Named(p.path)
		if err != nil {
			return p.path, true
		}
		if size, err := p.file.Size(); ok && (err != nil || size >= p.size) { // no Open takes one that was cut off
			return p.path, true
		}
		if l.place.Load() == p { // or a segment was begun meanwhile, and that one removed
			return p.path, false
		}
	}
}
