package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"gcd/store"
	"gcd/tools"
)

// A backup that would take the log's room is refused, and one for which there is room, or of which nobody knows, is not.
func TestRoomForBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if free, ok := freeSpace(dir); !ok || free <= 0 {
		t.Logf("the system tells of %d bytes (%t)", free, ok)
	}
	const segments = 2 << 20
	for _, test := range []struct {
		free   int64
		known  bool
		refuse bool
	}{{segments, true, true}, {segments + 16<<10, true, true}, {segments + 1<<20, true, false}, {0, false, false}} {
		err := roomForBackup(dir, 1<<20, func(string) (int64, bool) { return test.free, test.known })
		if (err != nil) != test.refuse || err != nil && !strings.Contains(err.Error(), "no room") {
			t.Errorf("%+v: %v", test, err)
		}
	}
	// The whole of it, beside the store that has the directory.
	var b bytes.Buffer
	if err := backupOf(dir, 1<<20)(t.Context(), &b, tools.FormatCSV); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tools.ReadDump(&b, func(tools.DumpHeader, store.Entry) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := backupOf(dir, 1<<60)(t.Context(), io.Discard, tools.FormatCSV); err == nil {
		if _, ok := freeSpace(dir); ok {
			t.Error("there is room for two exbibytes")
		}
	}
}
