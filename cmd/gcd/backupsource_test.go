package main

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/internal/vfs"
	"gcd/store"
	"gcd/store/snapshot"
	"gcd/tools"
)

// A backup that would take the log's room is refused, and one for which there is room, or of which
// nobody knows, is not.
func TestRoomForBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if free, ok := vfs.Free(dir); !ok || free <= 0 {
		t.Logf("the system tells of %d bytes (%t)", free, ok)
	}
	info, err := os.Stat(store.SnapshotPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	size := info.Size()
	for _, test := range []struct {
		tempDir     string
		segmentSize int64
		free        int64
		known       bool
		refuse      bool
	}{
		{"", 1 << 30, 2*size - 1, true, true}, // a small snapshot does not want the room of two segments
		{"", 1 << 30, 2 * size, true, false},
		{"", size / 4, size + size/2 - 1, true, true}, // and a large one leaves it to them
		{"", size / 4, size + size/2, true, false},
		{"elsewhere", 1 << 30, size - 1, true, true},
		{"elsewhere", 1 << 30, size, true, false},
		{"", 1 << 30, 0, false, false},
	} {
		err := roomForBackup(dir, test.tempDir, test.segmentSize, func(where string) (int64, bool) {
			if want := cmp.Or(test.tempDir, dir); where != want {
				t.Errorf("asked for the room in %s, want %s", where, want)
			}
			return test.free, test.known
		})
		if (err != nil) != test.refuse || err != nil && !strings.Contains(err.Error(), "no room") {
			t.Errorf("%+v: asked whether there is room, it says %v", test, err)
		}
	}
	// The whole of it, beside the store that has the directory.
	var b bytes.Buffer
	if err := backupOf(dir, t.TempDir(), 1<<20)(t.Context(), &b, tools.FormatCSV); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tools.ReadDump(&b, func(tools.DumpHeader, snapshot.Entry) error { return nil }); err != nil {
		t.Error(err)
	}
	nowhere := backupOf(dir, filepath.Join(dir, "nowhere"), 1<<20)
	if err := nowhere(t.Context(), io.Discard, tools.FormatCSV); !errors.Is(err, tools.ErrTemp) {
		t.Errorf("where there is no directory for the copy: %v", err)
	}
}
