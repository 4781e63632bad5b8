package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gcd/internal/cmdline"
	"gcd/store"
	"gcd/wal"
)

// runTool runs the command.
func runTool(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, msg bytes.Buffer
	code = run(t.Context(), append([]string{"gcd-tool"}, args...), &out, &msg)
	return code, out.String(), msg.String()
}

// writeRecords makes a directory with n records, each of one count of "a" and of the time that at
// says.
func writeRecords(t *testing.T, n int, at func(i int) time.Time) string {
	t.Helper()
	dir := t.TempDir()
	if err := openDir(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	i := 0
	log, err := wal.Open(store.LogDir(dir), wal.Options{SegmentSize: 1 << 20, Now: func() time.Time { return at(i) }})
	if err == nil {
		err = log.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for ; i < n; i++ {
		record := append([]byte{2, 'a', 0}, binary.AppendUvarint(nil, uint64(i))...)
		if _, err := log.Append(1, append(record, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(log.Sync(), log.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestClockWentBackwards: a dump of the past says so where its time does not tell apart what was
// before and what after.
func TestClockWentBackwards(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seconds := []int{10, 30, 20, 15, 40}
	dir := writeRecords(t, len(seconds),
		func(i int) time.Time { return base.Add(time.Duration(seconds[i]) * time.Second) })
	const note = "the clock went backwards: 2 records after index 1 are not later than 2026-01-02T03:04:25Z either\n"
	code, _, stderr := runTool(t, "dump", "--at", "2026-01-02T03:04:25Z", dir)
	if code != cmdline.ExitOK || !strings.HasSuffix(stderr, "\n"+note) {
		t.Errorf("code %d, %q", code, stderr)
	}
	for _, args := range [][]string{{"dump", "--at", "2026-01-02T03:05:00Z", dir},
		{"dump", "--quiet", "--at", "2026-01-02T03:04:25Z", dir}} {
		if code, _, stderr := runTool(t, args...); code != cmdline.ExitOK || strings.Contains(stderr, "clock") {
			t.Errorf("%q: code %d, %q", args, code, stderr)
		}
	}
}

// TestHistoryIsNotWhole: what is not kept is not known, and history says from where on it is.
func TestHistoryIsNotWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDir(t, dir)
	countMany(t, s, 20_000)
	first := func() uint64 {
		log, err := wal.Open(store.LogDir(dir), wal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		return log.First()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := runTool(t, "history", "topic-1", dir); code != cmdline.ExitOK ||
		!strings.Contains(stdout, " 1 ") || stderr != "" {
		t.Errorf("whole: code %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr := runTool(t, "compact", dir); code != cmdline.ExitOK || first() == 1 {
		t.Fatalf("code %d, %s", code, stderr)
	}
	want := fmt.Sprintf("the log is kept from record %d on; what was before is not known\n", first())
	if code, _, stderr := runTool(t, "history", "topic-1", dir); code != cmdline.ExitOK || stderr != want {
		t.Errorf("code %d, %q, want %q", code, stderr, want)
	}
	if _, _, stderr := runTool(t, "history", "--quiet", "topic-1", dir); stderr != "" {
		t.Errorf("--quiet says %q", stderr)
	}
}

// TestEstimateGrows: how long a start takes is estimated from what it has to read.
func TestEstimateGrows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before time.Duration
	for topics := 1000; topics <= 30_000; topics += 29_000 {
		s := openDir(t, dir)
		countMany(t, s, topics)
		if err := errors.Join(s.Snapshot(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := runTool(t, "inspect", "--format", "json", dir)
		var in struct {
			Topics   int
			Estimate time.Duration `json:"estimate_ns"`
		}
		if err := json.Unmarshal([]byte(stdout), &in); code != cmdline.ExitOK || err != nil || in.Topics != topics {
			t.Fatalf("code %d, %s, %v: %s", code, stderr, err, stdout)
		}
		if in.Estimate <= before {
			t.Errorf("%d topics are estimated as %v, and fewer as %v", topics, in.Estimate, before)
		}
		before = in.Estimate
		_, stdout, _ = runTool(t, "inspect", dir)
		if want := fmt.Sprintf("\na start takes about %v (",
			in.Estimate.Round(time.Millisecond)); !strings.Contains(stdout, want) {
			t.Errorf("%q is not in %s", want, stdout)
		}
	}
}

// TestSaved: a compaction that made the files larger saved nothing.
func TestSaved(t *testing.T) {
	t.Parallel()
	for want, sizes := range map[string][2]int64{"9 bytes became 4: saved 5": {9, 4}, "4 bytes became 9": {4, 9},
		"4 bytes became 4: saved 0": {4, 4}} {
		if got := saved(sizes[0], sizes[1]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
