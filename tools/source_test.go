package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gcd/store"
	"gcd/store/core"
)

// TestDumpBesideAServer: while a server counts, takes snapshots and removes segments each dump is
// exactly one moment of its log, later than what was answered before it began.
func TestDumpBesideAServer(t *testing.T) {
	t.Parallel()
	for _, retain := range []store.Retain{{Bytes: math.MaxInt64}, {}} {
		t.Run(fmt.Sprint(retain.Bytes > 0), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := store.Open(dir,
				store.Options{SegmentSize: 8192, SnapshotInterval: -1, SnapshotBytes: 20_000, Retain: retain})
			if err != nil {
				t.Fatal(err)
			}
			const workers = 4
			ctx := inTime(t)
			var answered [workers]atomic.Uint64 // sums of topics of which each worker has its own
			var stop atomic.Bool
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					own, all := fmt.Sprintf("own %d", w), []string{"a", "b", strings.Repeat("long ", 300), "c\nd"}
					for n := 0; !stop.Load(); n++ {
						sum, err := s.Count(ctx, own)
						if err != nil {
							t.Error(err)
							return
						}
						answered[w].Store(sum)
						if n%7 == w {
							err = s.Reset(ctx, all[n%len(all)])
						} else {
							_, err = s.Count(ctx, all[n%len(all)])
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			var dumps []*collected
			var last [workers]uint64
			for range 25 {
				var before [workers]uint64
				for w := range before { // something was counted since the dump before
					late := time.Now().Add(timeout)
					for before[w] = answered[w].Load(); before[w] == last[w] &&
						!t.Failed(); before[w] = answered[w].Load() {
						if time.Now().After(late) {
							t.Errorf("worker %d is answered nothing more", w)
						}
						runtime.Gosched()
					}
				}
				last = before
				c := &collected{}
				done, err := Dump(t.Context(), dir, c,
					DumpOptions{Times: len(dumps)%2 == 0, TempDir: t.TempDir(), memory: 1000})
				if err != nil {
					t.Error(err)
					break
				}
				if !done.Running {
					t.Error("the server was not seen")
				}
				sums := map[string]uint64{}
				for _, counter := range c.counters {
					sums[string(counter.Topic)] = counter.Sum
				}
				for w := range before {
					if got, now := sums[fmt.Sprintf("own %d", w)], answered[w].Load(); got < before[w] || got > now+1 {
						t.Errorf("%d was answered before, the dump has %d, %d was answered after", before[w], got, now)
					}
				}
				dumps = append(dumps, c)
			}
			stop.Store(true)
			within(t, "the last answer of each worker", ended(&wg))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if retain == (store.Retain{}) {
				return // the log that would tell is gone
			}
			all := replayOf(t, dir)
			for i, c := range dumps {
				compareCounters(t, fmt.Sprintf("dump %d of index %d", i, c.header.Index), c.counters,
					all.at(c.header.Index, 1, i%2 == 0, ""), i%2 == 0)
			}
			if dumps[0].header.Index == dumps[len(dumps)-1].header.Index {
				t.Error("nothing was counted meanwhile")
			}
		})
	}
}

// TestDumpChangesNothing compares the files of a server that has nothing to do.
func TestDumpChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{SegmentSize: 8192, SnapshotInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	spareIsMade := watchSpare(t, store.LogDir(dir))
	for i := range 300 {
		counted(t, s, core.Op{Kind: core.Count, Topic: fmt.Appendf(nil, "topic %d", i%50)})
		if i == 100 {
			if err := s.Snapshot(inTime(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	spareIsMade() // and the store has nothing to do in the background
	for range 2 { // running, then stopped
		watch := watchFor(t, dir, store.LogDir(dir))
		before := contents(t, dir)
		index := uint64(120)
		for _, o := range []DumpOptions{{}, {Times: true}, {At: &index, memory: 500}, {Before: time.Now()}} {
			if got := dumped(t, dir, o); len(got.counters) != 50 {
				t.Errorf("%d topics", len(got.counters))
			}
		}
		var records bytes.Buffer
		w, err := NewRecordWriter(&records, "ndjson")
		if err != nil {
			t.Fatal(err)
		}
		if err := DumpRecords(t.Context(), dir, w, DumpOptions{}); err != nil ||
			bytes.Count(records.Bytes(), []byte("\n")) < 190 {
			t.Errorf("%d bytes of records, %v", records.Len(), err)
		}
		if !maps.Equal(before, contents(t, dir)) {
			t.Error("files changed")
		}
		if events := watch(); len(events) > 0 {
			t.Errorf("the directory noticed %q", events)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSnapshotCopyFails: what cannot be copied to its end is no copy.
func TestSnapshotCopyFails(t *testing.T) {
	t.Parallel()
	if _, err := copySnapshot(t.TempDir(), "", nil); err == nil { // a directory can be opened, and not read
		t.Error("a copy of what cannot be read")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 2*copyPiece), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := copySnapshot(path, "", newPause(ctx, cancel)); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
