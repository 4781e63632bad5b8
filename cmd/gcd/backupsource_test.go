package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"gcd/store"
	"gcd/tools"
)

// A rest is nine times as long as the work before it, and no longer than the longest.
func TestRester(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	var slept []time.Duration
	r := rester{now: func() time.Time { return now }, sleep: func(d time.Duration) {
		slept = append(slept, d)
		now = now.Add(d + time.Second) // it overslept: that is no work
	}}
	for _, work := range []time.Duration{0, leastWork / 2, leastWork / 2, 0, 3 * leastWork, time.Hour, leastWork - 1} {
		now = now.Add(work)
		r.rest()
	}
	if want := []time.Duration{restRatio * leastWork, 3 * restRatio * leastWork, longRest}; len(slept) != 3 || slept[0] != want[0] || slept[1] != want[1] || slept[2] != want[2] {
		t.Errorf("it rested for %v, want %v", slept, want)
	}
}

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
