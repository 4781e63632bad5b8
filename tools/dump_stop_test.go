package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"gcd/store"
	"gcd/store/core"
	"gcd/store/snapshot"
)

// failingWriter fails at one of its calls, or ends a context there.
type failingWriter struct {
	collected
	at  int
	end func() error
}

func (w *failingWriter) call() error {
	if w.at--; w.at == 0 {
		return w.end()
	}
	return nil
}

func (w *failingWriter) Header(DumpHeader) error { return w.call() }
func (w *failingWriter) Counter(*Counter) error  { return w.call() }
func (w *failingWriter) Footer() error           { w.ended = true; return w.call() }

// TestDumpStops: a dump that was interrupted, or could not be written, has no end, and the error is
// that.
func TestDumpStops(t *testing.T) {
	t.Parallel()
	dir := handmade(t, 9, []snapshot.Entry{{Topic: []byte("a"), Last: 9}, {Topic: []byte("c"), Last: 8}},
		core.Change{Topic: []byte("b"), N: 1}, core.Change{Topic: []byte("d"), N: 1})
	const calls = 6
	for at := 1; at <= calls; at++ {
		failed := errors.New("failed")
		w := &failingWriter{at: at, end: func() error { return failed }}
		if _, err := Dump(t.Context(), dir, w, DumpOptions{}); !errors.Is(err, failed) || w.ended != (at == calls) {
			t.Errorf("call %d failed: %v, ended %t", at, err, w.ended)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w = &failingWriter{at: at, end: func() error { cancel(); return nil }}
		if _, err := Dump(ctx, dir, w, DumpOptions{}); at < calls && (!errors.Is(err, context.Canceled) || w.ended) {
			t.Errorf("interrupted at call %d: %v, ended %t", at, err, w.ended)
		}
		cancel()
	}
}

// TestDumpBeforeTheLog: of a time before the first record that is kept nothing is known, but before
// the first record of all there was nothing.
func TestDumpBeforeTheLog(t *testing.T) {
	t.Parallel()
	for index, want := range map[uint64]error{0: nil, 1: ErrNotKept} {
		dir := handmade(t, index, nil, core.Change{Topic: []byte("a"), N: 1})
		if _, err := Dump(t.Context(), dir, &collected{}, DumpOptions{Before: time.Unix(1, 0)}); !errors.Is(err, want) {
			t.Errorf("after record %d: %v, want %v", index, err, want)
		}
	}
}

// TestDumpRests: each part of the work lets others go on: the copy of a snapshot, its pages, the
// log, however few records it has, the counters.
func TestDumpRests(t *testing.T) {
	t.Parallel()
	const n = 100 // rests
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rests := func(least int, part string) int {
		t.Helper()
		got := 0
		if _, err := Dump(t.Context(), dir, &collected{}, DumpOptions{Rest: func() { got++ }}); err != nil {
			t.Fatal(err)
		}
		if got < least {
			t.Errorf("%s: it rested %d times, want %d", part, got, least)
		}
		return got
	}
	var ops []core.Op
	for i := range n * restEvery {
		ops = append(ops, core.Op{Kind: core.Count, Topic: fmt.Append(nil, i)})
	}
	submit(t, s, ops...)
	rests(n+n, "the log and the counters")
	if err := s.Snapshot(inTime(t)); err != nil {
		t.Fatal(err)
	}
	path := store.SnapshotPath(dir)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	full := int(info.Size()) / os.Getpagesize() / 2 // pages that are not free, at least
	whole := rests(n+2*full, "the counters, and the pages twice")
	if err := os.Truncate(path, info.Size()+40*copyPiece); err != nil {
		t.Fatal(err)
	}
	rests(whole+40, "the copy")
}
