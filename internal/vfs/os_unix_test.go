//go:build unix

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestModes makes files and directories under several umasks. The umask belongs to the whole
// process, so a child has it.
func TestModes(t *testing.T) {
	t.Parallel()
	const variable = "VFS_TEST_UMASK_DIR"
	if dir := os.Getenv(variable); dir != "" {
		for name, mask := range map[string]int{"none": 0, "usual": 0o022, "strict": 0o777} {
			syscall.Umask(mask)
			below := filepath.Join(dir, name, "below")
			must(t, OS{}.MkdirAll(below))
			f, err := OS{}.Create(filepath.Join(below, "file"))
			must(t, err)
			must(t, f.Close())
		}
		return
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestModes$")
	child.Env = append(os.Environ(), variable+"="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	for _, name := range []string{"none", "usual", "strict"} {
		for path, want := range map[string]fs.FileMode{
			name: 0o700, name + "/below": 0o700, name + "/below/file": 0o600,
		} {
			info, err := os.Stat(filepath.Join(dir, path))
			must(t, err)
			if got := info.Mode().Perm(); got != want {
				t.Errorf("umask %s: mode of %s is %v, want %v", name, path, got, want)
			}
		}
	}
}

// A directory that is there keeps its mode.
func TestMkdirAllLeavesModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "there")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chmod(dir, 0o755))
	must(t, OS{}.MkdirAll(filepath.Join(dir, "new")))
	info, err := os.Stat(dir)
	must(t, err)
	if got := info.Mode().Perm(); got != 0o755 {
		t.Errorf("mode of the directory became %v", got)
	}
}

// The parent of each directory that was made is synced after it was made, outermost first; a
// failure ends it.
func TestMkdirAllSyncsParents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var synced []string
	record := func(parent string) error {
		names, err := OS{}.ReadDir(parent)
		synced = append(synced, parent+" holds "+strings.Join(names, " "))
		return err
	}
	for range 2 { // the second time nothing is made
		must(t, mkdirAll(dir+"/a/b", record))
	}
	if want := []string{dir + " holds a", dir + "/a holds b"}; !slices.Equal(synced, want) {
		t.Errorf("synced %q, want %q", synced, want)
	}
	err := mkdirAll(dir+"/c/d", func(string) error { return syscall.EIO })
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("the error of the sync became %v", err)
	}
	if names, err := (OS{}).ReadDir(dir + "/c"); err != nil || len(names) != 0 {
		t.Errorf("below the sync that failed: %q, %v; want nothing", names, err)
	}
}

// Two that make a directory at the same moment: the second finds it there.
func TestMakeDirTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/a"
	must(t, makeDir(dir))
	must(t, makeDir(dir))
}

func TestMkdirAllDanglingLink(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink("nowhere", link))
	wantErr(t, OS{}.MkdirAll(link), fs.ErrExist)
}

func TestTransferGoesOn(t *testing.T) {
	t.Parallel()
	disk := make([]byte, 10)
	for _, interruption := range []error{syscall.EAGAIN, syscall.EINTR} {
		calls := 0
		n, err := transfer(func(p []byte, off int64) (int, error) {
			calls++
			switch calls {
			case 1:
				return 0, &fs.PathError{Op: "write", Path: "x", Err: interruption}
			case 2:
				return copy(disk[off:], p[:3]), &fs.PathError{Op: "write", Path: "x", Err: interruption}
			}
			return copy(disk[off:], p), nil
		}, []byte("12345"), 2)
		if n != 5 || err != nil || string(disk[2:7]) != "12345" || calls != 3 {
			t.Errorf("%v: %d, %v after %d calls, disk %q", interruption, n, err, calls, disk)
		}
	}
}

// Only calls without progress are counted against the limit.
func TestTransferCountsProgress(t *testing.T) {
	t.Parallel()
	const size = maxAgain + 20
	n, err := transfer(func(p []byte, _ int64) (int, error) {
		if len(p) == 1 {
			return 1, nil
		}
		return 1, syscall.EAGAIN
	}, make([]byte, size), 0)
	if n != size || err != nil {
		t.Errorf("transferred %d, %v; want %d", n, err, size)
	}
}

func TestTransferGivesUp(t *testing.T) {
	t.Parallel()
	for want, wantCalls := range map[error]int{
		syscall.EAGAIN: maxAgain + 1, syscall.EIO: 1, io.EOF: 1, syscall.ENOSPC: 1,
	} {
		calls := 0
		n, err := transfer(func([]byte, int64) (int, error) {
			calls++
			return 0, want
		}, make([]byte, 5), 0)
		if n != 0 || !errors.Is(err, want) || calls != wantCalls {
			t.Errorf("%v: %d, %v after %d calls, want %d", want, n, err, calls, wantCalls)
		}
	}
}
