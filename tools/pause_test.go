package tools

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcd/store"
	"gcd/store/core"
	"gcd/wal"
)

// looked is a context that ends when it is looked at for the last-th time.
type looked struct {
	context.Context
	looks, last int
}

func (c *looked) Err() error {
	if c.looks++; c.looks >= c.last {
		return context.Canceled
	}
	return nil
}

// TestInterruptedSoon: every work looks whether it is to end before each page of a snapshot and
// each piece of a log, and does next to nothing more when it is; what it worked on is as it was.
func TestInterruptedSoon(t *testing.T) {
	t.Parallel()
	const many = 3000 // topics, in one record each
	const kept = 500  // records, at least, since the snapshot's segments go
	const after = 8   // looks of those who clean up
	base := t.TempDir()
	dir := filepath.Join(base, "data")
	s, err := store.Open(dir, store.Options{SegmentSize: 64 << 10, SnapshotInterval: -1, SnapshotBytes: -1,
		Sync: store.SyncInterval}) // not a sync for each record
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		counted(t, s, core.Op{Kind: core.Count,
			Topic: fmt.Appendf(nil, "a topic with a name that is not short: %d", i)})
	}
	if err := errors.Join(s.Snapshot(inTime(t)), s.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(store.SnapshotPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	pages := int(info.Size()) / os.Getpagesize() / 2 // that are not free, at least
	broken, lost := copyTree(t, dir), copyTree(t, dir)
	flip(t, store.SnapshotPath(broken), info.Size()/2)
	if err := os.RemoveAll(store.LogDir(lost)); err != nil {
		t.Fatal(err)
	}
	dump := writeDump(t, FormatNDJSON, testHeader(), nil)
	if f, err := os.Create(dump); err != nil {
		t.Fatal(err)
	} else if w, err := NewDumpWriter(f, FormatNDJSON, false); err != nil {
		t.Fatal(err)
	} else if _, err := Dump(t.Context(), dir, w, DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for i := range many {
		fmt.Fprintf(&table, "a topic with a name that is not short: %d,1\n", i)
	}
	for _, test := range []struct {
		name  string
		dir   string
		looks int // at least
		work  func(ctx context.Context, dir string) error
	}{
		{"verify", dir, 3 * pages, func(ctx context.Context, dir string) error {
			_, err := Verify(ctx, dir, VerifyOptions{memory: 10_000})
			return err
		}},
		{"verify of a damaged one", broken, pages, func(ctx context.Context, dir string) error {
			_, err := Verify(ctx, dir, VerifyOptions{})
			return err
		}},
		{"inspect", dir, pages, func(ctx context.Context, dir string) error {
			_, err := Inspect(ctx, dir, InspectOptions{})
			return err
		}},
		{"history", dir, pages + kept, func(ctx context.Context, dir string) error {
			_, err := History(ctx, []byte("none"), dir, HistoryOptions{}, func(Step) error { return nil })
			return err
		}},
		{"dump", dir, 2*pages + many + kept, func(ctx context.Context, dir string) error {
			_, err := Dump(ctx, dir, &collected{}, DumpOptions{Times: true, memory: 10_000})
			return err
		}},
		{"dump of the log", dir, kept, func(ctx context.Context, dir string) error {
			return DumpRecords(ctx, dir, noRecords{}, DumpOptions{})
		}},
		{"repair that is not needed", dir, pages, func(ctx context.Context, dir string) error {
			_, err := Repair(ctx, dir, RepairOptions{})
			return err
		}},
		{"repair of a snapshot", broken, pages, func(ctx context.Context, dir string) error {
			_, err := Repair(ctx, dir, RepairOptions{AcceptLoss: true, memory: 10_000})
			return err
		}},
		{"repair of a log", lost, 3 * pages, func(ctx context.Context, dir string) error {
			_, err := Repair(ctx, dir, RepairOptions{AcceptLoss: true})
			return err
		}},
		{"restore", dir, pages + 3*many, func(ctx context.Context, dir string) error {
			_, err := Restore(ctx, dump, dir, RestoreOptions{Force: true})
			return err
		}},
		{"import", t.TempDir(), pages + 2*many, func(ctx context.Context, dir string) error {
			_, err := Import(ctx, strings.NewReader(table.String()), dir, ImportOptions{memory: 10_000})
			return err
		}},
		{"compact", dir, 4 * pages, func(ctx context.Context, dir string) error {
			_, err := Compact(ctx, dir, CompactOptions{})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := &looked{Context: t.Context(), last: math.MaxInt}
			if err := test.work(ctx, copyTree(t, test.dir)); err != nil {
				t.Fatal(err)
			}
			whole := ctx.looks
			if whole < test.looks {
				t.Errorf("it looks %d times whether it is to end, want %d", whole, test.looks)
			}
			dir := filepath.Join(t.TempDir(), "data") // with nothing beside it
			if err := os.CopyFS(dir, os.DirFS(test.dir)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			for _, at := range []int{1, 2, 3, pages / 2, whole / 3, whole / 2, whole * 2 / 3, whole - pages/2,
				whole - 1} {
				ctx := &looked{Context: t.Context(), last: at}
				if err := test.work(ctx, dir); !errors.Is(err, context.Canceled) {
					t.Fatalf("ended at look %d of %d: %v", at, whole, err)
				}
				if ctx.looks > at+after {
					t.Errorf("ended at look %d, it goes on for %d", at, ctx.looks-at)
				}
				if !maps.Equal(before, contents(t, dir)) {
					t.Fatalf("ended at look %d of %d, files have changed", at, whole)
				}
				if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 1 {
					t.Fatalf("ended at look %d of %d it leaves %v, %v", at, whole, left, err)
				}
			}
		})
	}
}

// noRecords takes records.
type noRecords struct{}

func (noRecords) Record(wal.Record, []core.Change) error { return nil }
func (noRecords) Footer() error                          { return nil }
