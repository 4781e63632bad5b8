package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "backup")
	no := errors.New("no")
	for _, test := range []struct {
		content string
		err     error // of write
		sync    error // of the directory
		want    string
		kind    error
	}{
		{"first", no, nil, "", no},
		{"first", nil, nil, "first", nil},
		{"second", no, nil, "first", no},
		{"third", nil, no, "third", ErrNotDurable},
		{"fourth", nil, nil, "fourth", nil},
	} {
		err := writeFile(name, func(w io.Writer) error {
			if got, _ := os.ReadFile(name); string(got) == test.content {
				t.Errorf("%q is there before it is whole", got)
			}
			_, err := io.WriteString(w, test.content)
			return errors.Join(err, test.err)
		}, func(synced string) error {
			if synced != dir {
				t.Errorf("%s was synced, want %s", synced, dir)
			}
			return test.sync
		})
		got, readErr := os.ReadFile(name)
		if !errors.Is(err, test.kind) || string(got) != test.want || (readErr != nil) != (test.want == "") {
			t.Errorf("%+v: %v, %q, %v", test, err, got, readErr)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
			t.Errorf("%v is left, %v", entries, err)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// An error of write comes back as it is, for who knows more about it.
func TestWritesOwnError(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	if err := Write(filepath.Join(t.TempDir(), "f"), func(io.Writer) error { return no }); err != no {
		t.Errorf("%v", err)
	}
}

func TestFileThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{dir, os.DevNull, filepath.Join(dir, "no", "such")} {
		if err := Write(name, func(io.Writer) error {
			t.Errorf("%s: it was begun", name)
			return errors.New("no")
		}); err == nil {
			t.Errorf("made %s", name)
		}
	}
	// What takes the name meanwhile and cannot be replaced.
	name := filepath.Join(dir, "backup")
	if err := Write(name, func(io.Writer) error { return os.MkdirAll(filepath.Join(name, "in the way"), 0o700) }); err == nil {
		t.Error("replaced a directory")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}
