package tools

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gcd/store"
)

// TestCompactOnAFullDisk: what has no room gives up the reserve, and the history unless that is to
// be kept, and is done again. Where that is not enough, or there is nothing to give up, the error
// is the disk's, and the directory starts as before.
func TestCompactOnAFullDisk(t *testing.T) {
	t.Parallel()
	full := &fs.PathError{Op: "write", Path: "counters.db.new", Err: syscall.ENOSPC}
	for _, test := range []struct {
		name    string
		keepLog bool
		reserve bool
		times   int // that there is no room
		fails   bool
	}{
		{"reserve and history", false, true, 1, false},
		{"history alone", false, false, 1, false},
		{"the reserve alone", true, true, 1, false},
		{"nothing to give up", true, false, 1, true},
		{"not enough", false, true, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, want := compactStore(t, 1, 256<<10, shuffledTopics(1), false)
			reserve := store.ReservePath(dir)
			if err := os.Remove(reserve); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if test.reserve {
				if err := os.WriteFile(reserve, make([]byte, 1000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := segmentFiles(t, dir)
			tries := 0
			c, err := Compact(t.Context(), dir,
				CompactOptions{KeepLog: test.keepLog, TempDir: t.TempDir(), step: func(done string) error {
					switch done {
					case "begun":
						if tries++; tries <= test.times {
							return full
						}
					case "room made":
						if _, err := os.Stat(reserve); err == nil {
							t.Error("the reserve is there when room was made")
						}
						if left := segmentFiles(t, dir); test.keepLog != (left == before) {
							t.Errorf("%d segments are there when room was made, of %d", left, before)
						}
					}
					return nil
				}})
			if test.fails != errors.Is(err, syscall.ENOSPC) || !test.fails && err != nil {
				t.Fatalf("compact returned %v, want that there is no room: %t", err, test.fails)
			}
			if !test.fails && !test.keepLog && (c.Segments != before-1 || c.First != 1) {
				t.Errorf("removed %d segments of %d, from record %d on", c.Segments, before, c.First)
			}
			s, err := store.Open(dir, store.Options{SegmentSize: 256 << 10})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Len() != len(want) {
				t.Errorf("%d topics, want %d", s.Len(), len(want))
			}
			for topic, v := range want {
				if got, _ := s.Get(topic); got != v {
					t.Errorf("%.20q is at %v, want %v", topic, got, v)
				}
			}
		})
	}
}

func segmentFiles(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(store.LogDir(dir), "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
