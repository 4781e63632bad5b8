//go:build unix

package store

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcd/wal"
)

// otherKinds make something that is no file under a name.
var otherKinds = map[string]func(path string) error{
	"a named pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"a link to a pipe": func(path string) error {
		return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(path+".pipe", path))
	},
	"a link to a device": func(path string) error { return os.Symlink("/dev/zero", path) },
	"a directory":        func(path string) error { return os.Mkdir(path, 0o700) },
	"a link to nothing":  func(path string) error { return os.Symlink(path+".nothing", path) },
	"a link to itself":   func(path string) error { return os.Symlink(filepath.Base(path), path) },
	"a link through a file": func(path string) error {
		return errors.Join(os.WriteFile(path+".file", nil, 0o600), os.Symlink(path+".file/below", path))
	},
	"a link to directory": func(path string) error { return os.Symlink(os.TempDir(), path) },
	"a socket": func(path string) error {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		if len(path) > 100 {
			return net.InvalidAddrError(path)
		}
		return syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
	},
}

// What has the name of one of a store's files and is none is refused by that name, at once, and
// nothing is changed.
func TestNoRegularFile(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"LOCK", "counters.db", "counters.db.new", "wal/0000000000000001.seg", "wal/spare",
		"reserve"} {
		for kind, make := range otherKinds {
			for _, whole := range []bool{true, false} { // a store, or nothing else
				parent, err := os.MkdirTemp("", "gcd")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(parent)
				dir := filepath.Join(parent, "data")
				if whole {
					if _, _, err := Init(t.Context(), dir, Options{}); err != nil {
						t.Fatal(err)
					}
				}
				mkdir(t, filepath.Join(dir, "wal"))
				path := filepath.Join(dir, file)
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if err := make(path); err != nil {
					t.Fatal(err)
				}
				before := everything(t, dir)
				done := goFunc(func() error {
					s, err := open(t, dir, Options{SegmentSize: 8192, LockWait: -1})
					if err == nil {
						_ = s.Close()
					}
					if _, _, other := Init(t.Context(), dir, Options{}); !errors.Is(other, ErrNotRegular) {
						t.Errorf("%s is %s: Init: %v", file, kind, other)
					}
					return err
				})
				select {
				case err := <-done:
					if !errors.Is(err, ErrNotRegular) {
						t.Errorf("%s is %s, whole %t: %v", file, kind, whole, err)
					}
					var at *os.PathError
					if errors.As(err, &at) && at.Path != path {
						t.Errorf("%s is %s: the error names %s", file, kind, at.Path)
					}
				case <-time.After(60 * time.Second):
					t.Fatalf("%s is %s: it waits", file, kind)
				}
				if now := everything(t, dir); !slices.Equal(before, now) {
					t.Errorf("%s is %s: %q became %q", file, kind, before, now)
				}
			}
		}
	}
}

// A data directory that is a link to what is not there, or no directory, is refused by its name:
// where a volume is not mounted, nothing begins at 1.
func TestDirectoryIsNone(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]error{"a link to nothing": ErrNotRegular, "a file": wal.ErrNotOurs,
		"a link to a file": wal.ErrNotOurs} {
		parent := t.TempDir()
		dir, file := filepath.Join(parent, "data"), filepath.Join(parent, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		switch kind {
		case "a link to nothing":
			err = os.Symlink(filepath.Join(parent, "nothing"), dir)
		case "a link to a file":
			err = os.Symlink(file, dir)
		default:
			dir = file
		}
		if err != nil {
			t.Fatal(err)
		}
		before := everything(t, parent)
		if _, err := open(t, dir, Options{LockWait: -1}); !errors.Is(err, want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("it is %s: %v", kind, err)
		}
		if _, _, err := Init(t.Context(), dir, Options{}); !errors.Is(err, want) {
			t.Errorf("it is %s: Init: %v", kind, err)
		}
		if now := everything(t, parent); !slices.Equal(before, now) {
			t.Errorf("it is %s: %q became %q", kind, before, now)
		}
	}
}

func goFunc(do func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	return done
}

// A mark that is no file does not make a start wait, and is no reason to refuse one.
func TestMarkIsNoFile(t *testing.T) {
	t.Parallel()
	for kind, make := range otherKinds {
		if kind == "a socket" {
			continue // whose name would be too long
		}
		dir := filepath.Join(t.TempDir(), "data")
		if _, _, err := Init(t.Context(), dir, Options{}); err != nil {
			t.Fatal(err)
		}
		mark := filepath.Join(dir, "wal", "mark")
		if err := errors.Join(os.RemoveAll(mark), make(mark)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-goFunc(func() error {
			s, err := open(t, dir, Options{SegmentSize: 8192})
			if err != nil {
				return err
			}
			_, err = s.Count(t.Context(), "a")
			return errors.Join(err, s.Close())
		}):
			if err != nil {
				t.Errorf("it is %s: %v", kind, err)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("it is %s: it waits", kind)
		}
	}
}

// What else has the name of a mark, or has a name in the place of one, is not written over: a mark
// is made anew as a file of its own.
func TestMarkIsAnotherFile(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"counters.db", "wal/0000000000000001.seg", "nothing"} {
		for kind, link := range map[string]func(to, name string) error{"a link": os.Symlink, "another name": os.Link} {
			if file == "nothing" && kind != "a link" {
				continue
			}
			dir := filepath.Join(t.TempDir(), "data")
			if _, _, err := Init(t.Context(), dir, Options{}); err != nil {
				t.Fatal(err)
			}
			mark := filepath.Join(dir, "wal", "mark")
			if err := errors.Join(os.Remove(mark), link(filepath.Join(dir, file), mark)); err != nil {
				t.Fatal(err)
			}
			for want := range uint64(2) {
				s, err := open(t, dir, Options{SegmentSize: 8192})
				if err != nil {
					t.Fatalf("it is %s of %s: %v", kind, file, err)
				}
				if got, err := s.Count(t.Context(), "a"); err != nil || got != want+1 {
					t.Errorf("it is %s of %s: %d, %v", kind, file, got, err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("it is %s of %s: %v", kind, file, err)
				}
			}
			if info, err := os.Lstat(mark); err != nil || !info.Mode().IsRegular() {
				t.Errorf("it is %s of %s: %v, %v", kind, file, info, err)
			}
		}
	}
}

// The log's directory is one, or a link to one.
func TestLogIsNoDirectory(t *testing.T) {
	t.Parallel()
	for kind, make := range otherKinds {
		if kind == "a directory" || kind == "a link to directory" || kind == "a socket" {
			continue
		}
		dir := t.TempDir()
		if err := make(filepath.Join(dir, "wal")); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-goFunc(func() error { _, err := open(t, dir, Options{LockWait: -1}); return err }):
			if !errors.Is(err, wal.ErrNotOurs) && !errors.Is(err, ErrNotRegular) {
				t.Errorf("it is %s: %v", kind, err)
			}
			if names, err := os.ReadDir(dir); err != nil || len(names) > 2 {
				t.Errorf("it is %s: %q, %v", kind, names, err)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("it is %s: it waits", kind)
		}
	}
}

// Links to what a store has are as good.
func TestLinkedFiles(t *testing.T) {
	t.Parallel()
	dir, elsewhere := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := newestStore(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"LOCK", "counters.db", "wal"} {
		to := filepath.Join(elsewhere, file)
		if err := errors.Join(os.Rename(filepath.Join(dir, file), to),
			os.Symlink(to, filepath.Join(dir, file))); err != nil {
			t.Fatal(err)
		}
	}
	s = newestStore(t, dir)
	if got := get(s, "a"); got.Sum != 4 {
		t.Errorf("topic a is at %+v, want 4", got)
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
