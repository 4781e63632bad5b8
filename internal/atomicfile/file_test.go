package atomicfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/internal/vfs/vfstest"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "backup")
	no := errors.New("no")
	for _, test := range []struct {
		content string
		err     error        // of write
		failing vfstest.Kind // of the operations on the disk, the one that fails
		want    string
		kind    error
	}{
		{"first", no, "", "", no},
		{"first", nil, "", "first", nil},
		{"second", no, "", "first", no},
		{"second", nil, vfstest.KindCreate, "first", no},
		{"second", nil, vfstest.KindWrite, "first", no},
		{"second", nil, vfstest.KindSync, "first", no},
		{"second", nil, vfstest.KindClose, "first", no},
		{"second", nil, vfstest.KindRename, "first", no},
		{"third", nil, vfstest.KindSyncDir, "third", ErrNotDurable},
		{"fourth", nil, "", "fourth", nil},
	} {
		var did []string
		disk := vfstest.NewFault(vfs.OS{}, func(op vfstest.Op) vfstest.Outcome {
			did = append(did, string(op.Kind))
			if op.Kind == vfstest.KindSyncDir && op.Name != dir {
				t.Errorf("%s was synced, want %s", op.Name, dir)
			}
			if op.Kind == test.failing {
				return vfstest.Fail(no)
			}
			return vfstest.Outcome{}
		})
		err := writeFile(disk, name, func(w io.Writer) error {
			if got, _ := os.ReadFile(name); string(got) == test.content {
				t.Errorf("%q is there before it is whole", got)
			}
			_, err := io.WriteString(w, test.content)
			return errors.Join(err, test.err)
		})
		got, readErr := os.ReadFile(name)
		if !errors.Is(err, test.kind) || string(got) != test.want || (readErr != nil) != (test.want == "") {
			t.Errorf("%+v: Write said %v, and left %q (%v)", test, err, got, readErr)
		}
		if want := "create write sync close rename syncdir"; err == nil && strings.Join(did, " ") != want {
			t.Errorf("%+v: did %v, want %s", test, did, want)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
			t.Errorf("%v is left, %v", entries, err)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v (%v), want 0600", info.Mode(), err)
	}
}

// TestPowerLoss: at whatever operation the power goes, the file is there whole or not at all, and
// when Write has returned it is there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("counters "), 300_000) // more than any buffer
	mem := vfstest.NewMem()
	look := func(what string, must bool) {
		t.Helper()
		for _, c := range []vfstest.Crash{{}, {Keep: 1}, {Seed: 1, Keep: 0.5, Garbage: true}, {Seed: 2, Keep: 0.5}} {
			got, err := mem.Crash(c).ReadFile("backup")
			if gone := errors.Is(err, fs.ErrNotExist); gone && must || !gone && !bytes.Equal(got, content) {
				t.Errorf("%s, power loss %+v: %d bytes, %v", what, c, len(got), err)
			}
		}
	}
	disk := vfstest.NewFault(mem, func(op vfstest.Op) vfstest.Outcome {
		look("before "+string(op.Kind), false)
		return vfstest.Outcome{}
	})
	err := writeFile(disk, "backup", func(w io.Writer) error {
		for rest := content; len(rest) > 0; {
			n, err := w.Write(rest[:min(len(rest), 100_000)])
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	look("in the end", true)
}

// An error of write comes back as it is, for who knows more about it.
func TestWritesOwnError(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	if err := Write(filepath.Join(t.TempDir(), "f"), func(io.Writer) error { return no }); err != no {
		t.Errorf("Write returned %v, want the writer's own error", err)
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
	block := func(io.Writer) error { return os.MkdirAll(filepath.Join(name, "in the way"), 0o700) }
	if err := Write(name, block); err == nil {
		t.Error("replaced a directory")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}
