package atomicfile

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func begin(t *testing.T, name, text string) *File {
	t.Helper()
	f, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "backup")
	want := func(text string, files int) {
		t.Helper()
		b, err := os.ReadFile(name)
		if text == "" && os.IsNotExist(err) {
			err = nil
		}
		if err != nil || string(b) != text {
			t.Errorf("the file is %q, %v; want %q", b, err, text)
		}
		if all := names(t, dir); len(all) != files {
			t.Errorf("the directory has %q, want %d files", all, files)
		}
	}

	f := begin(t, name, "first")
	want("", 1)
	f.Discard()
	f.Discard()
	want("", 0)

	f = begin(t, name, "first")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	want("first", 1)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	other := begin(t, name, "other")
	f = begin(t, name, "second")
	want("first", 3)
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	want("second", 2)
	other.Discard()
	want("second", 1)
}

func TestFileThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "no", "such")} {
		if f, err := Create(name); err == nil {
			f.Discard()
			t.Errorf("made %s", name)
		}
	}
	// What takes the name meanwhile and cannot be replaced leaves the file to be discarded.
	name := filepath.Join(dir, "backup")
	f := begin(t, name, "x")
	if err := os.MkdirAll(filepath.Join(name, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("replaced a directory")
	}
	f.Discard()
	if all := names(t, dir); len(all) != 1 {
		t.Errorf("the directory has %q", all)
	}
}
