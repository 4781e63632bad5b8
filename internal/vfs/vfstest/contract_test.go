package vfstest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"gcd/internal/vfs"
)

// TestContract holds every implementation against what vfs.FS and vfs.File promise.
func TestContract(t *testing.T) {
	t.Parallel()
	implementations := map[string]func(t *testing.T) (vfs.FS, string){
		"OS":       func(t *testing.T) (vfs.FS, string) { return vfs.OS{}, filepath.ToSlash(t.TempDir()) },
		"Mem":      func(t *testing.T) (vfs.FS, string) { return newMemWith(t, "/disk"), "/disk" },
		"Mem rel":  func(t *testing.T) (vfs.FS, string) { return newMemWith(t, "disk"), "disk" },
		"FaultMem": func(t *testing.T) (vfs.FS, string) { return NewFault(newMemWith(t, "d"), nil), "d" },
		"FaultOS": func(t *testing.T) (vfs.FS, string) {
			return NewFault(vfs.OS{}, nil), filepath.ToSlash(t.TempDir())
		},
	}
	clauses := map[string]func(t *testing.T, fsys vfs.FS, dir string){
		"create is exclusive":      createIsExclusive,
		"read back":                readBack,
		"hole reads as zeros":      holeReadsAsZeros,
		"overwrite":                overwrite,
		"read at the end":          readAtTheEnd,
		"open for reading":         openForReading,
		"rename":                   rename,
		"rename over a file":       renameOverFile,
		"rename a directory":       renameDirectory,
		"exchange":                 exchange,
		"remove":                   remove,
		"remove a directory":       removeDirectory,
		"read directory":           readDirectory,
		"make directories":         makeDirectories,
		"what is not there":        whatIsNotThere,
		"file is not a directory":  fileIsNotADirectory,
		"closed":                   closed,
		"open file outlives names": openFileOutlivesNames,
	}
	for name, make := range implementations {
		for clause, check := range clauses {
			t.Run(name+"/"+clause, func(t *testing.T) {
				t.Parallel()
				fsys, dir := make(t)
				check(t, fsys, dir)
			})
		}
	}
}

func newMemWith(t *testing.T, dir string) *Mem {
	t.Helper()
	m := NewMem()
	must(t, m.MkdirAll(dir))
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr checks the kind of an error and that it names the operation and the path.
func wantErr(t *testing.T, err, target error) {
	t.Helper()
	if target != nil && !errors.Is(err, target) || err == nil {
		t.Fatalf("error %v, want %v", err, target)
	}
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	if !errors.As(err, &pathErr) && !errors.As(err, &linkErr) {
		t.Fatalf("error %#v carries no path", err)
	}
}

func create(t *testing.T, fsys vfs.FS, name string, content string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	write(t, f, content, 0)
	return f
}

func write(t *testing.T, f vfs.File, content string, off int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(content), off); n != len(content) || err != nil {
		t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(content), off, n, err)
	}
}

func wantContent(t *testing.T, f vfs.File, want string) {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	got := make([]byte, size)
	if n, err := f.ReadAt(got, 0); n != len(got) || err != nil && err != io.EOF {
		t.Fatalf("ReadAt(%d bytes, 0) = %d, %v", len(got), n, err)
	}
	if string(got) != want {
		t.Fatalf("content is %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
	}
}

func wantNames(t *testing.T, fsys vfs.FS, dir string, want ...string) {
	t.Helper()
	got, err := fsys.ReadDir(dir)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Fatalf("ReadDir(%s) = %q, want %q", dir, got, want)
	}
}

func createIsExclusive(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "a"), "old")
	_, err := fsys.Create(path.Join(dir, "a"))
	wantErr(t, err, fs.ErrExist)
	wantContent(t, f, "old")
}

func readBack(t *testing.T, fsys vfs.FS, dir string) {
	content := string(bytes.Repeat([]byte("0123456789"), 700)) // several sectors and not a whole number of them
	f := create(t, fsys, path.Join(dir, "a"), content)
	wantContent(t, f, content)
	must(t, f.Sync())
	must(t, f.Close())

	f, err := fsys.Open(path.Join(dir, "a"))
	must(t, err)
	defer f.Close()
	wantContent(t, f, content)
	part := make([]byte, 600)
	if n, err := f.ReadAt(part, 505); n != 600 || err != nil || string(part) != content[505:1105] {
		t.Fatalf("ReadAt(600, 505) = %d, %v, %.20q", n, err, part)
	}
}

func holeReadsAsZeros(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "a"), "start")
	write(t, f, "end", 2000)
	wantContent(t, f, "start"+string(make([]byte, 1995))+"end")
	if n, err := f.WriteAt(nil, 9000); n != 0 || err != nil {
		t.Fatalf("WriteAt of nothing = %d, %v", n, err)
	}
	if size, err := f.Size(); size != 2003 || err != nil {
		t.Fatalf("size %d, %v; a write of nothing must not extend the file", size, err)
	}
}

func overwrite(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "a"), string(bytes.Repeat([]byte("a"), 1600)))
	write(t, f, string(bytes.Repeat([]byte("b"), 600)), 500)
	a, b := bytes.Repeat([]byte("a"), 500), bytes.Repeat([]byte("b"), 600)
	wantContent(t, f, string(a)+string(b)+string(a))
	write(t, f, string(make([]byte, 1600)), 0)
	wantContent(t, f, string(make([]byte, 1600)))
}

func readAtTheEnd(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "a"), "12345")
	for _, c := range []struct {
		off  int64
		len  int
		want string
		err  error
	}{
		{0, 5, "12345", nil}, {3, 10, "45", io.EOF}, {5, 1, "", io.EOF}, {600, 1, "", io.EOF}, {2, 0, "", nil},
	} {
		p := make([]byte, c.len)
		n, err := f.ReadAt(p, c.off)
		if c.want == "12345" && err == io.EOF {
			err = nil // io.ReaderAt allows either at exactly the end
		}
		if string(p[:n]) != c.want || err != c.err {
			t.Errorf("ReadAt(%d, %d) = %q, %v; want %q, %v", c.len, c.off, p[:n], err, c.want, c.err)
		}
	}
	_, err := f.ReadAt(make([]byte, 1), -1)
	wantErr(t, err, nil)
	_, err = f.WriteAt(make([]byte, 1), -1)
	wantErr(t, err, nil)
}

func openForReading(t *testing.T, fsys vfs.FS, dir string) {
	create(t, fsys, path.Join(dir, "a"), "content")
	f, err := fsys.OpenRead(path.Join(dir, "a"))
	must(t, err)
	defer f.Close()
	n, err := f.WriteAt([]byte("x"), 0)
	wantErr(t, err, nil)
	if n != 0 {
		t.Errorf("wrote %d bytes", n)
	}
	wantContent(t, f, "content")
}

func rename(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "a"), "content")
	must(t, fsys.Rename(path.Join(dir, "a"), path.Join(dir, "b")))
	wantNames(t, fsys, dir, "b")
	write(t, f, "C", 0)
	g, err := fsys.Open(path.Join(dir, "b"))
	must(t, err)
	defer g.Close()
	wantContent(t, g, "Content")
	wantErr(t, fsys.Rename(path.Join(dir, "a"), path.Join(dir, "c")), fs.ErrNotExist)
}

func renameOverFile(t *testing.T, fsys vfs.FS, dir string) {
	must(t, create(t, fsys, path.Join(dir, "a"), "new").Close())
	must(t, create(t, fsys, path.Join(dir, "b"), "what was there").Close())
	must(t, fsys.Rename(path.Join(dir, "a"), path.Join(dir, "b")))
	wantNames(t, fsys, dir, "b")
	wantContent(t, open(t, fsys, path.Join(dir, "b")), "new")
}

// A directory takes its new name with everything in it. Nothing is replaced by it, and it by
// nothing.
func renameDirectory(t *testing.T, fsys vfs.FS, dir string) {
	in := func(name string) string { return path.Join(dir, name) }
	for _, name := range []string{"d/below", "empty"} {
		must(t, fsys.MkdirAll(in(name)))
	}
	must(t, create(t, fsys, in("d/below/f"), "content").Close())
	must(t, create(t, fsys, in("file"), "of its own").Close())
	must(t, fsys.Rename(in("d"), in("e")))
	wantErr(t, fsys.Rename(in("e"), in("empty")), nil)
	wantErr(t, fsys.Rename(in("e"), in("file")), nil)
	wantErr(t, fsys.Rename(in("file"), in("empty")), nil)
	wantErr(t, fsys.Rename(in("d"), in("empty")), fs.ErrNotExist)
	wantNames(t, fsys, dir, "e", "empty", "file")
	wantNames(t, fsys, in("empty"))
	wantContent(t, open(t, fsys, in("e/below/f")), "content")
	wantContent(t, open(t, fsys, in("file")), "of its own")
}

// exchange is of two files, of two directories, and of one of each; it fails where one is missing.
func exchange(t *testing.T, fsys vfs.FS, dir string) {
	in := func(name string) string { return path.Join(dir, name) }
	for _, name := range []string{"d", "e"} {
		must(t, fsys.MkdirAll(in(name)))
		must(t, create(t, fsys, in(name+"/f"), "in "+name).Close())
	}
	f := create(t, fsys, in("a"), "of a")
	must(t, create(t, fsys, in("b"), "of b").Close())
	if err := fsys.Exchange(in("a"), in("b")); errors.Is(err, errors.ErrUnsupported) {
		wantErr(t, err, nil)
		wantContent(t, open(t, fsys, in("a")), "of a")
		wantContent(t, open(t, fsys, in("b")), "of b")
		return // this system cannot
	} else if err != nil {
		t.Fatal(err)
	}
	must(t, fsys.Exchange(in("d"), in("e")))
	write(t, f, "OF", 0)
	wantContent(t, open(t, fsys, in("a")), "of b")
	wantContent(t, open(t, fsys, in("b")), "OF a")
	wantContent(t, open(t, fsys, in("d/f")), "in e")
	wantContent(t, open(t, fsys, in("e/f")), "in d")
	must(t, fsys.Exchange(in("a"), in("d")))
	wantContent(t, open(t, fsys, in("d")), "of b")
	wantContent(t, open(t, fsys, in("a/f")), "in e")
	wantErr(t, fsys.Exchange(in("a"), in("none")), fs.ErrNotExist)
	wantErr(t, fsys.Exchange(in("none"), in("a")), fs.ErrNotExist)
	wantNames(t, fsys, dir, "a", "b", "d", "e")
}

func remove(t *testing.T, fsys vfs.FS, dir string) {
	create(t, fsys, path.Join(dir, "a"), "old").Close()
	must(t, fsys.Remove(path.Join(dir, "a")))
	wantNames(t, fsys, dir)
	wantErr(t, fsys.Remove(path.Join(dir, "a")), fs.ErrNotExist)
	wantContent(t, create(t, fsys, path.Join(dir, "a"), ""), "")
}

func removeDirectory(t *testing.T, fsys vfs.FS, dir string) {
	must(t, fsys.MkdirAll(path.Join(dir, "d/below")))
	wantErr(t, fsys.Remove(path.Join(dir, "d")), nil)
	wantNames(t, fsys, path.Join(dir, "d"), "below")
	must(t, fsys.Remove(path.Join(dir, "d/below")))
	wantNames(t, fsys, path.Join(dir, "d"))
	must(t, fsys.Remove(path.Join(dir, "d")))
	wantNames(t, fsys, dir)
	wantErr(t, fsys.Remove(path.Join(dir, "d")), fs.ErrNotExist)
	must(t, create(t, fsys, path.Join(dir, "d"), "a file now").Close())
}

func readDirectory(t *testing.T, fsys vfs.FS, dir string) {
	wantNames(t, fsys, dir)
	for _, name := range []string{"b", "a10", "a9", "c"} {
		create(t, fsys, path.Join(dir, name), "").Close()
	}
	must(t, fsys.MkdirAll(path.Join(dir, "aa")))
	wantNames(t, fsys, dir, "a10", "a9", "aa", "b", "c")
	must(t, fsys.SyncDir(dir))
}

func makeDirectories(t *testing.T, fsys vfs.FS, dir string) {
	for range 2 {
		must(t, fsys.MkdirAll(path.Join(dir, "x/y/z")))
	}
	wantNames(t, fsys, dir, "x")
	wantNames(t, fsys, path.Join(dir, "x/y"), "z")
	create(t, fsys, path.Join(dir, "x/y/z/file"), "content").Close()
	wantErr(t, fsys.MkdirAll(path.Join(dir, "x/y/z/file")), nil)
	wantErr(t, fsys.MkdirAll(path.Join(dir, "x/y/z/file/below")), nil)
	wantNames(t, fsys, path.Join(dir, "x/y/z"), "file")
}

func whatIsNotThere(t *testing.T, fsys vfs.FS, dir string) {
	name := path.Join(dir, "none")
	_, err := fsys.Open(name)
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.OpenRead(name)
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.Create(path.Join(name, "file"))
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.ReadDir(name)
	wantErr(t, err, fs.ErrNotExist)
	wantErr(t, fsys.SyncDir(name), fs.ErrNotExist)
	_, err = fsys.Create("")
	wantErr(t, err, fs.ErrNotExist)
	wantErr(t, fsys.MkdirAll(""), fs.ErrNotExist)
}

func fileIsNotADirectory(t *testing.T, fsys vfs.FS, dir string) {
	create(t, fsys, path.Join(dir, "a"), "").Close()
	_, err := fsys.ReadDir(path.Join(dir, "a"))
	wantErr(t, err, nil)
	wantErr(t, fsys.SyncDir(path.Join(dir, "a")), nil)
	_, err = fsys.Create(path.Join(dir, "a/b"))
	wantErr(t, err, nil)
	_, err = fsys.Open(dir)
	wantErr(t, err, nil)
}

func closed(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "a"), "content")
	must(t, f.Close())
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed)
	_, err = f.WriteAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed)
	_, err = f.Size()
	wantErr(t, err, nil) // Windows has an error of its own
	wantErr(t, f.Sync(), fs.ErrClosed)
	wantErr(t, f.Close(), fs.ErrClosed)
}

func openFileOutlivesNames(t *testing.T, fsys vfs.FS, dir string) {
	if _, ok := fsys.(vfs.OS); ok && filepath.Separator != '/' {
		t.Skip("Windows does not remove open files")
	}
	f := create(t, fsys, path.Join(dir, "a"), "content")
	must(t, fsys.Remove(path.Join(dir, "a")))
	write(t, f, "C", 0)
	must(t, f.Sync())
	wantContent(t, f, "Content")
}
