package snapshot

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"gcd/internal/vfs"
	"gcd/wal"
)

// ends runs do, which must end.
func ends(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s: it has not ended after a minute", what)
		return nil
	}
}

// TestFaultOfTheFirstPages: the pages with which a transaction begins are pages like others: that
// they cannot be read any more once the file is open is an error of the system, and the file is
// closed after it, and free.
func TestFaultOfTheFirstPages(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		do   func(*File) error
	}{
		{"Read", func(f *File) error { _, err := f.Read(func(Meta, Entry) error { return nil }); return err }},
		{"Meta", func(f *File) error { _, err := f.Meta(); return err }},
		{"Check", func(f *File) error { _, err := f.Check(nil); return err }},
		{"Update", func(f *File) error { return f.Update(func(*Meta) {}) }},
		{"Write", func(f *File) error { return f.Write(nil, 1, nil) }},
	} {
		path := filepath.Join(t.TempDir(), FileName)
		Build(t, path, wal.ID{1}, BuildEntries(rand.New(rand.NewPCG(1, 1)), 500), 99)
		intact, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file := File{Path: path, Hooks: Hooks{Opened: func(*bolt.DB) {
			if err := os.Truncate(path, 0); err != nil {
				t.Error(err)
			}
		}}}
		err = ends(t, row.name, func() error { return row.do(&file) })
		if err == nil || errors.As(err, new(*wal.CorruptionError)) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error of the system about %s", row.name, err, path)
		}
		if err := os.WriteFile(path, intact, 0o600); err != nil {
			t.Fatal(err)
		}
		free(t, row.name, path)
	}
}

// TestFaultAfterTheWalk: likewise of every page once all of them were read by calls.
func TestFaultAfterTheWalk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	Build(t, path, wal.ID{1}, BuildEntries(rand.New(rand.NewPCG(1, 1)), 500), 99)
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		byMap bool // it goes on by the memory map
		do    func(*File) error
	}{
		{"Read", true, func(f *File) error { _, err := f.Read(func(Meta, Entry) error { return nil }); return err }},
		{"Meta", true, func(f *File) error { _, err := f.Meta(); return err }},
		{"Check", false, func(f *File) error { _, err := f.Check(nil); return err }},
	} {
		last := 0
		for _, cut := range []bool{false, true} {
			if err := os.WriteFile(path, intact, 0o600); err != nil {
				t.Fatal(err)
			}
			reads := 0
			after := func() {
				if reads++; cut && reads == last {
					if err := os.Truncate(path, 0); err != nil {
						t.Error(err)
					}
				}
			}
			file := File{Path: path, Hooks: Hooks{Reader: func(f *os.File) io.ReaderAt { return afterRead{f, after} }}}
			err := ends(t, row.name, func() error { return row.do(&file) })
			if last = reads; (err != nil) != (cut && row.byMap) || errors.As(err, new(*wal.CorruptionError)) {
				t.Errorf("%s, cut off after read %d (%t): %v", row.name, last, cut, err)
			}
		}
	}
}

// afterRead calls a function after each read.
type afterRead struct {
	io.ReaderAt
	call func()
}

func (r afterRead) ReadAt(b []byte, off int64) (int, error) {
	defer r.call()
	return r.ReaderAt.ReadAt(b, off)
}

// free checks that nobody has the file locked.
func free(t *testing.T, what, path string) {
	t.Helper()
	writer := File{Path: path, Wait: time.Millisecond} // which any other that has it open would keep out
	if err := writer.Update(func(*Meta) {}); err != nil {
		t.Errorf("%s: the next one: %v", what, err)
	}
}

// TestPanicOfAnOpening: a list of free pages without sense has bbolt panic while it opens a file to
// write. That is damage, and the file is free after it.
func TestPanicOfAnOpening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	file := At(path)
	if err := file.Create(vfs.OS{}, wal.ID{1}, false); err != nil {
		t.Fatal(err)
	}
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	damaged, ne := append([]byte(nil), intact...), binary.NativeEndian
	for id := range 2 {
		list := int(ne.Uint64(damaged[id*size+metaFreeList:])) * size
		ne.PutUint16(damaged[list+8:], leafPage)
	}
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := file.Update(func(*Meta) {}); !errors.As(err, new(*wal.CorruptionError)) {
		t.Errorf("%v, want damage", err)
	}
	if err := os.WriteFile(path, intact, 0o600); err != nil {
		t.Fatal(err)
	}
	free(t, "an opening that failed", path)
}

// TestFaultOfANewFile: likewise of a file that is being made.
func TestFaultOfANewFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	file := File{Path: path, Hooks: Hooks{Opened: func(*bolt.DB) {
		if err := os.Truncate(path+HalfMade, 0); err != nil {
			t.Error(err)
		}
	}}}
	err := ends(t, "Create", func() error { return file.Create(vfs.OS{}, wal.ID{1}, false) })
	if err == nil || errors.As(err, new(*wal.CorruptionError)) || !strings.Contains(err.Error(), path) {
		t.Errorf("Create: %v, want an error of the system about %s", err, path)
	}

	b, err := NewBuilder(vfs.OS{}, path, wal.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	err = ends(t, "Finish", func() error { _, err := b.Finish(1); return err })
	if err == nil || errors.As(err, new(*wal.CorruptionError)) || !strings.Contains(err.Error(), path) {
		t.Errorf("Finish: %v, want an error of the system about %s", err, path)
	}
	if err := ends(t, "Abort", b.Abort); err != nil {
		t.Errorf("Abort: %v", err)
	}
}
