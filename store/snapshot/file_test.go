package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"gcd/internal/vfs"
	"gcd/store/core"
	"gcd/wal"
)

// TestFaultOfTheMap: a page that was there when the file was opened and cannot be read through the
// memory map is no damage; that bbolt panics on what it reads is. The file is closed after either.
func TestFaultOfTheMap(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		do     func(tx *bolt.Tx, path string) error
		damage bool
	}{
		{"a page that cannot be read", func(tx *bolt.Tx, path string) error {
			if err := os.Truncate(path, int64(os.Getpagesize())); err != nil {
				return err
			}
			c := tx.Bucket(bucketTopics).Cursor()
			for k, _ := c.First(); k != nil; k, _ = c.Next() {
			}
			return nil
		}, false},
		{"a page without sense", func(*bolt.Tx, string) error { panic("page 7: this is not a leaf") }, true},
	} {
		path := filepath.Join(t.TempDir(), FileName)
		Build(t, path, wal.ID{1}, BuildEntries(rand.New(rand.NewPCG(1, 1)), 500), 99)
		file := At(path)
		err := file.view(func(tx *bolt.Tx) error { return row.do(tx, path) })
		if err == nil || errors.As(err, new(*wal.CorruptionError)) != row.damage ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want damage %t", row.name, err, row.damage)
		}
		writer := File{Path: path, Wait: time.Millisecond} // which any other that has it open would keep out
		switch db, err := writer.open(false); {
		case errors.Is(err, bolterrors.ErrTimeout):
			t.Errorf("%s: the file is still locked: %v", row.name, err)
		case err == nil:
			if err := db.close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Whoever writes topics yields again and again, of many short ones as of few long ones.
func TestWriteYields(t *testing.T) {
	t.Parallel()
	file := File{Path: filepath.Join(t.TempDir(), FileName), Hooks: Hooks{NoSync: true}}
	if err := file.Create(vfs.OS{}, wal.ID{1}, false); err != nil {
		t.Fatal(err)
	}
	for topic, entries := range map[string][]Entry{"short": make([]Entry, 5000),
		"long" + strings.Repeat("\x00", 60_000): make([]Entry, 20)} {
		for i := range entries {
			entries[i] = Entry{Topic: fmt.Appendf(nil, "%d %s", i, topic), Value: core.Value{Sum: 1}}
		}
		yields := 0
		if err := file.Write(entries, 5, func() { yields++ }); err != nil {
			t.Fatal(err)
		}
		if yields < 10 {
			t.Errorf("%.5s topics: %d yields", topic, yields)
		}
	}
}

// TestNamed: an error of the system that bbolt has no file to says which file it is about, and that
// it is that of a sync.
func TestNamed(t *testing.T) {
	t.Parallel()
	f := At("data/counters.db")
	for _, system := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		err := f.named(system)
		var at *fs.PathError
		if !errors.Is(err, system) || !errors.As(err, &at) || at.Op != "sync" || at.Path != f.Path {
			t.Errorf("%v became %v", system, err)
		}
	}
	for _, err := range []error{
		nil, errors.New("other"), &fs.PathError{Op: "write", Path: "data/counters.db", Err: syscall.ENOSPC},
	} {
		if got := f.named(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
